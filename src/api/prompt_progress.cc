#include "api/prompt_progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "api/json.h"
#include "api/json_text.h"

namespace minerva::api {
namespace {

constexpr std::string_view kAsks = R"("return_progress":true,)";
// As the member stands in an event, where it is never first. Inside a string its quotes would be escaped.
constexpr std::string_view kMember = R"(,"prompt_progress":)";
constexpr std::string_view kResponseEvent = "event: response.";
constexpr std::string_view kResponseCreated = "event: response.created\n";
constexpr std::string_view kResponseInProgress = "event: response.in_progress\n";
constexpr std::string_view kEventEnd = "\n\n";

// The engine's routes whose streams have progress. The engine's translation of Anthropic's messages drops the member
// that asks for it.
constexpr std::string_view kPaths[] = {"/v1/chat/completions", "/chat/completions", "/v1/completions", "/completions",
                                       "/completion",          "/v1/responses",     "/responses",      "/infill"};

std::string_view key_of(std::string_view body, const MemberSpan& member) {
  return body.substr(member.key, body.rfind('"', member.value - 1) + 1 - member.key);
}

// The number 1, perhaps with white space after it.
bool is_one(std::string_view value) {
  const std::size_t end = value.find_first_of(" \t\r\n");
  return value.substr(0, end) == "1";
}

std::optional<ReadSoFar> read_progress(std::string_view value) {
  const Json json = Json::parse(value, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  const auto total = count_of(json, "total");
  const auto processed = count_of(json, "processed");
  if (!total || !processed) return std::nullopt;
  ReadSoFar so_far;
  so_far.total = *total;
  so_far.tokens = std::min(*processed, *total);
  so_far.cached = std::min(count_of(json, "cache").value_or(0), so_far.tokens);
  constexpr double kMsPerSecond = 1000;
  so_far.seconds = static_cast<double>(count_of(json, "time_ms").value_or(0)) / kMsPerSecond;
  return so_far;
}

}  // namespace

std::string reading_text(const ReadSoFar& so_far) {
  return fmt::format("reading {:.0f}% of {} tokens", 100 * so_far.fraction(), so_far.total);
}

bool begins_answer(std::string_view piece) {
  return !piece.empty() && !piece.starts_with(':') && !piece.starts_with(kResponseCreated) &&
         !piece.starts_with(kResponseInProgress);
}

bool ask_for_progress(std::string_view path, std::string& body, const std::vector<MemberSpan>& members) {
  if (std::find(std::begin(kPaths), std::end(kPaths), path) == std::end(kPaths)) return false;
  if (members.empty() || members.size() > BodyScan::kMaxMembers) return false;
  for (const MemberSpan& member : members) {
    const std::string_view key = key_of(body, member);
    if (means(key, "return_progress")) return false;
    // With several prompts or answers each has its own progress, which also comes after another's answer has begun.
    const bool counts_answers = means(key, "n") || means(key, "n_cmpl");
    if (counts_answers && !is_one(body.substr(member.value, member.end - member.value))) return false;
    if (means(key, "prompt") && body[member.value] != '"') return false;
  }
  body.insert(members.front().key, kAsks);
  return true;
}

std::string PromptProgress::take(std::string_view piece) {
  rest_ += piece;
  std::string out;
  std::size_t at = 0;
  while (!done_) {
    const std::string_view rest = std::string_view(rest_).substr(at);
    if (rest.starts_with(':')) {  // a comment is one line
      const std::size_t end = rest.find('\n');
      if (end == std::string_view::npos) break;
      out += rest.substr(0, end + 1);
      at += end + 1;
      continue;
    }
    if (rest.starts_with('\n')) {  // the blank line behind a comment
      out += '\n';
      ++at;
      continue;
    }
    const std::size_t end = rest.find(kEventEnd);
    if (end == std::string_view::npos) break;
    out += without_progress(rest.substr(0, end + kEventEnd.size()));
    at += end + kEventEnd.size();
  }
  rest_.erase(0, at);
  done_ = done_ || rest_.size() > kMaxEvent;
  if (done_) out += std::exchange(rest_, {});
  return out;
}

std::string PromptProgress::finish() {
  done_ = true;
  return std::exchange(rest_, {});
}

std::string PromptProgress::without_progress(std::string_view event) {
  const std::size_t at = event.find(kMember);
  if (at == std::string_view::npos) {
    done_ = !event.starts_with(kResponseCreated);
    return std::string(event);
  }
  JsonReader reader(event, at + kMember.size());
  const auto value = reader.value();
  const auto told = value ? read_progress(*value) : std::nullopt;
  if (!told) {  // there is no progress that this code knows
    done_ = true;
    return std::string(event);
  }
  so_far_ = told;
  // Without progress the client would have got such an event once, with the first token.
  if (event.starts_with(kResponseEvent) && !std::exchange(began_response_, true)) {
    return std::string(event.substr(0, at)).append(event.substr(reader.at()));
  }
  return {};
}

}  // namespace minerva::api
