#include "engine/state_line.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/json_member.h"

namespace minerva {
namespace {

using nlohmann::json;

constexpr std::string_view kPrefix = "cmd_child_to_router:state:";

std::optional<double> fraction_of(const json& payload) {
  const json* const stages = member(payload, "stages");
  const json* const current = member(payload, "current");
  const json* const value = member(payload, "value");
  if (stages == nullptr || !stages->is_array() || current == nullptr || value == nullptr || !value->is_number()) {
    return std::nullopt;
  }
  const auto at = std::find(stages->begin(), stages->end(), *current);
  if (at == stages->end()) return std::nullopt;
  const double within = std::clamp(value->get<double>(), 0.0, 1.0);
  return (static_cast<double>(at - stages->begin()) + within) / static_cast<double>(stages->size());
}

}  // namespace

std::optional<StateLine> parse_state_line(std::string_view line) {
  if (!line.starts_with(kPrefix)) return std::nullopt;
  line.remove_prefix(kPrefix.size());
  const json data = json::parse(line, nullptr, /*allow_exceptions=*/false);
  const json* const state = member(data, "state");
  if (state == nullptr || !state->is_string()) return std::nullopt;
  const std::string& name = state->get_ref<const std::string&>();
  if (name == "ready") return StateLine{StateLine::State::kReady, 1.0};
  if (name != "loading") return std::nullopt;
  const json* const payload = member(data, "payload");
  return StateLine{StateLine::State::kLoading, payload == nullptr ? std::nullopt : fraction_of(*payload)};
}

}  // namespace minerva
