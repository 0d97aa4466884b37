#include "cli/sse_parser.h"

#include <algorithm>

namespace minerva::cli {

bool SseParser::feed(std::string_view piece) {
  while (!piece.empty() && !failed_) {
    if (after_cr_) {
      after_cr_ = false;
      if (piece.front() == '\n') {
        piece.remove_prefix(1);
        continue;
      }
    }
    const std::size_t end = std::min(piece.find_first_of("\r\n"), piece.size());
    failed_ = line_.size() + end > kMaxEvent;
    if (failed_) break;
    line_ += piece.substr(0, end);
    if (end == piece.size()) break;
    after_cr_ = piece[end] == '\r';
    piece.remove_prefix(end + 1);
    failed_ = !line_ends();
    line_.clear();
  }
  return !failed_;
}

bool SseParser::line_ends() {
  const std::string_view line = line_;
  if (line.empty()) {
    if (has_data_) handlers_.on_data(data_);
    data_.clear();
    has_data_ = false;
    return true;
  }
  const std::size_t colon = std::min(line.find(':'), line.size());
  std::string_view value = line.substr(std::min(colon + 1, line.size()));
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (colon == 0) {
    handlers_.on_comment(value);
  } else if (line.substr(0, colon) == "data") {
    if (has_data_) data_ += '\n';
    has_data_ = true;
    if (data_.size() + value.size() > kMaxEvent) return false;
    data_ += value;
  }
  return true;
}

}  // namespace minerva::cli
