// GET /v1/config: what the server runs with, without secrets.
#pragma once

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// The config, with reloads and defaults, as text that load_told_config() reads; and what the process may do.
io::Task<void> show_config(Service& service, Exchange& x);

}  // namespace minerva
