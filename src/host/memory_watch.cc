#include "host/memory_watch.h"

#include "base/log.h"

namespace minerva {

void MemoryWatch::sample() {
  memory_ = io::read_machine_memory(root_);
  const TimePoint now = Clock::now();
  const auto news = pressure_.sample(memory_, now);
  timer_.arm(now + pressure_.next_in(), [this] { sample(); });
  if (!news) return;
  if (!news->why.empty()) {
    log::warn("memory is short: {}. Idle models give back {} if they can, and no more are loaded meanwhile", news->why,
              format_bytes(news->event.short_by));
  } else if (!news->event.under_pressure) {
    log::info("memory is no longer short: {} are left", format_bytes(memory_.available().value_or(Bytes())));
  }
  tell_(news->event);
}

}  // namespace minerva
