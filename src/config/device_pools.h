// The pools of devices that an engine sees and the config does not name.
//
// Pure.
#pragma once

#include "config/config.h"
#include "engine/devices.h"

namespace minerva {

// Adds a pool for each device with memory of its own that the config does not name, as long as there may be more: nine
// tenths of what was free when it was asked. The rest is for what drivers take, and for other programs. A device that
// is a part of the processor shares the host's memory, so it gets a pool only from the config.
void add_device_pools(Config& config, const Devices& seen);

}  // namespace minerva
