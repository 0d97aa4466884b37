// Hasher: the hash of bytes that come one piece after another, in hex digits.
//
// Threading: one thread calls. Hashing is done on a thread of its own as soon as there is more than a little: at the
// rate of a fast line it takes as long as writing does. A few blocks wait for it, then update() does. It does not know
// what the hash should be.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "pull/hub_answers.h"

struct evp_md_ctx_st;

namespace minerva::pull {

class Hasher {
 public:
  // As a proof of that kind has it, of a file of `size` bytes. Requires: not Kind::kNone.
  Hasher(Proof::Kind kind, std::uint64_t size);
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  ~Hasher();

  void update(std::string_view bytes);
  // Of all of it. Requires: asked once, and no update() after it.
  std::string hex();

 private:
  struct ContextDeleter {
    void operator()(evp_md_ctx_st* context) const;
  };
  void hash(std::string_view block);
  void pass_on();
  void run();
  void end_thread();

  std::unique_ptr<evp_md_ctx_st, ContextDeleter> context_;  // the thread's, as long as there is one
  std::string block_;                                       // that fills

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> waiting_;
  std::vector<std::string> spare_;
  bool ending_ = false;
};

}  // namespace minerva::pull
