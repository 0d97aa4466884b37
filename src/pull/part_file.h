// PartFile: a file that is being fetched, in one piece or in several that come at once. It is hashed behind those who
// write, and gets its name only once it is complete and what it is said to be.
//
// Of a file in several pieces a map beside it says how much of each is there, so that another process goes on with all
// of them. A file without a map is there from its first byte on. Threading: append() to different pieces from several
// threads at once; else one thread. All calls block. The hash has a thread of its own (hasher.h).
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
  // Bytes of the file that come one after the other.
  struct Piece {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;   // behind its last byte
    std::uint64_t have = 0;  // from its begin on
    std::uint64_t next() const { return begin + have; }
    bool complete() const { return next() == end; }
  };

  // Goes on with what is at `path`, or begins it. `size`: that it will have. `piece`: that its pieces are to have,
  // unless it is in pieces already; 0: one. Errors: kIo.
  static Result<std::unique_ptr<PartFile>> open(const std::filesystem::path& path, Bytes size, const Proof& proof,
                                                Bytes piece = {});
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  const std::vector<Piece>& pieces() const { return pieces_; }
  std::uint64_t have() const;  // bytes of all pieces
  std::uint64_t size() const { return size_; }
  bool complete() const { return have() == size_; }
  // Some of it comes from before open().
  bool resumed() const { return resumed_; }

  // The next bytes of a piece. Errors: kIo: the disk is full, or there is more than there should be.
  Result<void> append(std::size_t piece, std::string_view bytes);
  // As if nothing had come yet, and in one piece. Errors: kIo.
  Result<void> begin_anew();
  // Whether it is what the proof says. Requires: complete(), asked once, and no append() after it. Errors: kIo: it
  // cannot be read; kCancelled: `stop` was set, as that may take a while.
  Result<bool> proven(const Stop& stop);
  enum class Durability {
    kFirst,  // the bytes are on disk before the name is given
    kLater,  // the caller sees to that: after a loss of power the name may be there without the bytes
  };
  // Gives it its name; a file that is there is left. Requires: complete(). Errors: kIo, kConflict.
  Result<void> finish(const std::filesystem::path& path, Durability durability);
  // The file is removed, and its map.
  void discard() { remove(path_); }

  // Removes what is at `path`, and its map.
  static void remove(const std::filesystem::path& path);
  // How much of a file of `size` bytes is at `path`.
  static Bytes kept(const std::filesystem::path& path, Bytes size);

 private:
  PartFile(io::Descriptor file, std::filesystem::path path, Bytes size, Proof proof);
  // The pieces as they are there. Errors: kIo.
  Result<void> find_pieces(std::uint64_t there, std::uint64_t piece);
  Result<void> make_map(std::uint64_t piece);
  void begin_hash();
  void hash_what_is_there();
  Failure failed(std::string_view what) const;

  io::Descriptor file_;
  io::Descriptor map_;  // of several pieces
  std::filesystem::path path_;
  std::uint64_t size_;
  Proof proof_;
  bool resumed_ = false;

  mutable std::mutex mutex_;  // of what follows
  std::vector<Piece> pieces_;
  std::unique_ptr<Hasher> hash_;  // null: there is no proof; it reads the file, so it goes first
};

// Bytes that can still be written where `path` is, or will be; nothing if that cannot be told.
std::optional<Bytes> free_disk(const std::filesystem::path& path);

}  // namespace minerva::pull
