#include "config/device_pools.h"

#include <algorithm>

#include "config/config_table.h"

namespace minerva {

void add_device_pools(Config& config, const Devices& seen) {
  for (const EngineDevice& device : seen.devices) {
    const bool is_named = std::any_of(config.devices.begin(), config.devices.end(),
                                      [&](const Device& named) { return named.id == device.name; });
    const Bytes budget(device.free.count() / 10 * 9);
    if (is_named || device.shares_host_memory || budget == Bytes() || !check_device_name(device.name) ||
        config.devices.size() == Footprint::kMostDevices) {
      continue;
    }
    config.devices.push_back({device.name, budget});
  }
}

}  // namespace minerva
