// Stop: one thread tells others that their work is not wanted any more. Threading: any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "minerva/base/clock.h"

namespace minerva::pull {

class Stop {
 public:
  // `whole`: of the work that this one's is a part of, which outlives it; its end is this one's.
  explicit Stop(const Stop* whole = nullptr) : whole_(whole) {}

  void set() {
    {
      const std::lock_guard lock(mutex_);
      set_ = true;
    }
    changed_.notify_all();
  }
  bool is_set() const { return set_ || (whole_ != nullptr && whole_->is_set()); }
  // Waits so long, or until it is set itself; then true.
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
