// The model that a body names, and how much of an engine it takes. The scan must agree with a full parser, since the
// engine uses one: otherwise the wrong model would run the request.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/routing_scan.h"
#include "fuzz/input.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

namespace {

struct Outcome {
  bool accepted = false;
  std::optional<std::string> model = {};
  bool stream = false;
  unsigned slots = 1;
  unsigned prompts = 1;
  bool names_slot = false;
  std::string error = {};
  bool operator==(const Outcome&) const = default;
};

Outcome scan(std::string_view content_type, std::string_view text, std::size_t piece) {
  const auto scanner = api::make_scan(content_type);
  if (!scanner) return {.error = scanner.error().message};
  fuzz::in_pieces(text, piece, [&](std::string_view part) { (*scanner)->feed(part); });
  auto routing = (*scanner)->finish();
  if (!routing) return {.error = routing.error().message};
  return {true, routing->model, routing->stream, routing->slots, routing->prompts, routing->names_slot, ""};
}

void compare_slots(const nlohmann::json& json, const Outcome& outcome) {
  unsigned slots = 1;
  for (const char* name : {"n", "n_cmpl"}) {
    const auto value = json.find(name);
    if (value != json.end() && value->is_number()) slots = std::max(slots, value->get<unsigned>());
  }
  check(slots == outcome.slots, "the scan and the parser disagree on how many answers are asked for");
  std::size_t prompts = 1;
  for (const char* name : {"prompt", "input", "content", "documents", "texts"}) {
    const auto value = json.find(name);
    if (value == json.end() || !value->is_array()) continue;
    const bool several =
        std::all_of(value->begin(), value->end(), [](const auto& e) { return e.is_string() || e.is_structured(); });
    if (several) prompts = std::max(prompts, value->size());
  }
  check(std::min<std::size_t>(prompts, api::RoutingScan::kMaxPrompts) == outcome.prompts,
        "the scan and the parser disagree on the number of prompts");
  const auto slot = json.find("id_slot");
  const bool any_slot = slot == json.end() || slot->is_null() || *slot == -1;
  // A fraction may have more digits than the scan reads: then the scan takes it for a slot.
  const bool is_fraction = slot != json.end() && slot->is_number_float();
  check(any_slot != outcome.names_slot || is_fraction, "the scan and the parser disagree on a named slot");
}

void compare_with_full_parser(std::string_view text, const Outcome& outcome) {
  if (!outcome.accepted) return;
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return;  // the scan checks less: the engine refuses such a body
  const auto model = json.find("model");
  const bool named = model != json.end() && model->is_string();
  check(named == outcome.model.has_value(), "the scan and the parser disagree on whether a model is named");
  check(!named || model->get<std::string>() == *outcome.model, "the scan and the parser read different models");
  const auto stream = json.find("stream");
  const bool streams = stream != json.end() && stream->is_boolean() && stream->get<bool>();
  check(streams == outcome.stream, "the scan and the parser disagree on the stream");
  compare_slots(json, outcome);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  const bool multipart = (input.steer & 1) != 0;
  std::string content_type = multipart ? "multipart/form-data; boundary=b" : "application/json";
  std::string_view body = input.text;
  if ((input.steer & 3) == 3) {  // the client also chooses the content type
    const std::size_t end = std::min(body.find('\n'), body.size());
    content_type = body.substr(0, end);
    body.remove_prefix(std::min(end + 1, body.size()));
  }
  const Outcome whole = scan(content_type, body, 0);
  check(whole == scan(content_type, body, input.steer >> 2), "the pieces of a body change what it says");
  check(whole.accepted || !whole.error.empty(), "a refusal without words");
  if (content_type == "application/json") compare_with_full_parser(body, whole);
  return 0;
}
