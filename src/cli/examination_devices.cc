#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/examination.h"
#include "engine/devices.h"

namespace minerva::cli {
namespace {

using Level = Finding::Level;

// A node by which programs compute on a GPU; empty if the kernel knows none.
std::string gpu_node() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/dri", error)) {
    if (entry.path().filename().string().starts_with("renderD")) return entry.path();
  }
  return std::filesystem::exists("/dev/nvidia0", error) ? "/dev/nvidia0" : "";
}

}  // namespace

void examine_devices(const Config& config, const FindingSink& found) {
  const Devices devices = find_devices({config.engine, config.sandbox});
  for (const std::string& problem : devices.problems) found({Level::kNote, "devices", problem});
  for (const EngineDevice& device : devices.devices) {
    found({Level::kFine, "devices",
           fmt::format("Models can run on {} ({}), which has {}.", device.name, device.description,
                       format_bytes(device.total))});
  }
  for (const Device& named : config.devices) {
    const auto seen = std::ranges::find(devices.devices, named.id, &EngineDevice::name);
    if (seen == devices.devices.end()) {
      found({Level::kProblem, "devices",
             fmt::format("The config has a device \"{}\", and no engine sees such a device: no model is placed there.",
                         named.id)});
    } else if (named.memory_budget > seen->total) {
      found({Level::kProblem, "devices",
             fmt::format("The budget of {} is {}, and it has {}: loads there may fail.", named.id,
                         format_bytes(named.memory_budget), format_bytes(seen->total))});
    }
  }
  const std::string node = gpu_node();
  if (devices.devices.empty() && devices.problems.empty() && !node.empty()) {
    found({Level::kNote, "devices",
           fmt::format("This machine has a GPU ({}), and no engine for it: models run in the host's memory. `make "
                       "engine-vulkan` builds one.",
                       node)});
  }
}

}  // namespace minerva::cli
