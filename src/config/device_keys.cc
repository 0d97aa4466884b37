// The table of the keys of devices.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "config/config_table.h"
#include "config/values.h"

namespace minerva {
namespace {

constexpr std::size_t kLongestDeviceName = 64;

}  // namespace

Result<void> check_device_name(const std::string& name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string_view("-_.:").find(c) != std::string::npos;
  });
  if (name.empty() || name.size() > kLongestDeviceName || !plain) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("\"{}\" cannot be a device's name: up to {} ASCII letters, digits, \"-\", \"_\", \".\" and "
                            "\":\" can",
                            name, kLongestDeviceName));
  }
  if (name == kHostPool) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("\"{}\" is the machine's own memory: set memory_budget at the top", name));
  }
  return {};
}

const std::vector<DeviceRow>& device_rows() {
  static const std::vector<DeviceRow> rows = {
      {"memory_budget", "", "size", TomlKind::kTextOrInteger,
       "What all models in memory may take of the device's memory together.",
       [](Device& device, const Values& values, const std::string&) -> Result<void> {
         const auto bytes = parse_size(values.front(), kLeastMemory, kMostSize);
         if (!bytes) return fail(bytes.error());
         device.memory_budget = *bytes;
         return {};
       },
       [](const Device& device) { return Values{size_text(device.memory_budget)}; }, "none: it is needed"}};
  return rows;
}

}  // namespace minerva
