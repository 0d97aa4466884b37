// PromptProgress: how far an engine has read a prompt. llama.cpp's server reports this in events of a stream, if the
// request has "return_progress". Where the client has not asked for these events, they are removed, and the rest of the
// stream is as it would be without them (docs/adr/0023-reading.md).
//
// Pure; one thread per stream. Bounded: an event that is too long to be a report is passed through.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/routing_scan.h"

namespace minerva::api {

struct ReadSoFar {
  std::uint64_t tokens = 0;  // of the prompt, with the cached ones
  std::uint64_t cached = 0;  // found in the cache, and not read again
  std::uint64_t total = 0;
  double seconds = 0;  // how long the reading has taken

  double fraction() const { return total == 0 ? 0 : static_cast<double>(tokens) / static_cast<double>(total); }
  bool operator==(const ReadSoFar&) const = default;
};

// "reading 31% of 12000 tokens"
std::string reading_text(const ReadSoFar& so_far);

// Adds to a stream's request the member that asks for these events. Only if they can be told from the rest of the
// stream: the engine's route `path` has them, and there is one prompt with one answer. `members`: as RoutingScan noted
// them in this body. false: the body was not changed, or the client has asked by itself.
bool ask_for_progress(std::string_view path, std::string& body, const std::vector<MemberSpan>& members);

// Whether the first piece of a stream has something of the answer. A comment has not; nor has the event that a response
// begins, which the responses API sends before the prompt is read.
bool begins_answer(std::string_view piece);

class PromptProgress {
 public:
  static constexpr std::size_t kMaxEvent = std::size_t{16} << 10;  // bytes

  // Takes the next piece of the engine's stream. Returns what the client gets of it, which may be empty.
  std::string take(std::string_view piece);
  // To be called at the end of the stream. Returns what is left for the client.
  std::string finish();
  // The engine has sent something else than progress: take() is not needed any more.
  bool done() const { return done_; }
  // Nothing if the engine has not begun to read.
  const std::optional<ReadSoFar>& so_far() const { return so_far_; }

 private:
  // What the client gets of a whole event.
  std::string without_progress(std::string_view event);

  std::string rest_;  // the beginning of an event that has not ended yet
  std::optional<ReadSoFar> so_far_;
  bool began_response_ = false;  // of the responses API: the event around the first report was passed through
  bool done_ = false;
};

}  // namespace minerva::api
