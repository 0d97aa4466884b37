// GET /v1/config: the settings that the server runs with, without secrets. The loop's thread.
#pragma once

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// The config after reloads, with defaults, as text that load_told_config() reads; and the limits of the process.
io::Task<void> show_config(Service& service, Exchange& x);

}  // namespace minerva
