// /upstream/{id}/{path}: any engine, used by itself.
//
// The path names the model, so the request has a lease like any other. A command engine gets every request. llama.cpp's
// server gets only routes that this server has too, since its other routes would change or read what belongs to
// Minerva. The loop's thread.
#pragma once

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// Requires: the exchange's path begins with "/upstream/".
io::Task<void> talk_to_engine(Service& service, Exchange& exchange);

}  // namespace minerva
