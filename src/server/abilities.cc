#include "server/abilities.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace minerva {
namespace {

using api::Work;

// Whether the arguments have "--name" or "--name=value". llama.cpp does not take the second form yet, but a later
// version may.
template <std::size_t N>
bool sets_any(const ModelSpec& spec, const std::array<std::string_view, N>& names) {
  return std::any_of(spec.args.begin(), spec.args.end(), [&](std::string_view argument) {
    return std::find(names.begin(), names.end(), argument.substr(0, argument.find('='))) != names.end();
  });
}

// Whether the operator's settings say what kind of model it is.
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

Error unsupported(std::string message, std::string param = "model") {
  return {ErrorCode::kUnsupported, std::move(message), std::move(param)};
}

std::string_view noun(api::Media::Kind kind) {
  switch (kind) {
    case api::Media::Kind::kAudio:
      return "audio";
    case api::Media::Kind::kVideo:
      return "video";
    case api::Media::Kind::kDocument:
      return "documents";
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
    case Work::kInfill:
      if (work != Work::kInfill && kind_is_set(spec)) break;
      if (makes_vectors(known) || !known.can_generate) {
        return is_a("it generates no text. Ask a chat model (GET /v1/models lists what there is).");
      }
      if (work == Work::kComplete || (work == Work::kInfill && known.can_infill)) break;
      if (work == Work::kInfill) {
        return is_a(
            "its file has no tokens that mark the text before and after a gap, so it fills none. Ask a model for code "
            "that has them, or send a prompt to /v1/completions.");
      }
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
      if (const api::MediaKinds taken = media_taken(known); !taken.contains(api::Media::Kind::kAudio)) {
        return refuse_media(spec.id, taken, {api::Media::Kind::kAudio, "model"});
      }
      break;
  }
  return std::nullopt;
}

std::optional<Error> refuse_answers(const ModelSpec& spec, Work work, unsigned answers) {
  const bool generates = work == Work::kChat || work == Work::kComplete || work == Work::kInfill;
  if (!generates || answers <= std::max(1U, slots_of(spec))) return std::nullopt;
  return unsupported(fmt::format("\"{}\" gives {} answers at once, and {} were asked for. Ask for fewer, or raise "
                                 "\"parallel\" in its [model] section.",
                                 spec.id, std::max(1U, slots_of(spec)), answers),
                     "n");
}

Error refuse_named_slot() {
  return {
      ErrorCode::kInvalidArgument,
      "\"id_slot\" picks a slot of the engine, and the request would wait for that slot inside the engine, where "
      "deadlines and other models' turns do not count. Leave \"id_slot\" out: Minerva waits for a free slot, and the "
      "engine then takes the free slot whose cached prompt is most like the request's.",
      "id_slot"};
}

api::MediaKinds media_taken(const ModelMetadata& known) {
  using Kind = api::Media::Kind;
  if (!known.multimodal) return {};
  const auto& names = known.input_modalities;
  const auto takes = [&](std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  api::MediaKinds kinds;
  if (names.empty() || takes("image")) kinds = {Kind::kImage, Kind::kVideo};  // a film is a sequence of images
  if (names.empty() || takes("audio")) kinds.insert(Kind::kAudio);
  return kinds;
}

bool reads_parts(Work work) {
  return work == Work::kChat || work == Work::kTemplate || work == Work::kComplete || work == Work::kInfill ||
         work == Work::kEmbed || work == Work::kEmbedRaw;
}

Error refuse_media(const ModelId& model, const api::MediaKinds& taken, const api::Media& media) {
  if (media.kind == api::Media::Kind::kDocument) {
    return unsupported("No engine here reads documents (files): put their text into the message.",
                       std::string(media.member));
  }
  const std::string_view what = noun(media.kind);
  if (!taken.empty()) {
    return unsupported(fmt::format("\"{}\" takes no {}, as its projector is for something else. Ask a model that takes "
                                   "{}, or leave the {} out.",
                                   model, what, what, what),
                       std::string(media.member));
  }
  return unsupported(
      fmt::format("\"{}\" takes no {}, as it has no projector for that. Ask a model that takes {}, leave the "
                  "{} out, or put its projector (mmproj-*.gguf) beside its file.",
                  model, what, what, what),
      std::string(media.member));
}

}  // namespace minerva
