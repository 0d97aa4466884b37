#include "api/sse.h"

#include <fmt/format.h>

#include "api/error_json.h"

namespace minerva::api {

std::string sse_comment(std::string_view text) {
  std::string result = ": ";
  for (const char c : text) result.push_back(c == '\n' || c == '\r' ? ' ' : c);
  return result + "\n\n";
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
