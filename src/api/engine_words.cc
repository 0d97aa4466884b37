#include "api/engine_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace minerva::api {
namespace {

struct Sentence {
  std::string_view of_engine;  // a part of the engine's message
  ErrorCode code;
  std::string_view own;
  std::string_view param = {};
};

constexpr ErrorCode kCannot = ErrorCode::kUnsupported;
constexpr std::array kSentences = {
    Sentence{"does not support embeddings. Start it", kCannot,
             "This model makes no embeddings. Ask an embedding model (GET /v1/models lists what there is).", "model"},
    Sentence{"does not support reranking. Start it", kCannot,
             "This model puts no documents in order. Ask a reranker (GET /v1/models lists what there is).", "model"},
    Sentence{"Pooling type 'none' is not OAI compatible", kCannot,
             "This model makes a vector of each token, not one of a text: /v1/embeddings cannot give that. Ask "
             "/embedding, or set args = [\"--pooling\", \"mean\"] in its [model] section.",
             "model"},
    Sentence{"image input is not supported", kCannot,
             "This model takes no images. Ask a model that does, or leave the images out.", "messages"},
    Sentence{"audio input is not supported", kCannot,
             "This model takes no audio. Ask a model that does, or leave the audio out.", "messages"},
    Sentence{"video input is not supported", kCannot,
             "This model takes no video. Ask a model that does, or leave the video out.", "messages"},
    Sentence{"does not support audio input", kCannot, "This model takes no audio. Ask a model that does.", "model"},
    Sentence{"model does not support multimodal requests", kCannot,
             "This model takes no images or audio. Ask a model that does, or leave \"multimodal_data\" out.", "prompt"},
    Sentence{"Infill is not supported by this model", kCannot,
             "This model cannot fill in text: its vocabulary has no tokens for that. Ask a model of code.", "model"},
    Sentence{"does not support metrics endpoint", kCannot,
             "This model's engine keeps no metrics. Set args = [\"--metrics\"] in its [model] section.", "model"},
    Sentence{"does not support slots endpoint", kCannot,
             "This model's engine does not show its slots. Set args = [\"--slots\"] in its [model] section.", "model"},
    Sentence{"does not support slots action", ErrorCode::kNotSupported,
             "Slots are not saved or restored by request: Minerva parks models with their conversations by itself."},
    Sentence{"does not support changing global properties", ErrorCode::kNotSupported,
             "An engine's properties are not changed by request. Set them in the model's [model] section."},
    Sentence{"file:// URLs are not allowed", ErrorCode::kInvalidArgument,
             "Files of the server's machine are not read for a request. Send an http(s) URL, or the data itself as "
             "\"data:...;base64,...\".",
             "messages"},
    Sentence{"tools param requires --jinja", kCannot,
             "Tools need the model's template, which \"--no-jinja\" in the args of its [model] section turns off.",
             "tools"},
    Sentence{"tool_choice param requires --jinja", kCannot,
             "Tools need the model's template, which \"--no-jinja\" in the args of its [model] section turns off.",
             "tool_choice"},
    Sentence{"does not support 'previous_response_id'", kCannot,
             "Nothing is kept from one request for the next: send the whole conversation in \"input\", and leave "
             "\"previous_response_id\" out.",
             "previous_response_id"},
    Sentence{"unsupported content[].type", kCannot,
             "A part of a message is of a type that no engine here reads. Send text, or what the model's "
             "input_modalities say.",
             "messages"},
    Sentence{"try using --jinja", kCannot,
             "The model's chat template cannot be applied with \"--no-jinja\" in the args of its [model] section.",
             "model"},
};

// The beginning of a message that is about the request, whatever the status says.
struct Beginning {
  std::string_view text;
  std::string_view param;
};
constexpr std::array kAboutTheRequest = {
    Beginning{"\"prompt\" ", "prompt"},
    Beginning{"for mtmd, input prompt", "prompt"},
    Beginning{"Failed to tokenize prompt", "prompt"},
    Beginning{"Failed to load image or audio", "messages"},
    Beginning{"Failed to download image", "messages"},
    Beginning{"Invalid base64 value", "messages"},
    Beginning{"Cannot use both json_schema and grammar", "grammar"},
    Beginning{"\"json_schema\": ", "json_schema"},
    Beginning{"Error: 'lora' must be", "lora"},
    Beginning{"Error: dry_sequence_breakers", "dry_sequence_breakers"},
    Beginning{"Only no echo is supported", "echo"},
    Beginning{"Unsupported param: ", ""},
    Beginning{"'messages' is required", "messages"},
};

// The text between two other texts; empty if the two are not there in that order.
std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
  const std::size_t begin = text.find(before);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin + before.size());
  return text.substr(0, std::min(text.find(after), text.size()));
}

