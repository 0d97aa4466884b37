// /upstream/{id}/{path}: any engine, talked to by itself.
//
// The path names the model, so the request has a lease on it like any other. An operator's own program gets everything;
// llama.cpp's server only what has a route here too, as the rest would change or read what is Minerva's.
#pragma once

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// Requires: the exchange's path begins with "/upstream/".
io::Task<void> talk_to_engine(Service& service, Exchange& exchange);

}  // namespace minerva
