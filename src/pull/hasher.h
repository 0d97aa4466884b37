// Hasher: the hash of a file while that is written, in hex digits. It reads behind those who write, from the page cache
// as a rule: so it does not matter in which order the pieces of a file come.
//
// Threading: one thread calls at a time. Hashing is done on a thread of its own as soon as there is more than a little:
// at the rate of a fast line it takes as long as writing does. It does not know what the hash should be.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "minerva/base/result.h"
#include "pull/hub_answers.h"
#include "pull/stop.h"

struct evp_md_ctx_st;

namespace minerva::pull {

class Hasher {
 public:
  // As a proof of that kind has it, of a file of `size` bytes. `file` is open for reading, and outlives the hasher.
  // Requires: not Kind::kNone.
  Hasher(int file, Proof::Kind kind, std::uint64_t size);
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  ~Hasher();

  // The bytes before `end` are in the file, to stay as they are. Requires: no fewer than before.
  void reach(std::uint64_t end);
  // Of all of it; waits for that. Requires: asked once, reach(size).
  // Errors: kIo: it cannot be read; kCancelled: `stop` was set.
  Result<std::string> hex(const Stop& stop);

 private:
  struct ContextDeleter {
    void operator()(evp_md_ctx_st* context) const;
  };
  // Hashes the next bytes before `end`. false: they cannot be read.
  bool hash_some(std::uint64_t end);
  bool is_worth_it() const;  // to go on. Requires: mutex_ is held
  void run();
  void end_thread();

  int file_;
  std::uint64_t size_;
  // The thread's, as long as there is one.
  std::unique_ptr<evp_md_ctx_st, ContextDeleter> context_;
  std::string buffer_;

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t reached_ = 0;
  std::uint64_t hashed_ = 0;
  bool failed_ = false;
  bool ending_ = false;
};

}  // namespace minerva::pull
