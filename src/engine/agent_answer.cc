#include "engine/agent_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/json_member.h"

namespace minerva {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxText = 300;
constexpr std::uint64_t kMostFootprint = std::uint64_t{1} << 50;  // more is no real figure, and sums must not overflow
// More is no real figure, and sums must not overflow.
constexpr std::uint64_t kMostTokens = std::uint64_t{1} << 32;
constexpr std::uint64_t kMostMicroseconds = std::uint64_t{86'400} * 1'000'000;

// A text that may be absent. Nothing: the member is there, and is no text.
std::optional<std::string> text_or_none(const json& object, const char* name) {
  const json* const value = member(object, name);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return std::nullopt;
  std::string text = value->get<std::string>();
  if (text.size() <= kMaxText) return text;
  std::size_t end = kMaxText;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // cuts no character in two
  return text.substr(0, end) + "...";
}
std::optional<std::uint64_t> number_or_zero(const json& object, const char* name) {
  const json* const value = member(object, name);
  if (value == nullptr) return 0;
  if (!value->is_number_unsigned()) return std::nullopt;
  return value->get<std::uint64_t>();
}

// The answer's id; nothing if it has none.
std::optional<std::uint64_t> id_of(const json& object) {
  const json* const value = member(object, protocol::kId);
  if (value == nullptr || !value->is_number_unsigned()) return std::nullopt;
  return value->get<std::uint64_t>();
}

// "devices": bytes by name, if there is such a member. Nothing: it has what is no figure.
std::optional<std::map<std::string, std::uint64_t>> read_devices(const json& object) {
  std::map<std::string, std::uint64_t> result;
  const json* const devices = member(object, protocol::kDevices);
  if (devices == nullptr || !devices->is_object()) return result;
  for (const auto& [name, value] : devices->items()) {
    if (name.size() > kMaxText || !value.is_number_unsigned() || value.get<std::uint64_t>() > kMostFootprint) {
      return std::nullopt;
    }
    result[name] = value.get<std::uint64_t>();
  }
  return result;
}

std::optional<AgentAnswer> read_hello(const json& data) {
  const json& version = data[protocol::kProtocolMember];
  if (!version.is_number_unsigned()) return std::nullopt;
  if (version.get<std::uint64_t>() != protocol::kVersion) {
    return AgentHello{false, fmt::format("the engine speaks version {} of the protocol, this program version {}",
                                         version.get<std::uint64_t>(), protocol::kVersion)};
  }
  const json* const can_park = member(data, protocol::kCanPark);
  if (can_park == nullptr || !can_park->is_boolean()) return std::nullopt;
  if (can_park->get<bool>()) return AgentHello{true, ""};
  auto why_not = text_or_none(data, protocol::kWhyNot);
  if (!why_not) return std::nullopt;
  return AgentHello{true, why_not->empty() ? "the engine does not say why" : *std::move(why_not)};
}

std::optional<AgentAnswer> read_parking(const json& data) {
  const std::optional<std::uint64_t> id = id_of(data);
  const json& parked = data[protocol::kParked];
  auto refused = text_or_none(data, protocol::kRefused);
  const json* const busy = member(data, protocol::kBusy);
  if (!id || !parked.is_boolean() || !refused || (busy != nullptr && !busy->is_boolean())) return std::nullopt;
  AgentParking answer{*id, {}};
  protocol::ParkReport& report = answer.report;
  report.parked = parked.get<bool>();
  report.refused = *std::move(refused);
  report.busy = busy != nullptr && busy->get<bool>();
  for (const protocol::ParkNumber& number : protocol::kParkNumbers) {
    const std::optional<std::uint64_t> value = number_or_zero(data, number.name);
    if (!value) return std::nullopt;
    report.*number.value = *value;
  }
  if (report.parked && report.residue_bytes == 0) return std::nullopt;
  auto devices = read_devices(data);
  if (!devices) return std::nullopt;
  report.devices = *std::move(devices);
  return answer;
}

std::optional<AgentAnswer> read_measurement(const json& data) {
  const std::optional<std::uint64_t> id = id_of(data);
  if (!id) return std::nullopt;
  const json& measured = data[protocol::kMeasured];
  const json* const footprint = measured.is_object() ? member(measured, protocol::kFootprint) : nullptr;
  if (footprint == nullptr || !footprint->is_number_unsigned()) return AgentMeasurement{*id, {}};
  const std::uint64_t bytes = footprint->get<std::uint64_t>();
  if (bytes == 0 || bytes > kMostFootprint) return AgentMeasurement{*id, {}};
  const auto devices = read_devices(measured);
  if (!devices) return AgentMeasurement{*id, {}};
  Measurement result{Bytes(bytes)};
  for (const auto& [name, on_it] : *devices) result.devices[name] = Bytes(on_it);
  return AgentMeasurement{*id, std::move(result)};
}

std::optional<AgentAnswer> read_room(const json& data) {
  const std::optional<std::uint64_t> id = id_of(data);
  const json& rooms = data[protocol::kRoom];
  if (!id || !rooms.is_object()) return std::nullopt;
  AgentRoom answer{*id, {}};
  for (const auto& [name, room] : rooms.items()) {
    const auto free = room.is_object() ? number_or_zero(room, protocol::kFreeBytes) : std::nullopt;
    const auto total = room.is_object() ? number_or_zero(room, protocol::kTotalBytes) : std::nullopt;
    if (name.size() > kMaxText || !free || !total || *free > kMostFootprint || *total > kMostFootprint) {
      return std::nullopt;
    }
    answer.devices[name] = {Bytes(*total), Bytes(*free)};
  }
  return answer;
}

struct SegmentInJson {
  std::string tenant;
  protocol::SegmentName name;
};

// "tenant" and "name" of a segment; nothing if one of them is not what the protocol says. They become a path.
std::optional<SegmentInJson> read_segment(const json& object) {
  const auto tenant = text_or_none(object, protocol::kTenant);
  const auto text = text_or_none(object, protocol::kName);
  const auto name = text ? protocol::parse_segment_name(*text) : std::nullopt;
  if (!tenant || !protocol::is_tenant(*tenant) || !name) return std::nullopt;
  return SegmentInJson{*tenant, *name};
}

std::optional<AgentAnswer> read_saving(const json& data) {
  const std::optional<std::uint64_t> id = id_of(data);
  auto refused = text_or_none(data, protocol::kRefused);
  auto why_not = text_or_none(data, protocol::kWhyNot);
  const json* const more = member(data, protocol::kMore);
  if (!id || !refused || !why_not || (more != nullptr && !more->is_boolean())) return std::nullopt;
  AgentSaving saving{*id, {{}, more != nullptr && more->get<bool>(), *std::move(refused), *std::move(why_not)}};
  const json* const saved = member(data, protocol::kSaved);
  if (saved == nullptr || saved->empty()) return saving;
  auto segment = saved->is_object() ? read_segment(*saved) : std::nullopt;
  if (!segment) return std::nullopt;
  saving.answer.saved = {std::move(segment->tenant), segment->name};
  return saving;
}

std::optional<AgentAnswer> read_restored(const json& restored) {
  auto segment = restored.is_object() ? read_segment(restored) : std::nullopt;
  const auto tokens = segment ? number_or_zero(restored, protocol::kTokens) : std::nullopt;
  const auto took = segment ? number_or_zero(restored, protocol::kMicroseconds) : std::nullopt;
  const auto instead_of = segment ? number_or_zero(restored, protocol::kInsteadOfMicroseconds) : std::nullopt;
  if (!tokens || !took || !instead_of || *tokens > kMostTokens) return std::nullopt;
  const auto time = [](std::uint64_t us) { return std::chrono::microseconds(std::min(us, kMostMicroseconds)); };
  return ConversationNote{std::move(segment->tenant), segment->name, *tokens, time(*took), time(*instead_of), {}};
}

std::optional<AgentAnswer> read_unusable(const json& unusable) {
  auto segment = unusable.is_object() ? read_segment(unusable) : std::nullopt;
  auto why = segment ? text_or_none(unusable, protocol::kWhy) : std::nullopt;
  if (!why) return std::nullopt;
  return ConversationNote{std::move(segment->tenant),
                          segment->name,
                          0,
                          {},
                          {},
                          why->empty() ? "the engine does not say why" : *std::move(why)};
}

}  // namespace

std::optional<AgentAnswer> parse_agent_answer(std::string_view line) {
  const json data = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!data.is_object()) return std::nullopt;
  if (data.contains(protocol::kProtocolMember)) return read_hello(data);
  if (data.contains(protocol::kParked)) return read_parking(data);
  if (data.contains(protocol::kMeasured)) return read_measurement(data);
  if (data.contains(protocol::kRoom)) return read_room(data);
  if (data.contains(protocol::kRestored)) return read_restored(data[protocol::kRestored]);
  if (data.contains(protocol::kUnusable)) return read_unusable(data[protocol::kUnusable]);
  // Of an answer without any of these words: nothing was saved.
  const bool is_saving = data.contains(protocol::kSaved) || data.contains(protocol::kMore) ||
                         data.contains(protocol::kRefused) || data.contains(protocol::kWhyNot);
  return is_saving ? read_saving(data) : std::nullopt;
}

}  // namespace minerva