// An error of nlohmann's JSON: "[json.exception.type_error.302] type must be string, but is number".
struct ParserSays {
  std::string_view kind;    // "type_error.302"
  std::string_view reason;  // a clause
};
std::optional<ParserSays> parser_says(std::string_view message) {
  constexpr std::string_view kMark = "[json.exception.";
  const std::size_t mark = message.find(kMark);
  if (mark == std::string_view::npos) return std::nullopt;
  message.remove_prefix(mark + kMark.size());
  std::string_view reason = between(message, "] ", "; ");
  const std::size_t clause = reason.find(" - ");
  if (clause != std::string_view::npos) reason.remove_prefix(clause + 3);
  return ParserSays{message.substr(0, std::min(message.find(']'), message.size())), reason};
}

std::optional<Error> of_parser(std::string_view message) {
  const auto says = parser_says(message);
  if (!says) return std::nullopt;
  // The engine could not write its own answer.
  if (says->kind == "type_error.316") {
    return Error{ErrorCode::kInternal, "The engine's answer holds bytes that are no text."};
  }
  if (says->kind == "out_of_range.403") {
    const std::string name(between(says->reason, "key '", "'"));
    return Error{ErrorCode::kInvalidArgument, fmt::format("\"{}\" is missing.", name), name};
  }
  const std::string_view what =
      says->kind.starts_with("parse_error") ? "The body is broken JSON" : "A member of the body is of the wrong kind";
  const std::string_view colon = says->reason.empty() ? "" : ": ";
  return Error{ErrorCode::kInvalidArgument, fmt::format("{}{}{}.", what, colon, says->reason)};
}

// "Field 'n_cmpl': Value must be between 1 <= value <= 2, but got 3"
std::optional<Error> of_field(std::string_view message) {
  if (!message.starts_with("Field '")) return std::nullopt;
  const std::string name(between(message, "Field '", "'"));
  const std::string_view most = between(message, "<= value <= ", ",");
  if (!most.empty()) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("\"{}\" must be from {} to {}, and is {}.", name, between(message, "must be between ", " <= value"),
                    most, between(message, "but got ", "\n")),
        name};
  }
  const auto says = parser_says(message);
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("\"{}\": {}.", name, says ? says->reason : between(message, "': ", "\n")), name};
}

// "Failed to parse messages: ..."
std::optional<Error> of_part(std::string_view message) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kParts = {{
      {"Failed to parse tool call arguments as JSON: ", "messages"},
      {"Failed to parse messages: ", "messages"},
      {"Failed to parse tools: ", "tools"},
  }};
  for (const auto& [beginning, name] : kParts) {
    if (!message.starts_with(beginning)) continue;
    const auto says = parser_says(message);
    const std::string_view reason = says ? says->reason : between(message, beginning, "; tools = ");
    return Error{ErrorCode::kInvalidArgument, fmt::format("\"{}\" cannot be read: {}.", name, reason),
                 std::string(name)};
  }
  return std::nullopt;
}

// "input (1502 tokens) is too large to process. increase the physical batch size (current batch size: 512)": the input
// of an embedding model or a reranker has to fit into one batch.
std::optional<Error> of_length(std::string_view message) {
  const std::string_view tokens = between(message, "input (", " tokens) is too large to process");
  const std::string_view most = between(message, "current batch size: ", ")");
  if (tokens.empty() || most.empty()) return std::nullopt;
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("The input has {} tokens, and this model takes {} at once. Send less text, or raise the "
                           "batch (args = [\"--ubatch-size\", ...]) in its [model] section.",
                           tokens, most),
               "input"};
}

}  // namespace

std::optional<Error> in_own_words(std::string_view message) {
  for (const Sentence& sentence : kSentences) {
    if (message.find(sentence.of_engine) == std::string_view::npos) continue;
    return Error{sentence.code, std::string(sentence.own), std::string(sentence.param)};
  }
  for (const auto reads : {of_length, of_field, of_part, of_parser}) {
    if (auto error = reads(message)) return error;
  }
  for (const Beginning& beginning : kAboutTheRequest) {
    if (!message.starts_with(beginning.text)) continue;
    return Error{ErrorCode::kInvalidArgument, std::string(message), std::string(beginning.param)};
  }
  return std::nullopt;
}

}  // namespace minerva::api
