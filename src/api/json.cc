#include "api/json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace minerva::api {

std::string utc(std::chrono::system_clock::time_point time) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time);
  const auto s = std::chrono::floor<std::chrono::seconds>(ms);
  return fmt::format("{:%FT%T}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(s)), (ms - s).count());
}

}  // namespace minerva::api
