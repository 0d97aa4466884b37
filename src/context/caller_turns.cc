#include "context/caller_turns.h"

#include <algorithm>
#include <cstdint>

namespace minerva {

Duration CallerTurns::used(UserId caller) const {
  const auto found = used_.find(caller);
  return found == used_.end() ? now_ : std::max(found->second, now_);
}

void CallerTurns::begin(UserId caller, Duration estimate, unsigned slots) {
  if (used_.size() >= kMostCallers && !used_.contains(caller)) used_.clear();
  now_ = used(caller);
  used_[caller] = now_ + estimate * static_cast<std::int64_t>(slots);
}

void CallerTurns::end(UserId caller, Duration estimate, Duration took, unsigned slots, std::size_t waiting) {
  const Duration corrected = used(caller) + (took - estimate) * static_cast<std::int64_t>(slots);
  now_ += took * static_cast<std::int64_t>(slots) / static_cast<std::int64_t>(waiting + 1);
  if (corrected > now_) {
    used_[caller] = corrected;
  } else {
    used_.erase(caller);
  }
}

void CallerTurns::clear() {
  now_ = {};
  used_.clear();
}

}  // namespace minerva
