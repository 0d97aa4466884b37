#include "pull/part_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "io/descriptor.h"

namespace minerva::pull {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kWriteBehind = 64 << 20;  // bytes
constexpr std::uint64_t kMostPieces = 10'000;

// A map: this head, and then for each piece how many bytes of it are there. Each number is one write, which happens as
// a whole or not at all, even if the process is killed. If the machine loses power, the map may promise more than the
// disk has: then the hash is wrong, and the file begins anew.
struct MapHead {
  std::array<char, 16> magic = {'m', 'i', 'n', 'e', 'r', 'v', 'a', ' ', 'p', 'i', 'e', 'c', 'e', 's', ' ', '1'};
  std::uint64_t size = 0;
  std::uint64_t piece = 0;
};

fs::path map_of(const fs::path& path) { return path.string() + ".map"; }

std::vector<PartFile::Piece> cut(std::uint64_t size, std::uint64_t piece) {
  std::vector<PartFile::Piece> pieces;
  if (piece == 0 || piece >= size || size / piece >= kMostPieces) return {{0, size, 0}};
  for (std::uint64_t at = 0; at < size; at += piece) pieces.push_back({at, std::min(at + piece, size), 0});
  return pieces;
}

template <typename T>
bool read_at(int fd, std::uint64_t at, T& value) {
  return ::pread(fd, &value, sizeof(value), static_cast<off_t>(at)) == static_cast<ssize_t>(sizeof(value));
}

template <typename T>
bool write_at(int fd, std::uint64_t at, const T& value) {
  return ::pwrite(fd, &value, sizeof(value), static_cast<off_t>(at)) == static_cast<ssize_t>(sizeof(value));
}

std::uint64_t place_of(std::size_t piece) { return sizeof(MapHead) + piece * sizeof(std::uint64_t); }

int open_map(const fs::path& path, int flags) {
  return ::open(map_of(path).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | flags, 0644);
}

// The pieces in a map. Empty if it is no map of a file of that size of which `there` bytes exist, holes included.
std::vector<PartFile::Piece> read_map(int fd, std::uint64_t size, std::uint64_t there) {
  MapHead head;
  if (!read_at(fd, 0, head) || head.magic != MapHead{}.magic || head.size != size) return {};
  std::vector<PartFile::Piece> pieces = cut(size, head.piece);
  if (pieces.size() < 2) return {};
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    PartFile::Piece& piece = pieces[i];
    if (!read_at(fd, place_of(i), piece.have) || piece.have > piece.end - piece.begin) return {};
    if (piece.have > 0 && piece.next() > there) return {};
  }
  return pieces;
}

std::uint64_t sum(const std::vector<PartFile::Piece>& pieces) {
  std::uint64_t have = 0;
  for (const PartFile::Piece& piece : pieces) have += piece.have;
  return have;
}

}  // namespace

PartFile::PartFile(io::Descriptor file, fs::path path, Bytes size, Proof proof)
    : file_(std::move(file)),
      path_(std::move(path)),
      size_(size.count()),
      proof_(std::move(proof)),
      pieces_(cut(size_, 0)) {}

Failure PartFile::failed(std::string_view what) const {
  const int error = errno;
  if (error == ENOSPC || error == EDQUOT) {
    return fail(ErrorCode::kIo, fmt::format("The disk is full: {} of {} are kept in {}. Make room and pull it again.",
                                            format_bytes(Bytes(have())), format_bytes(Bytes(size_)), path_.string()));
  }
  return fail(ErrorCode::kIo, fmt::format("cannot {} {}: {}. Check the folder's owner, mode and disk.", what,
                                          path_.string(), std::strerror(error)));
}

Result<std::unique_ptr<PartFile>> PartFile::open(const fs::path& path, Bytes size, const Proof& proof, Bytes piece) {
  io::Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0644));
  std::unique_ptr<PartFile> part(new PartFile(std::move(file), path, size, proof));
  struct stat status{};
  if (!part->file_ || ::fstat(*part->file_, &status) != 0) return part->failed("open");
  if (!S_ISREG(status.st_mode)) {
    errno = EINVAL;
    return part->failed("open");
  }
  if (const auto found = part->find_pieces(static_cast<std::uint64_t>(status.st_size), piece.count()); !found) {
    return fail(found.error());
  }
  part->resumed_ = part->have() > 0;
  part->begin_hash();
  part->hash_what_is_there();
  return part;
}

Result<void> PartFile::find_pieces(std::uint64_t there, std::uint64_t piece) {
  map_.reset(open_map(path_, 0));
  const bool had_map{map_};
  if (had_map) pieces_ = read_map(*map_, size_, there);
  // Without the map nobody knows which bytes are there.
  if (there > size_ || pieces_.empty()) {
    pieces_ = cut(size_, 0);
    if (::ftruncate(*file_, 0) != 0) return failed("empty");
    there = 0;
  } else if (had_map) {
    return {};
  }
  map_.reset();
  ::unlink(map_of(path_).c_str());
  pieces_ = cut(size_, piece);
  for (Piece& each : pieces_) each.have = std::min(each.end, std::max(there, each.begin)) - each.begin;
  return pieces_.size() > 1 ? make_map(piece) : Result<void>{};
}

