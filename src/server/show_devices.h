// GET /v1/devices: the devices (GPUs) that engines see, and what models have of each. The loop's thread.
#pragma once

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

io::Task<void> show_devices(Service& service, Exchange& x);

}  // namespace minerva
