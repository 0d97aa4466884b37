#include "engine/agent_answer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/json_member.h"

namespace minerva {
namespace {

using nlohmann::json;

constexpr std::uint64_t kProtocol = 1;
constexpr std::size_t kMaxText = 300;
constexpr std::uint64_t kMostFootprint = std::uint64_t{1} << 50;  // more is no figure, and sums are to stay right

// Of a member that may be absent. Nothing: it is there, and not such a value.
std::optional<std::string> text_or_none(const json& object, const char* name) {
  const json* const value = member(object, name);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return std::nullopt;
  std::string text = value->get<std::string>();
  if (text.size() <= kMaxText) return text;
  std::size_t end = kMaxText;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // no character is cut in two
  return text.substr(0, end) + "...";
}
std::optional<Bytes> bytes_of(const json& object, const char* name) {
  const json* const value = member(object, name);
  if (value == nullptr) return Bytes(0);
  if (!value->is_number_unsigned()) return std::nullopt;
  return Bytes(value->get<std::uint64_t>());
}

std::optional<AgentAnswer> read_hello(const json& data) {
  const json& protocol = data["protocol"];
  if (!protocol.is_number_unsigned()) return std::nullopt;
  if (protocol.get<std::uint64_t>() != kProtocol) {
    return AgentHello{false, fmt::format("the engine speaks version {} of the protocol, this program version {}",
                                         protocol.get<std::uint64_t>(), kProtocol)};
  }
  const json* const can_park = member(data, "can_park");
  if (can_park == nullptr || !can_park->is_boolean()) return std::nullopt;
  if (can_park->get<bool>()) return AgentHello{true, ""};
  auto why_not = text_or_none(data, "why_not");
  if (!why_not) return std::nullopt;
  return AgentHello{true, why_not->empty() ? "the engine does not say why" : *std::move(why_not)};
}

std::optional<AgentAnswer> read_parking(const json& data) {
  const json& parked = data["parked"];
  auto refused = text_or_none(data, "refused");
  const auto image_wanted = bytes_of(data, "image_wanted_bytes");
  const auto written = bytes_of(data, "written_bytes");
  const auto image = bytes_of(data, "image_bytes");
  const auto residue = bytes_of(data, "residue_bytes");
  const auto cached = bytes_of(data, "cached_bytes");
  const auto missing = bytes_of(data, "missing_bytes");
  const auto dropped = bytes_of(data, "dropped_bytes");
  const json* const busy = member(data, "busy");
  if (busy != nullptr && !busy->is_boolean()) return std::nullopt;
  if (!parked.is_boolean() || !refused || !image_wanted || !written || !image || !residue) return std::nullopt;
  if (!cached || !missing || !dropped) return std::nullopt;
  const bool is_parked = parked.get<bool>();
  if (is_parked && (!refused->empty() || *residue == Bytes(0))) return std::nullopt;
  const bool at_work = busy != nullptr && busy->get<bool>();
  return AgentParking{
      is_parked, *std::move(refused), at_work, *image_wanted, *written, *image, *residue, *cached, *missing, *dropped};
}

std::optional<AgentAnswer> read_measurement(const json& data) {
  const json& measured = data["measured"];
  const json* const footprint = measured.is_object() ? member(measured, "footprint_bytes") : nullptr;
  if (footprint == nullptr || !footprint->is_number_unsigned()) return AgentMeasurement{};
  const std::uint64_t bytes = footprint->get<std::uint64_t>();
  if (bytes == 0 || bytes > kMostFootprint) return AgentMeasurement{};
  return AgentMeasurement{Bytes(bytes)};
}

}  // namespace

std::optional<AgentAnswer> parse_agent_answer(std::string_view line) {
  const json data = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!data.is_object()) return std::nullopt;
  if (data.contains("protocol")) return read_hello(data);
  if (data.contains("parked")) return read_parking(data);
  if (data.contains("measured")) return read_measurement(data);
  return std::nullopt;
}

}  // namespace minerva
