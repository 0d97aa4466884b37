// Stop: one thread tells other threads that their work is no longer wanted. Threading: any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "minerva/base/clock.h"

namespace minerva::pull {

class Stop {
 public:
  // `whole`: the Stop of the work of which this one's is a part. It outlives this one, and this one is set when it is
  // set.
  explicit Stop(const Stop* whole = nullptr) : whole_(whole) {}

  void set() {
    {
      const std::lock_guard lock(mutex_);
      set_ = true;
    }
    changed_.notify_all();
  }
  bool is_set() const { return set_ || (whole_ != nullptr && whole_->is_set()); }
  // Waits for `time`, or until this Stop itself is set; returns true then.
  bool wait_for(Duration time) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [this] { return set_.load(); });
  }

 private:
  const Stop* whole_;
  std::atomic<bool> set_ = false;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
};

}  // namespace minerva::pull
