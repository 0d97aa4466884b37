// Samples: memory, lines and speeds of the last hour. GET /v1/samples shows them.
//
// One sample is taken each kInterval; kKept are kept. A sample holds the models that were resident then, and taking one
// costs a look at each engine: neither grows with the catalog.
// Threading: the loop's thread. Ownership: the Loop outlives it, and so does what `take` refers to.
#pragma once

#include <deque>
#include <functional>

#include "api/activity.h"
#include "io/loop.h"

namespace minerva {

class Samples {
 public:
  static constexpr auto kInterval = std::chrono::seconds(5);
  static constexpr std::size_t kKept = 720;

  Samples(io::Loop& loop, std::function<api::Sample()> take) : timer_(loop), take_(std::move(take)) {}

  // Takes the first sample at once.
  void start() { look(); }
  // Takes a sample. The timer calls this; a test may, too.
  void look();

  const std::deque<api::Sample>& all() const { return samples_; }  // the oldest first

 private:
  std::deque<api::Sample> samples_;
  io::Timer timer_;
  std::function<api::Sample()> take_;
};

}  // namespace minerva
