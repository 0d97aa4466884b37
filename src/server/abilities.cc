#include "server/abilities.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace minerva {
namespace {

using api::Work;

// "--name", or "--name=value" as llama.cpp does not take it but a later one may.
template <std::size_t N>
bool sets_any(const ModelSpec& spec, const std::array<std::string_view, N>& names) {
  return std::any_of(spec.args.begin(), spec.args.end(), [&](std::string_view argument) {
    return std::find(names.begin(), names.end(), argument.substr(0, argument.find('='))) != names.end();
  });
}

// The operator has said what kind of model it is to be.
bool kind_is_set(const ModelSpec& spec) {
  constexpr std::array<std::string_view, 5> kNames = {"--embedding", "--embeddings", "--rerank", "--reranking",
                                                      "--pooling"};
  return sets_any(spec, kNames);
}

bool has_template(const ModelSpec& spec, const ModelMetadata& known) {
  constexpr std::array<std::string_view, 2> kNames = {"--chat-template", "--chat-template-file"};
  return known.has_chat_template || sets_any(spec, kNames);
}

bool makes_vectors(const ModelMetadata& known) { return known.can_embed || known.can_rerank; }

std::string_view kind(const ModelSpec& spec, const ModelMetadata& known) {
  if (known.can_rerank) return "a reranker";
  if (known.can_embed) return "an embedding model";
  if (!known.can_generate) return "a model that generates no text";
  return has_template(spec, known) ? "a chat model" : "a text model without a chat template";
}

// What a projector takes is known of files that were inspected lately.
bool takes_audio(const ModelMetadata& known) {
  const auto& takes = known.input_modalities;
  return known.multimodal && (takes.empty() || std::find(takes.begin(), takes.end(), "audio") != takes.end());
}

Error unsupported(std::string message, std::string param = "model") {
  return {ErrorCode::kUnsupported, std::move(message), std::move(param)};
}

std::string_view noun(api::Media::Kind kind) {
  switch (kind) {
    case api::Media::Kind::kAudio:
      return "audio";
    case api::Media::Kind::kVideo:
      return "video";
    case api::Media::Kind::kImage:
      break;
  }
  return "images";
}

}  // namespace

std::optional<Error> refuse_work(const ModelSpec& spec, const ModelMetadata& known, Work work) {
  const auto is_a = [&](std::string_view and_so) {
    return unsupported(fmt::format("\"{}\" is {}: {}", spec.id, kind(spec, known), and_so));
  };
  switch (work) {
    case Work::kAny:
      break;
    case Work::kChat:
    case Work::kComplete:
      if (kind_is_set(spec)) break;
      if (makes_vectors(known) || !known.can_generate) {
        return is_a("it generates no text. Ask a chat model (GET /v1/models lists what there is).");
      }
      if (work == Work::kComplete) break;
      [[fallthrough]];
    case Work::kTemplate:
      if (has_template(spec, known)) break;
      return unsupported(fmt::format(
          "\"{}\" has no chat template in its file: nobody can tell how messages are to be written for it. "
          "Send a prompt to /v1/completions, or set args = [\"--chat-template\", \"chatml\"] (or what suits "
          "it) in its [model] section.",
          spec.id));
    case Work::kEmbed:
    case Work::kEmbedRaw:
      if (known.can_embed || (work == Work::kEmbedRaw && kind_is_set(spec))) break;
      return is_a("it makes no embeddings. Ask an embedding model (GET /v1/models lists what there is).");
    case Work::kRerank:
      if (known.can_rerank) break;
      return is_a("it puts no documents in order. Ask a reranker (GET /v1/models lists what there is).");
    case Work::kTranscribe:
      if (takes_audio(known)) break;
      return refuse_media(spec.id, {api::Media::Kind::kAudio, "model"});
  }
  return std::nullopt;
}

std::optional<Error> refuse_answers(const ModelSpec& spec, Work work, unsigned answers) {
  if ((work != Work::kChat && work != Work::kComplete) || answers <= std::max(1U, spec.parallel)) return std::nullopt;
  return unsupported(fmt::format("\"{}\" gives {} answers at once, and {} were asked for. Ask for fewer, or raise "
                                 "\"parallel\" in its [model] section.",
                                 spec.id, std::max(1U, spec.parallel), answers),
                     "n");
}

bool takes_no_media(const ModelMetadata& known, Work work) {
  const bool reads_parts = work == Work::kChat || work == Work::kTemplate || work == Work::kComplete ||
                           work == Work::kEmbed || work == Work::kEmbedRaw;
  return reads_parts && !known.multimodal;
}

Error refuse_media(const ModelId& model, const api::Media& media) {
  return unsupported(
      fmt::format("\"{}\" takes no {}, as it has no projector for them. Ask a model that takes them, leave the "
                  "{} out, or put its projector (mmproj-*.gguf) beside its file.",
                  model, noun(media.kind), noun(media.kind)),
      std::string(media.member));
}

}  // namespace minerva
