// stdin, line by line or whole, in a way that a signal can interrupt.
//
// Threading: one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "minerva/base/result.h"

namespace minerva::cli {

// Reads lines of a file descriptor, which it does not own.
class LineReader {
 public:
  static constexpr std::size_t kMaxLine = 1 << 20;  // a longer one is handed out in parts
  explicit LineReader(int descriptor) : descriptor_(descriptor) {}

  enum class End { kLine, kEof, kInterrupted };
  // Into `line`, without its line end. kInterrupted: a signal came while it waited.
  End read(std::string& line);

 private:
  int descriptor_;
  std::string buffer_;
  bool eof_ = false;
};

// Everything up to its end. Errors: kIo, kTooLarge.
Result<std::string> read_all(int descriptor);

// Whether somebody piped text into stdin: it is a pipe or a file, not a terminal or /dev/null.
bool stdin_is_piped();
// Waits until stdin can be read or is at its end. false: neither within `limit`.
bool stdin_has_news(std::chrono::milliseconds limit);

}  // namespace minerva::cli
