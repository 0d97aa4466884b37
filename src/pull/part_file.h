// PartFile: a file that is being fetched. Its bytes are hashed as they come, those of an earlier try too, and it gets
// its name only once it is complete and what it is said to be.
//
// Threading: one thread; all calls block.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "minerva/base/bytes.h"
#include "minerva/base/result.h"
#include "pull/hub_answers.h"
#include "pull/stop.h"

struct evp_md_ctx_st;

namespace minerva::pull {

class PartFile {
 public:
  // Goes on with what is at `path`, or begins it. `size`: that it will have. Errors: kIo; kCancelled: what is there is
  // read, which takes a while, and `stop` was set.
  static Result<PartFile> open(const std::filesystem::path& path, Bytes size, const Proof& proof, const Stop& stop);
  PartFile(PartFile&& other) noexcept;
  PartFile& operator=(PartFile&&) = delete;
  ~PartFile();

  std::uint64_t have() const { return have_; }  // bytes, from the first one on
  std::uint64_t size() const { return size_; }
  bool complete() const { return have_ == size_; }
  // Some of it comes from before open().
  bool resumed() const { return resumed_; }

  // Errors: kIo: the disk is full, or there is more than there should be.
  Result<void> append(std::string_view bytes);
  // As if nothing had come yet. Errors: kIo.
  Result<void> begin_anew();
  // Whether it is what the proof says. Requires: complete(), and no append() after it.
  bool proven();
  // Synced to disk and renamed; a file that is there is left. Requires: complete(). Errors: kIo, kConflict.
  Result<void> finish(const std::filesystem::path& path);
  // The file is removed.
  void discard();

 private:
  struct HashDeleter {
    void operator()(evp_md_ctx_st* hash) const;
  };
  PartFile(int fd, std::filesystem::path path, Bytes size, Proof proof);
  Result<void> hash_what_is_there(const Stop& stop);
  void begin_hash();
  Failure failed(std::string_view what) const;

  int fd_;
  std::filesystem::path path_;
  std::uint64_t size_;
  Proof proof_;
  std::uint64_t have_ = 0;
  std::uint64_t behind_ = 0;  // so many bytes are on their way to the disk
  bool resumed_ = false;
  std::unique_ptr<evp_md_ctx_st, HashDeleter> hash_;
};

// Bytes that can still be written where `path` is, or will be; nothing if that cannot be told.
std::optional<Bytes> free_disk(const std::filesystem::path& path);

}  // namespace minerva::pull
