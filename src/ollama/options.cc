#include "ollama/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace minerva::ollama {
namespace {

enum class Kind { kWhole, kNumber, kFlag, kAny };
struct Option {
  std::string_view name;    // Ollama's name
  std::string_view engine;  // llama.cpp's name
  Kind kind;
};

// Source: Ollama's documentation of the Modelfile's parameters; llama.cpp v0.5.0, server-schema.cpp.
constexpr std::array kOptions = {
    Option{"num_predict", "n_predict", Kind::kWhole},
    Option{"num_keep", "n_keep", Kind::kWhole},
    Option{"seed", "seed", Kind::kWhole},
    Option{"temperature", "temperature", Kind::kNumber},
    Option{"top_k", "top_k", Kind::kWhole},
    Option{"top_p", "top_p", Kind::kNumber},
    Option{"min_p", "min_p", Kind::kNumber},
    Option{"typical_p", "typical_p", Kind::kNumber},
    Option{"repeat_last_n", "repeat_last_n", Kind::kWhole},
    Option{"repeat_penalty", "repeat_penalty", Kind::kNumber},
    Option{"presence_penalty", "presence_penalty", Kind::kNumber},
    Option{"frequency_penalty", "frequency_penalty", Kind::kNumber},
    Option{"mirostat", "mirostat", Kind::kWhole},
    Option{"mirostat_tau", "mirostat_tau", Kind::kNumber},
    Option{"mirostat_eta", "mirostat_eta", Kind::kNumber},
    Option{"stop", "stop", Kind::kAny},
    // Options that Ollama does not have.
    Option{"top_n_sigma", "top_n_sigma", Kind::kNumber},
    Option{"xtc_probability", "xtc_probability", Kind::kNumber},
    Option{"xtc_threshold", "xtc_threshold", Kind::kNumber},
    Option{"dynatemp_range", "dynatemp_range", Kind::kNumber},
    Option{"dynatemp_exponent", "dynatemp_exponent", Kind::kNumber},
    Option{"dry_multiplier", "dry_multiplier", Kind::kNumber},
    Option{"dry_base", "dry_base", Kind::kNumber},
    Option{"dry_allowed_length", "dry_allowed_length", Kind::kWhole},
    Option{"dry_penalty_last_n", "dry_penalty_last_n", Kind::kWhole},
    Option{"logit_bias", "logit_bias", Kind::kAny},
    Option{"cache_prompt", "cache_prompt", Kind::kFlag},
};

// The value as a whole number, also if a client writes it as a fraction. Nothing if it is no whole number.
std::optional<std::int64_t> whole(const Json& value) {
  if (value.is_number_integer()) {
    if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX) return std::nullopt;
    return value.get<std::int64_t>();
  }
  constexpr double kMost = 9e15;  // above this a double cannot hold every whole number
  if (!value.is_number_float()) return std::nullopt;
  const double number = value.get<double>();
  if (!(std::abs(number) <= kMost) || number != std::trunc(number)) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

std::int64_t in_llamas_terms(std::string_view name, std::int64_t value, unsigned context) {
  constexpr unsigned kUnknownContext = 8192;
  // 0, -1 and -2 mean: until the answer ends by itself or the context is full.
  if (name == "num_predict" && value <= 0) return -1;
  if (name == "repeat_last_n" && value < 0) return context > 0 ? context : kUnknownContext;
  if (name == "num_keep" && value < 0) return -1;
  return value;
}

bool is_text_or_texts(const Json& value) {
  return value.is_string() ||
         (value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); }));
}

}  // namespace

std::optional<Error> add_options(const Json& request, unsigned context, Json& engine) {
  if (const Json* const kept = find_member(request, "cache_prompt")) {
    if (!kept->is_boolean()) return wrong_type("cache_prompt", "true or false");
    engine["cache_prompt"] = *kept;
  }
  const Json* const options = find_member(request, "options");
  if (options == nullptr) return std::nullopt;
  if (!options->is_object()) return wrong_type("options", "an object");
  for (const Option& option : kOptions) {
    const Json* const value = find_member(*options, std::string(option.name).c_str());
    if (value == nullptr) continue;
    const std::string name = fmt::format("options.{}", option.name);
    Json& to = engine[std::string(option.engine)];
    switch (option.kind) {
      case Kind::kWhole: {
        const auto number = whole(*value);
        if (!number) return wrong_type(name, "a whole number");
        to = in_llamas_terms(option.name, *number, context);
        break;
      }
      case Kind::kNumber:
        if (!value->is_number()) return wrong_type(name, "a number");
        to = *value;
        break;
      case Kind::kFlag:
        if (!value->is_boolean()) return wrong_type(name, "true or false");
        to = *value;
        break;
      case Kind::kAny:
        if (option.name == "stop" && !is_text_or_texts(*value)) return wrong_type(name, "a text or a list of texts");
        to = option.name == "stop" && value->is_string() ? Json::array({*value}) : *value;
        break;
    }
  }
  return std::nullopt;
}

Result<Json> schema_of(const Json& request) {
  const Json* const format = find_member(request, "format");
  if (format == nullptr || is_empty_text(*format)) return Json(nullptr);
  if (*format == "json") return Json::object();
  if (!format->is_object()) return fail(wrong_type("format", "\"json\" or a JSON schema"));
  return *format;
}

std::optional<Error> add_thinking(const Json& request, Json& engine) {
  const Json* const think = find_member(request, "think");
  if (think == nullptr || is_empty_text(*think)) return std::nullopt;
  if (think->is_boolean()) {
    engine["chat_template_kwargs"] = {{"enable_thinking", *think}};
    return std::nullopt;
  }
  if (!think->is_string()) return wrong_type("think", "true, false, or how hard: \"low\", \"medium\" or \"high\"");
  engine["chat_template_kwargs"] = {{"enable_thinking", true}};
  engine["reasoning_effort"] = *think;
  return std::nullopt;
}

}  // namespace minerva::ollama
