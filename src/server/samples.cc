#include "server/samples.h"

namespace minerva {

void Samples::look() {
  if (samples_.size() >= kKept) samples_.pop_front();
  samples_.push_back(take_());
  timer_.arm(Clock::now() + kInterval, [this] { look(); });
}

}  // namespace minerva
