#include "cli/input.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace minerva::cli {
namespace {

constexpr std::size_t kMaxInput = 64 << 20;  // the server's default limit for a body

}  // namespace

LineReader::End LineReader::read(std::string& line) {
  for (;;) {
    const std::size_t end = buffer_.find('\n');
    if (end != std::string::npos || buffer_.size() >= kMaxLine || (eof_ && !buffer_.empty())) {
      line = buffer_.substr(0, std::min(end, kMaxLine));
      buffer_.erase(0, line.size() + (end == line.size() ? 1 : 0));
      if (line.ends_with('\r')) line.pop_back();
      return End::kLine;
    }
    if (eof_) return End::kEof;
    std::array<char, 4096> piece{};
    const ssize_t count = ::read(descriptor_, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) {
      buffer_.clear();
      return End::kInterrupted;
    }
    if (count <= 0) {
      eof_ = true;
    } else {
      buffer_.append(piece.data(), static_cast<std::size_t>(count));
    }
  }
}

Result<std::string> read_all(int descriptor) {
  std::string text;
  std::array<char, 65536> piece{};
  for (;;) {
    const ssize_t count = ::read(descriptor, piece.data(), piece.size());
    if (count == 0) return text;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(ErrorCode::kIo, fmt::format("stdin cannot be read: {}", std::strerror(errno)));
    text.append(piece.data(), static_cast<std::size_t>(count));
    if (text.size() > kMaxInput) {
      return fail(ErrorCode::kTooLarge, fmt::format("stdin holds more than {} bytes", kMaxInput));
    }
  }
}

bool stdin_is_piped() {
  struct stat status{};
  return ::fstat(STDIN_FILENO, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISREG(status.st_mode));
}

bool stdin_has_news(std::chrono::milliseconds limit) {
  pollfd waiting{STDIN_FILENO, POLLIN, 0};
  return ::poll(&waiting, 1, static_cast<int>(limit.count())) != 0;
}

}  // namespace minerva::cli
