// Discard: what came of a download that was cancelled leaves the disk.
//
// Threading: any thread; blocks on the disk. It removes files that a pull made and that no model has: parts, and blobs
// that nothing in their repository links to. Another program's files, and one whose lock another program has, stay.
#pragma once

#include <string>
#include <vector>

#include "pull/asked.h"
#include "pull/fetch.h"

namespace minerva::pull {

// `made`: Progress::made of the download of `asked`. What cannot be removed stays, with a line in the log.
void discard(const FetchSettings& settings, const Asked& asked, const std::vector<std::string>& made);

}  // namespace minerva::pull
