#include "api/sse.h"

#include <fmt/format.h>

#include <utility>

#include "api/error_json.h"

namespace minerva::api {

std::string sse_comment(std::string_view text) {
  std::string result = ": ";
  for (const char c : text) result.push_back(c == '\n' || c == '\r' ? ' ' : c);
  return result + "\n";
}

std::optional<std::string> SseComments::without_blank_lines(std::string_view piece) {
  const bool at_event = std::exchange(at_event_, piece.ends_with("\n\n"));
  // Only a piece that begins with a comment changes: an engine sends such a comment when it has nothing else to say.
  // What follows the comments in the piece stays.
  if (!at_event || !piece.starts_with(':')) return std::nullopt;
  std::string result;
  while (piece.starts_with(':')) {
    const std::size_t end = piece.find('\n');
    if (end == std::string_view::npos) break;
    result += piece.substr(0, end + 1);
    piece.remove_prefix(end + 1);
    if (piece.starts_with('\n')) piece.remove_prefix(1);
  }
  return result += piece;
}

std::string sse_data(std::string_view data) {
  std::string result = "data: ";
  for (std::size_t i = 0; i < data.size(); ++i) {
    const bool line_end = data[i] == '\n' || data[i] == '\r';
    if (data[i] == '\r' && i + 1 < data.size() && data[i + 1] == '\n') ++i;
    if (line_end) {
      result += "\ndata: ";
    } else {
      result.push_back(data[i]);
    }
  }
  return result + "\n\n";
}

std::string sse_event(std::uint64_t id, std::string_view name, std::string_view data) {
  return fmt::format("id: {}\nevent: {}\n{}", id, name, sse_data(data));
}

std::string sse_error(const Error& error) { return sse_data(error_body(error)); }

}  // namespace minerva::api
