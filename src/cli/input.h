// Reads stdin, by lines or as a whole. A signal can interrupt the reading.
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
  static constexpr std::size_t kMaxLine = 1 << 20;  // a longer line comes in parts
  explicit LineReader(int descriptor) : descriptor_(descriptor) {}

  enum class End { kLine, kEof, kInterrupted };
  // Reads a line, without its line end. kInterrupted: a signal came during the wait.
  End read(std::string& line);

 private:
  int descriptor_;
  std::string buffer_;
  bool eof_ = false;
};

// Reads everything up to the end. Errors: kIo, kTooLarge.
Result<std::string> read_all(int descriptor);

// Whether stdin is a pipe or a file, and not a terminal or /dev/null.
bool stdin_is_piped();
// Waits until stdin can be read or is at its end. false: `limit` has passed.
bool stdin_has_news(std::chrono::milliseconds limit);

}  // namespace minerva::cli
