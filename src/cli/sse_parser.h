// SseParser: parses a stream of server-sent events that comes in pieces of any size. Bounded. It keeps no names and
// ids.
//
// Threading: one thread. feed() calls the handlers; their views are valid until the handler returns.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace minerva::cli {

class SseParser {
 public:
  static constexpr std::size_t kMaxEvent = 4 << 20;  // bytes of one event's data, or of one line

  struct Handlers {
    std::function<void(std::string_view data)> on_data;     // the data of a complete event
    std::function<void(std::string_view text)> on_comment;  // without the colon and one space
  };
  explicit SseParser(Handlers handlers) : handlers_(std::move(handlers)) {}

  // false: an event is over the limit, and the stream cannot be read any more.
  bool feed(std::string_view piece);

 private:
  bool line_ends();

  Handlers handlers_;
  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool after_cr_ = false;  // a LF now belongs to the line end before
  bool failed_ = false;
};

}  // namespace minerva::cli
