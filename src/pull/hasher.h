// Hasher: hashes a file while the file is written. It reads what was written, as a rule from the page cache. So the
// pieces of a file may come in any order.
//
// Threading: one thread calls at a time. A thread of its own hashes as soon as there is more than a little: at the rate
// of a fast line hashing takes as long as writing. It does not know what the hash should be.
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
  // Hashes for a proof of that kind, of a file of `size` bytes. `file` is open for reading, and outlives the hasher.
  // Requires: not Kind::kNone.
  Hasher(int file, Proof::Kind kind, std::uint64_t size);
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  ~Hasher();

  // The bytes before `end` are in the file and will not change. Requires: `end` is not smaller than before.
  void reach(std::uint64_t end);
  // The hash of the whole file, in hex digits; waits for it. Requires: called once, after reach(size).
  // Errors: kIo: the file cannot be read; kCancelled: `stop` was set.
  Result<std::string> hex(const Stop& stop);

 private:
  struct ContextDeleter {
    void operator()(evp_md_ctx_st* context) const;
  };
  // Hashes the next bytes before `end`. false: they cannot be read.
  bool hash_some(std::uint64_t end);
  bool is_worth_it() const;  // whether there is enough to hash. Requires: mutex_ is held
  void run();
  void end_thread();

  int file_;
  std::uint64_t size_;
  // Belongs to the thread while there is one.
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
