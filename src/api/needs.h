// Needs: what a request asks of a model, told from its route and its body. So that what the model cannot do is refused
// before anything is loaded for it.
//
// Pure; any thread. Whether a model can is judged in server/abilities.h.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string_view>

namespace minerva::api {

enum class Work : std::uint8_t {
  kAny,         // every model can, or only its engine knows
  kChat,        // an answer to messages
  kTemplate,    // messages as one text, or their length
  kComplete,    // text that goes on
  kInfill,      // text between two texts
  kEmbed,       // vectors, as OpenAI's API has them: one for each input
  kEmbedRaw,    // llama.cpp's own: also one for each token, of a model that pools nothing
  kRerank,      // documents in order
  kTranscribe,  // text of a recording
};

// Of an engine's route: with or without a version in front of it, and with any slashes at its end.
Work work_of(std::string_view path);

struct Media {
  enum class Kind : std::uint8_t { kImage, kAudio, kVideo };
  Kind kind = Kind::kImage;
  std::string_view member;  // of the body that holds it: "messages", "input", "prompt" or "system"

  bool operator==(const Media&) const = default;
};

using MediaKinds = std::set<Media::Kind>;

// The first image, recording or film, of a kind that is not among the `taken`, in a JSON body of any of the APIs
// (OpenAI's chat and responses, Anthropic's messages, llama.cpp's prompts); nothing if there is none, or if the body is
// no JSON. Nobody tells of which kind the media of llama.cpp's prompts are: a model that takes one kind takes them. A
// body without such a word costs one look for quotes, others are parsed once. Memory and nesting are bounded.
std::optional<Media> find_media(std::string_view body, const MediaKinds& taken = {});

}  // namespace minerva::api
