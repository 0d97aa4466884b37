// Needs: what a request asks of a model, by its route and its body. A request that the model cannot serve is then
// refused before anything is loaded for it.
//
// Pure; any thread. server/abilities.h judges whether a model can.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string_view>

namespace minerva::api {

enum class Work : std::uint8_t {
  kAny,         // every model can, or only its engine knows
  kChat,        // an answer to messages
  kTemplate,    // messages as one text, or the number of their tokens
  kComplete,    // the continuation of a text
  kInfill,      // text between two texts
  kEmbed,       // vectors in the shape of OpenAI's API: one for each input
  kEmbedRaw,    // llama.cpp's own shape: also one for each token, from a model that does not pool
  kRerank,      // documents in an order
  kTranscribe,  // the text of a recording
};

// `path`: the path of an engine's route, with or without a version in front, and with any slashes at its end.
Work work_of(std::string_view path);

struct Media {
  enum class Kind : std::uint8_t { kImage, kAudio, kVideo, kDocument };
  Kind kind = Kind::kImage;
  std::string_view member;  // the member of the body that holds it: "messages", "input", "prompt" or "system"

  bool operator==(const Media&) const = default;
};

using MediaKinds = std::set<Media::Kind>;

// The first image, recording, film or document (a file) in a JSON body whose kind is not in `taken`. Nothing if there
// is none, or if the body is no JSON. Knows the bodies of all APIs: OpenAI's chat and responses, Anthropic's messages,
// llama.cpp's prompts. The media of llama.cpp's prompts have no kind: a model that takes any kind takes them. A body
// without any word for media costs one search for quotes; other bodies are parsed once. Memory and nesting are bounded.
std::optional<Media> find_media(std::string_view body, const MediaKinds& taken = {});

}  // namespace minerva::api
