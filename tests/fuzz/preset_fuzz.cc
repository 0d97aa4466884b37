// A preset's changes to a body. The first line is the preset, as JSON; the rest is the body. To a full parser the
// rewritten text must mean the same as the parsed body after the same changes: the engine reads the text, and the
// config's author thinks of the changes.
#include <nlohmann/json.hpp>

#include "api/preset.h"
#include "fuzz/input.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)
using nlohmann::json;

namespace {

// Nothing if the config would refuse the preset.
std::optional<api::Preset> read_preset(std::string_view text) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return std::nullopt;
  api::Preset preset{"p", {}, "m"};
  if (const auto strip = object.find("strip"); strip != object.end()) {
    for (const json& name : *strip) {
      if (name.is_string()) preset.strip.push_back(name.get<std::string>());
    }
  }
  if (!api::check_strip(preset.strip)) return std::nullopt;
  for (const auto& [key, values] : {std::pair{"default", &preset.defaults}, std::pair{"set", &preset.set}}) {
    const auto given = object.find(key);
    if (given == object.end()) continue;
    auto parsed = api::parse_preset_values(given->dump());
    if (!parsed) return std::nullopt;
    *values = *std::move(parsed);
  }
  if (const auto system = object.find("system"); system != object.end() && system->is_string()) {
    preset.system = system->get<std::string>();
  }
  return preset;
}

void merge(json& into, const json& value) {
  if (!into.is_object() || !value.is_object()) {
    into = value;
    return;
  }
  for (const auto& [name, member] : value.items()) merge(into[name], member);
}

// Makes the same changes in a parsed body. The unit tests cover system prompts, and names with the same meaning.
json expected(const api::Preset& preset, json body) {
  for (const std::string& name : preset.strip) body.erase(name);
  for (const api::PresetValue& value : preset.defaults) {
    if (!body.contains(value.name) || body[value.name].is_null()) body[value.name] = json::parse(value.json);
  }
  for (const api::PresetValue& value : preset.set) merge(body[value.name], json::parse(value.json));
  if (body.contains("model")) body["model"] = preset.model;
  return body;
}

bool has_synonyms(std::string_view text) {
  return text.find("max_") != std::string_view::npos || text.find("n_predict") != std::string_view::npos ||
         text.find("\\u") != std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  const std::size_t end = std::min(input.text.find('\n'), input.text.size());
  const auto preset = read_preset(input.text.substr(0, end));
  if (!preset) return 0;
  const std::string body(input.text.substr(std::min(end + 1, input.text.size())));

  api::RoutingScan scan(/*note_members=*/true);
  fuzz::in_pieces(body, input.steer >> 2, [&](std::string_view part) { scan.feed(part); });
  if (!scan.finish()) return 0;
  const auto form = static_cast<api::PromptForm>(input.steer & 3);
  const auto rewritten = api::rewrite(*preset, form, body, *scan.members());
  if (!rewritten) {
    check(!rewritten.error().message.empty(), "a refusal without words");
    return 0;
  }
  const json before = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (before.is_discarded()) return 0;  // the engine refuses it
  const json after = json::parse(*rewritten, nullptr, /*allow_exceptions=*/false);
  check(after.is_object(), "a body is broken by a preset");
  api::RoutingScan again;
  again.feed(*rewritten);
  check(again.finish().has_value(), "a rewritten body is refused at the door");
  if (preset->system.empty() && !has_synonyms(input.text)) {
    check(after == expected(*preset, before), "a rewritten body means something else");
  }
  return 0;
}
