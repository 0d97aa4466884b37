// probe(): asks an HTTP server whether it is there, for callers that are no coroutines.
//
// Threading: the loop's thread.
#pragma once

#include <functional>
#include <string>

#include "io/stream.h"
#include "minerva/base/clock.h"
#include "minerva/base/result.h"

namespace minerva::io {

// Sends GET `target` on a connection of its own. `done` gets the answer's status; it is never called inside this call.
// Errors: kIo when nobody answers at that address, kTimeout when there is no answer by `deadline`.
void probe(Loop& loop, Address address, std::string target, TimePoint deadline, std::function<void(Result<int>)> done);

}  // namespace minerva::io
