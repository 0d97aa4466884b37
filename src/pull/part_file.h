// PartFile: a file that is being fetched, in one piece or in several pieces at once. It is hashed while it is written.
// It gets its name only once it is complete and has the hash that was promised.
//
// A file in several pieces has a map beside it that says how much of each piece is there, so that another process can
// go on with all of them. A file without a map is there from its first byte on.
// Threading: several threads may append() to different pieces at once; everything else is for one thread. All calls
// block. The hash has its own thread (hasher.h).
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/descriptor.h"
#include "minerva/base/bytes.h"
#include "minerva/base/result.h"
#include "pull/hasher.h"
#include "pull/hub_answers.h"
#include "pull/stop.h"

namespace minerva::pull {

class PartFile {
 public:
  // A range of the file that comes in order.
  struct Piece {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;   // the position behind its last byte
    std::uint64_t have = 0;  // bytes that are there, from `begin` on
    std::uint64_t next() const { return begin + have; }
    bool complete() const { return next() == end; }
  };

  // Goes on with the file at `path`, or begins it. `size`: the size of the complete file. `piece`: the size of a piece,
  // if the file has no pieces yet; 0: one piece. Errors: kIo.
  static Result<std::unique_ptr<PartFile>> open(const std::filesystem::path& path, Bytes size, const Proof& proof,
                                                Bytes piece = {});
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  const std::vector<Piece>& pieces() const { return pieces_; }
  std::uint64_t have() const;  // bytes of all pieces
  std::uint64_t size() const { return size_; }
  bool complete() const { return have() == size_; }
  // Whether some of the file was there before open().
  bool resumed() const { return resumed_; }

  // Writes the next bytes of a piece. Errors: kIo: the disk is full, or there are more bytes than there should be.
  Result<void> append(std::size_t piece, std::string_view bytes);
  // Drops what has come, and begins with one piece. Errors: kIo.
  Result<void> begin_anew();
  // Whether the file has the hash of its proof. Requires: complete(), called once, and no append() after it. Errors:
  // kIo: the file cannot be read; kCancelled: `stop` was set, since this may take a while.
  Result<bool> proven(const Stop& stop);
  enum class Durability {
    kFirst,  // the bytes are on disk before the file gets its name
    kLater,  // the caller syncs: after a power failure the name may be there without the bytes
  };
  // Gives the file its name; never replaces a file. Requires: complete(). Errors: kIo, kConflict.
  Result<void> finish(const std::filesystem::path& path, Durability durability);
  // Removes the file and its map.
  void discard() { remove(path_); }

  // Removes the file at `path` and its map.
  static void remove(const std::filesystem::path& path);
  // How many bytes of a file of `size` bytes are at `path`.
  static Bytes kept(const std::filesystem::path& path, Bytes size);

 private:
  PartFile(io::Descriptor file, std::filesystem::path path, Bytes size, Proof proof);
  // Finds out which pieces are there. Errors: kIo.
  Result<void> find_pieces(std::uint64_t there, std::uint64_t piece);
  Result<void> make_map(std::uint64_t piece);
  void begin_hash();
  void hash_what_is_there();
  Failure failed(std::string_view what) const;

  io::Descriptor file_;
  io::Descriptor map_;  // the map, if there are several pieces
  std::filesystem::path path_;
  std::uint64_t size_;
  Proof proof_;
  bool resumed_ = false;

  mutable std::mutex mutex_;  // for the members below
  std::vector<Piece> pieces_;
  std::unique_ptr<Hasher> hash_;  // null: there is no proof; it reads the file, so it goes first
};

// How much can still be written where `path` is, or will be; nothing if that cannot be found out.
std::optional<Bytes> free_disk(const std::filesystem::path& path);

}  // namespace minerva::pull
