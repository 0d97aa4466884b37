#include "ollama/embed.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace minerva::ollama {
namespace {

Result<std::vector<std::string>> inputs_of(EmbedVerb verb, const Json& body) {
  std::vector<std::string> inputs;
  const char* const name = verb == EmbedVerb::kEmbed ? "input" : "prompt";
  const Json* const value = find_member(body, name);
  if (value == nullptr) return inputs;
  if (value->is_string()) {
    if (!value->get_ref<const std::string&>().empty()) inputs.push_back(value->get<std::string>());
    return inputs;
  }
  const bool texts = verb == EmbedVerb::kEmbed && value->is_array() &&
                     std::all_of(value->begin(), value->end(), [](const Json& v) { return v.is_string(); });
  if (!texts) return fail(wrong_type(name, verb == EmbedVerb::kEmbed ? "a text or a list of texts" : "a text"));
  for (const Json& text : *value) inputs.push_back(text.get<std::string>());
  return inputs;
}

std::string engine_body(const std::string& model, const std::vector<std::string>& inputs) {
  return api::dump(Json{{"model", model}, {"input", inputs}, {"encoding_format", "float"}});
}

// Keeps the first `most` values, and scales them to length 1 again.
void shorten(Json& vector, std::size_t most) {
  if (!vector.is_array() || vector.size() <= most) return;
  vector.erase(vector.begin() + static_cast<std::ptrdiff_t>(most), vector.end());
  double sum = 0;
  for (const Json& value : vector) sum += value.is_number() ? value.get<double>() * value.get<double>() : 0;
  if (sum <= 0) return;
  for (Json& value : vector) {
    if (value.is_number()) value = value.get<double>() / std::sqrt(sum);
  }
}

// The first `bytes` bytes at most, without cutting a character.
std::string cut(const std::string& text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  const auto continues = [&](std::size_t at) { return (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U; };
  while (bytes > 0 && continues(bytes)) --bytes;
  return text.substr(0, bytes);
}

}  // namespace

Result<bool> embeds_nothing(EmbedVerb verb, const Request& request) {
  return inputs_of(verb, request.body).map([](const auto& inputs) { return inputs.empty(); });
}

std::string empty_embedding(EmbedVerb verb, const Answer& answer) {
  if (verb == EmbedVerb::kEmbedding) return api::dump(Json{{"embedding", Json::array()}});
  return api::dump(Json{{"model", answer.model}, {"embeddings", Json::array()}});
}

Result<EngineRequest> translate(EmbedVerb verb, const Request& request, Answer answer) {
  Result<std::vector<std::string>> inputs = inputs_of(verb, request.body);
  if (!inputs) return fail(inputs.error());
  std::size_t dimensions = 0;
  if (const Json* given = find_member(request.body, "dimensions")) {
    if (!given->is_number_unsigned()) return fail(wrong_type("dimensions", "a whole number"));
    dimensions = given->get<std::size_t>();
  }
  EngineRequest result;
  result.path = "/v1/embeddings";
  result.body = engine_body(request.model, *inputs);
  if (auto refused = over_limits(result.body)) return fail(*std::move(refused));
  if (!request.truncate) inputs->clear();
  result.answer = std::make_unique<EmbedAnswer>(verb, std::move(answer), request.model, *std::move(inputs), dimensions);
  return result;
}

Result<std::string> EmbedAnswer::take(std::string_view piece) {
  text_ += piece;
  if (text_.size() > kMaxAnswer) return not_understood("it is too long");
  return std::string();
}

Result<std::string> EmbedAnswer::finish() {
  std::optional<Json> whole = parse_foreign(text_);
  text_.clear();
  const Json* const data = whole ? find_member(*whole, "data") : nullptr;
  if (data == nullptr || !data->is_array() || data->empty()) return not_understood("it has no embeddings");
  Work work;
  note_work(*whole, work);
  Json vectors = Json::array();
  for (Json& item : (*whole)["data"]) {
    const Json* const vector = find_member(item, "embedding");
    if (vector == nullptr || !vector->is_array()) return not_understood("an embedding is no list of numbers");
    vectors.push_back(std::move(item["embedding"]));
    if (dimensions_ > 0) shorten(vectors.back(), dimensions_);
  }
  if (verb_ == EmbedVerb::kEmbedding) return api::dump(Json{{"embedding", vectors[0]}});
  Json json = {{"model", answer_.model}, {"embeddings", std::move(vectors)}};
  add_work(answer_, work, /*generates=*/false, json);
  return api::dump(json);
}

std::optional<std::string> EmbedAnswer::smaller_body(int /*status*/, std::string_view answer) {
  if (inputs_.empty() || tries_ >= kMaxTries) return std::nullopt;
  const std::optional<double> part = part_that_fits(answer);
  if (!part) return std::nullopt;
  const auto longest = std::max_element(inputs_.begin(), inputs_.end(),
                                        [](const auto& a, const auto& b) { return a.size() < b.size(); });
  // The engine does not say which text was too long, so every text is cut to what the longest may have. The cut takes a
  // little more than the engine says, since texts have different numbers of tokens per byte.
  constexpr double kMargin = 0.95;
  const auto most = static_cast<std::size_t>(static_cast<double>(longest->size()) * *part * kMargin);
  if (most == 0 || most >= longest->size()) return std::nullopt;
  for (std::string& input : inputs_) input = cut(input, most);
  ++tries_;
  return engine_body(model_, inputs_);
}

}  // namespace minerva::ollama
