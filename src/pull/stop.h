// Stop: one thread tells another that its work is not wanted any more. Threading: any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "minerva/base/clock.h"

namespace minerva::pull {

class Stop {
 public:
  void set() {
    {
      const std::lock_guard lock(mutex_);
      set_ = true;
    }
    changed_.notify_all();
  }
  bool is_set() const { return set_; }
  // Waits so long, or until it is set; then true.
  bool wait_for(Duration time) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [this] { return set_.load(); });
  }

 private:
  std::atomic<bool> set_ = false;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
};

}  // namespace minerva::pull
