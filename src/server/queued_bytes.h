// QueuedBytes: how much of the memory for request bodies one request holds.
//
// Threading: the loop's thread. Ownership: the total outlives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "minerva/base/bytes.h"

namespace minerva {

class QueuedBytes {
 public:
  QueuedBytes(std::uint64_t& total, Bytes limit) : total_(total), limit_(limit) {}
  QueuedBytes(const QueuedBytes&) = delete;
  QueuedBytes& operator=(const QueuedBytes&) = delete;
  ~QueuedBytes() { release(); }
  // false: all requests together would hold more than the limit. Nothing is counted then.
  bool add(std::size_t bytes) {
    if (total_ + bytes > limit_.count()) return false;
    total_ += bytes;
    mine_ += bytes;
    return true;
  }
  // The request holds nothing any more.
  void release() { total_ -= std::exchange(mine_, 0); }

 private:
  std::uint64_t& total_;
  Bytes limit_;
  std::uint64_t mine_ = 0;
};

}  // namespace minerva
