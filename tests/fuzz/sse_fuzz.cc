// Server-sent events: what our clients parse, what the relay writes, and the errors of engines inside of one.
#include <nlohmann/json.hpp>
#include <vector>

#include "api/error_json.h"
#include "api/sse.h"
#include "cli/sse_parser.h"
#include "fuzz/input.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

namespace {

struct Seen {
  std::vector<std::string> data;
  std::vector<std::string> comments;
  bool whole = true;
  bool operator==(const Seen&) const = default;
};

Seen parse(std::string_view text, std::size_t piece) {
  Seen seen;
  cli::SseParser parser({[&](std::string_view data) { seen.data.emplace_back(data); },
                         [&](std::string_view comment) { seen.comments.emplace_back(comment); }});
  fuzz::in_pieces(text, piece, [&](std::string_view part) { seen.whole = parser.feed(part) && seen.whole; });
  return seen;
}

// Turns line ends of all kinds into "\n", as the format says.
std::string with_plain_line_ends(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    result.push_back(text[i] == '\r' ? '\n' : text[i]);
  }
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  check(parse(input.text, 0) == parse(input.text, input.steer), "the pieces of a stream change what it says");

  const Seen event = parse(api::sse_data(input.text), input.steer);
  check(event.data == std::vector{with_plain_line_ends(input.text)}, "an event does not survive its framing");
  const Seen comment = parse(api::sse_comment(input.text), input.steer);
  check(comment.data.empty() && comment.comments.size() == 1, "a comment is taken for something else");

  const int status = 400 + input.steer;
  const std::string normalized = api::normalize_engine_error(status, input.text).body;
  const auto error = nlohmann::json::parse(normalized, nullptr, /*allow_exceptions=*/false);
  check(error.is_object() && error["error"].is_object() && error["error"]["message"].is_string(),
        "an engine's error is not in OpenAI's shape");
  check(parse(api::sse_data(normalized), 0).data == std::vector{normalized}, "an error is more than one line");
  check(!api::error_from_answer(status, input.text).message.empty(), "an error without words");
  return 0;
}
