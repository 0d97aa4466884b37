#include "host/read_ahead.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "io/descriptor.h"

namespace minerva {
namespace {

constexpr Bytes kPiece = Bytes::mib(16);
// How much the kernel is advised to read at once, and how much is copied at once.
constexpr std::uint64_t kSlice = Bytes::mib(2).count();
constexpr std::uint64_t kCopied = std::uint64_t{64} << 10;
// The pause between two pieces that are only likely to be wanted, so that the disk has time for others: at most 640 MiB
// a second.
constexpr auto kBetweenSlices = std::chrono::milliseconds(25);

// An open file, or none.
class File {
 public:
  explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  // The file's size, or 0 if it could not be opened.
  std::uint64_t size() const {
    struct stat status{};
    return fd_ && ::fstat(*fd_, &status) == 0 && S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size)
                                                                         : 0;
  }
  // Reads `bytes` from `offset` on into the page cache, and returns how many of them it read. Blocks.
  std::uint64_t read(std::uint64_t offset, std::uint64_t bytes) const {
    std::array<char, kCopied> nowhere;
    std::uint64_t done = 0;
    std::uint64_t told = 0;
    while (done < bytes) {
      // Advises the kernel one slice ahead, so that the disk works while this thread copies. The kernel may take less
      // of the advice than it was given.
      while (told < bytes && told <= done + kSlice) {
        ::posix_fadvise(*fd_, position(offset + told), position(std::min(kSlice, bytes - told)), POSIX_FADV_WILLNEED);
        told += kSlice;
      }
      const ssize_t got = ::pread(*fd_, nowhere.data(), std::min(kCopied, bytes - done), position(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      done += static_cast<std::uint64_t>(got);
    }
    return done;
  }

 private:
  static off_t position(std::uint64_t bytes) { return static_cast<off_t>(bytes); }

  io::Descriptor fd_;
};

}  // namespace

FileReadAhead::FileReadAhead(io::Loop& loop, std::function<bool()> nothing_goes_on, std::function<Bytes()> spare)
    : loop_(loop), nothing_goes_on_(std::move(nothing_goes_on)), spare_(std::move(spare)), pause_(loop) {}

// A file that is waiting to be read is not added twice.
void FileReadAhead::Position::add(const std::vector<std::string>& more) {
  for (const std::string& path : more) {
    if (std::find(files.begin(), files.end(), path) == files.end()) files.push_back(path);
  }
}

void FileReadAhead::read(const std::vector<std::string>& files) {
  wanted_.add(files);
  next_piece();
}

void FileReadAhead::read_if_idle(const std::vector<std::string>& files) {
  likely_.add(files);
  next_piece_if_idle();
}

void FileReadAhead::next_piece() {
  if (wanted_.under_way || wanted_.files.empty()) return;
  start_piece(wanted_, {}, [this](const Piece&) {
    wanted_.under_way = false;
    next_piece();
  });
}

void FileReadAhead::next_piece_if_idle() {
  if (likely_.under_way || likely_.files.empty()) return;
  if (!nothing_goes_on_()) {
    likely_ = {};
    return;
  }
  start_piece(likely_, spare_, [this](const Piece& piece) {
    read_idly_ += piece.bytes;
    pause_.arm(Clock::now() + kBetweenSlices, [this] {
      likely_.under_way = false;
      next_piece_if_idle();
    });
  });
}

void FileReadAhead::start_piece(Position& position, std::function<Bytes()> spare,
                                std::function<void(const Piece&)> done) {
  position.under_way = true;
  const auto piece = std::make_shared<Piece>();
  loop_.offload(
      io::Lane::kDisk,
      [piece, path = position.files.front(), offset = position.offset, spare = std::move(spare)] {
        *piece = read_piece(path, offset, spare);
      },
      [alive = alive_, piece, &position, done = std::move(done)] {
        if (!*alive) return;
        position.offset += piece->bytes.count();
        if (piece->no_room) position.files.clear();
        if (piece->file_ends) position.files.pop_front();
        if (piece->no_room || piece->file_ends) position.offset = 0;
        done(*piece);
      });
}

FileReadAhead::Piece FileReadAhead::read_piece(const std::string& path, std::uint64_t offset,
                                               const std::function<Bytes()>& spare) {
  const File file(path);
  const std::uint64_t size = file.size();
  const Bytes left(size > offset ? size - offset : 0);
  const Bytes bytes = std::min(left, kPiece);
  if (spare && spare() < bytes) return {.no_room = true, .bytes = {}, .file_ends = false};
  const Bytes got(file.read(offset, bytes.count()));
  return {.no_room = false, .bytes = got, .file_ends = got == left || got < bytes};
}

}  // namespace minerva
