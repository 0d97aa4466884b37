// The devices (GPUs) that an engine can compute on: finds the engine's variant for them, and asks it in a child
// process.
//
// A variant is minerva-engine with one more backend of ggml, beside it in its folder: minerva-engine-cuda,
// minerva-engine-vulkan. A machine without a variant has no devices, and nothing is asked.
// Threading: find_devices() blocks; call it before the loop runs, or where there is none. The rest is pure.
// It decides nothing about models.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"
#include "minerva/base/result.h"

namespace minerva {

struct EngineDevice {
  std::string name;                 // "Vulkan0": also that of its pool, and what `--device` takes
  std::string description;          // "AMD Radeon RX 7900 XTX (RADV NAVI31)"
  bool shares_host_memory = false;  // a part of the processor
  Bytes total;
  Bytes free;  // when it was asked. Some drivers say the same as `total`, whatever is taken

  bool operator==(const EngineDevice&) const = default;
};

struct Devices {
  std::string engine;   // the path of the variant that sees them; empty: no variant sees any
  std::string backend;  // "Vulkan"
  std::vector<EngineDevice> devices;
  std::vector<std::string> problems;  // a sentence for each variant that is there and cannot be used
};

struct DeviceProbe {
  std::string engine;                        // minerva-engine, beside which the variants are
  std::string sandbox = "auto";              // as for engines
  Duration time = std::chrono::seconds(10);  // for each variant. Some drivers never answer
};

// Asks each variant, the fastest backend first, until one sees a device.
Devices find_devices(const DeviceProbe& probe);

// "NAME=value" of this process's environment, as far as they say which devices and drivers an engine sees. A device
// that is this processor (Mesa's lavapipe) is used only if GGML_VK_VISIBLE_DEVICES names it.
std::vector<std::string> device_environment();

// Where engines on devices keep the programs that drivers of Mesa have compiled for the device, so that the next engine
// need not: MESA_SHADER_CACHE_DIR of this process's environment. Engines share what is there, so only the operator
// chooses it. Empty: nothing is kept.
std::string shader_cache();

// Parses what `minerva-engine list-devices` prints. Errors: kInternal for anything that is not its JSON.
Result<std::vector<EngineDevice>> parse_device_list(std::string_view text);

}  // namespace minerva
