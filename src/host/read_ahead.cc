#include "host/read_ahead.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace minerva {
namespace {

constexpr Bytes kPiece = Bytes::mib(16);
// Between two pieces, so that a disk has time for others: at most 640 MiB a second.
constexpr auto kPause = std::chrono::milliseconds(25);

// An open file, or none.
class File {
 public:
  explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  // 0 if there is none.
  std::uint64_t size() const {
    struct stat status{};
    return fd_ >= 0 && ::fstat(fd_, &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
  }
  // The kernel has it soon. 0 bytes: to the end.
  void will_need(std::uint64_t offset, std::uint64_t bytes) const {
    if (fd_ >= 0) ::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
  }

 private:
  int fd_;
};

}  // namespace

FileReadAhead::FileReadAhead(io::Loop& loop, std::function<bool()> nothing_goes_on, std::function<Bytes()> spare)
    : loop_(loop), nothing_goes_on_(std::move(nothing_goes_on)), spare_(std::move(spare)), pause_(loop) {}

void FileReadAhead::read(std::vector<std::string> files) {
  loop_.offload(
      io::Lane::kDisk,
      [files = std::move(files)] {
        for (const std::string& path : files) File(path).will_need(0, 0);
      },
      [] {});
}

void FileReadAhead::read_if_idle(std::vector<std::string> files) {
  for (std::string& path : files) position_.files.push_back(std::move(path));
  next_piece();
}

void FileReadAhead::next_piece() {
  if (under_way_ || position_.files.empty()) return;
  if (!nothing_goes_on_()) {
    position_ = {};
    return;
  }
  under_way_ = true;
  auto piece = std::make_shared<Piece>();
  loop_.offload(io::Lane::kDisk, [piece, path = position_.files.front(), offset = position_.offset,
                 spare = spare_] { *piece = read_piece(path, offset, spare); },
                [this, alive = alive_, piece] {
                  if (*alive) done(*piece);
                });
}

FileReadAhead::Piece FileReadAhead::read_piece(const std::string& path, std::uint64_t offset,
                                               const std::function<Bytes()>& spare) {
  const File file(path);
  const std::uint64_t size = file.size();
  const Bytes left(size > offset ? size - offset : 0);
  const Bytes bytes = std::min(left, kPiece);
  if (spare() < bytes) return {.no_room = true, .bytes = {}, .file_ends = false};
  if (bytes > Bytes()) file.will_need(offset, bytes.count());
  return {.no_room = false, .bytes = bytes, .file_ends = bytes == left};
}

void FileReadAhead::done(const Piece& piece) {
  read_idly_ += piece.bytes;
  position_.offset += piece.bytes.count();
  if (piece.no_room) position_ = {};
  if (piece.file_ends) {
    position_.files.pop_front();
    position_.offset = 0;
  }
  pause_.arm(Clock::now() + kPause, [this] {
    under_way_ = false;
    next_piece();
  });
}

}  // namespace minerva