Result<void> PartFile::make_map(std::uint64_t piece) {
  map_.reset(open_map(path_, O_CREAT | O_TRUNC));
  MapHead head;
  head.size = size_;
  head.piece = piece;
  // The head is written last: without it the file is no map.
  bool written{map_};
  for (std::size_t i = 0; written && i < pieces_.size(); ++i) written = write_at(*map_, place_of(i), pieces_[i].have);
  written = written && write_at(*map_, 0, head);
  return written ? Result<void>{} : failed("write the map of");
}

void PartFile::begin_hash() {
  hash_ = proof_.kind == Proof::Kind::kNone ? nullptr : std::make_unique<Hasher>(*file_, proof_.kind, size_);
}

void PartFile::hash_what_is_there() {
  if (!hash_) return;
  const auto first = std::find_if(pieces_.begin(), pieces_.end(), [](const Piece& piece) { return !piece.complete(); });
  hash_->reach(first == pieces_.end() ? size_ : first->next());
}

std::uint64_t PartFile::have() const {
  const std::lock_guard lock(mutex_);
  return sum(pieces_);
}

Result<void> PartFile::append(std::size_t at, std::string_view bytes) {
  Piece& piece = pieces_[at];  // only the piece's own thread writes it, so this thread may read it without the lock
  if (bytes.size() > piece.end - piece.next()) {
    return fail(ErrorCode::kIo, fmt::format("more than the {} bytes come that were said", size_));
  }
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(*file_, bytes.data(), bytes.size(), static_cast<off_t>(piece.next()));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failed("write");
    const std::uint64_t before = piece.have;
    {
      const std::lock_guard lock(mutex_);
      piece.have += static_cast<std::uint64_t>(written);
      hash_what_is_there();
    }
    if (map_ && !write_at(*map_, place_of(at), piece.have)) return failed("write the map of");
    bytes.remove_prefix(static_cast<std::size_t>(written));
    // The disk can write meanwhile, so that the sync at the end has little left.
    if (const std::uint64_t behind = before / kWriteBehind * kWriteBehind; piece.have - behind >= kWriteBehind) {
      ::sync_file_range(*file_, static_cast<off_t>(piece.begin + behind), kWriteBehind, SYNC_FILE_RANGE_WRITE);
    }
  }
  return {};
}

Result<void> PartFile::begin_anew() {
  hash_.reset();
  map_.reset();
  if (::ftruncate(*file_, 0) != 0) return failed("empty");
  ::unlink(map_of(path_).c_str());
  pieces_ = cut(size_, 0);
  resumed_ = false;
  begin_hash();
  return {};
}

Result<bool> PartFile::proven(const Stop& stop) {
  if (!hash_) return true;
  const Result<std::string> hex = hash_->hex(stop);
  if (!hex) return fail(hex.error());
  return *hex == proof_.hex;
}

Result<void> PartFile::finish(const fs::path& path, Durability durability) {
  if (durability == Durability::kFirst && ::fsync(*file_) != 0) return failed("finish");
  int renamed = ::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE);
  // Not every file system knows RENAME_NOREPLACE.
  if (renamed != 0 && errno == EINVAL && ::access(path.c_str(), F_OK) != 0) {
    renamed = ::rename(path_.c_str(), path.c_str());
  }
  if (renamed != 0 && errno == EEXIST) {
    return fail(ErrorCode::kConflict,
                fmt::format("There is a file {} already, which is left as it is. Move it away and "
                            "pull it again.",
                            path.string()));
  }
  if (renamed != 0) return failed("finish");
  ::unlink(map_of(path_).c_str());
  if (durability == Durability::kLater) return {};
  // Syncs the name too. Where a folder cannot be synced, the next start finds the part.
  const io::Descriptor folder(::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder) ::fsync(*folder);
  return {};
}

void PartFile::remove(const fs::path& path) {
  // The file goes before its map: without the map it would be taken for a file that is there from its first byte on.
  ::unlink(path.c_str());
  ::unlink(map_of(path).c_str());
}

Bytes PartFile::kept(const fs::path& path, Bytes size) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  const auto there = static_cast<std::uint64_t>(status.st_size);
  if (there > size.count()) return {};
  const io::Descriptor map(open_map(path, 0));
  return Bytes(map ? sum(read_map(*map, size.count(), there)) : there);
}

std::optional<Bytes> free_disk(const fs::path& path) {
  std::error_code error;
  fs::path folder = path;
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  const fs::space_info space = fs::space(folder, error);
  if (error) return std::nullopt;
  return Bytes(space.available);
}

}  // namespace minerva::pull
