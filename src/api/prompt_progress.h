// PromptProgress: how far an engine has read a prompt. llama.cpp's server says so in events of a stream, if its request
// has "return_progress"; they are taken out where the client has not asked for them, and the rest of the stream is what
// it would have been without (docs/adr/0023-reading.md).
//
// Pure; one thread per stream. Bounded: an event that is too long to be one of these is let through.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/routing_scan.h"

namespace minerva::api {

struct ReadSoFar {
  std::uint64_t tokens = 0;  // of the prompt, the cached ones among them
  std::uint64_t cached = 0;  // that had not to be read again
  std::uint64_t total = 0;
  double seconds = 0;  // that reading has taken

  double fraction() const { return total == 0 ? 0 : static_cast<double>(tokens) / static_cast<double>(total); }
  bool operator==(const ReadSoFar&) const = default;
};

// "reading 31% of 12000 tokens"
std::string reading_text(const ReadSoFar& so_far);

// Has a request for a stream ask for these events, if they can be told from the rest of its stream: the engine's route
// `path` has them, and one prompt is answered once. `members`: as RoutingScan noted them of this body. false: nothing
// was changed, or the client has asked itself.
bool ask_for_progress(std::string_view path, std::string& body, const std::vector<MemberSpan>& members);

// Whether the first piece of a stream says something of its answer: no comment does, nor that a response begins, which
// the responses API says before the prompt is read.
bool begins_answer(std::string_view piece);

class PromptProgress {
 public:
  static constexpr std::size_t kMaxEvent = std::size_t{16} << 10;  // bytes

  // The next piece of the engine's stream. Returns what of it is for the client; it may be empty.
  std::string take(std::string_view piece);
  // The stream has ended. Returns what is left for the client.
  std::string finish();
  // Something else than progress came: take() is not needed any more.
  bool done() const { return done_; }
  // Nothing: the engine has not begun to read.
  const std::optional<ReadSoFar>& so_far() const { return so_far_; }

 private:
  // The part of a whole event that is for the client.
  std::string without_progress(std::string_view event);

  std::string rest_;  // of an event that has not ended yet
  std::optional<ReadSoFar> so_far_;
  bool began_response_ = false;  // of the responses API: what its first progress comes in was let through
  bool done_ = false;
};

}  // namespace minerva::api
