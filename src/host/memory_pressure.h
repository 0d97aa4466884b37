// MemoryPressure: judges from samples of the machine's memory whether Minerva has to give memory back, and how much.
//
// Each level of memory (the machine, and each cgroup with a limit) has a mark: how much of it is to stay free. Memory
// is short when a level falls below its mark, or when processes stall for want of memory while less than twice the mark
// is free. The shortage ends when every level has had one and a half times its mark for some seconds, so that nothing
// flips back and forth at the mark. A value that cannot be read is no shortage.
// Pure: the caller passes samples and the time. Threading: any one thread.
// What to give back is not decided here but by the core (PressureChanged).
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>

#include "io/machine_memory.h"
#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"
#include "minerva/context/types.h"

namespace minerva {

class MemoryPressure {
 public:
  // `min_free`: how much of each level is to stay free, as MemoryLevel::to_stay_free() takes it. With 0, memory is
  // never short.
  explicit MemoryPressure(std::optional<Bytes> min_free) : min_free_(min_free) {}
  void set_min_free(std::optional<Bytes> min_free) { min_free_ = min_free; }

  struct News {
    PressureChanged event;
    std::string why;  // set when a shortage begins: its reason, in words
  };
  // Returns what the core has to be told now, if anything: that a shortage begins, again while it lasts, and that it
  // ended. The amount is what is missing now, and what will be taken, at the pace seen, until it can be given back.
  // Requires: `now` does not go back.
  std::optional<News> sample(const io::MachineMemory& memory, TimePoint now);
  // How long until the next sample should be taken: the sooner a mark could be reached at the pace seen, the shorter.
  Duration next_in() const { return next_in_; }

  bool under_pressure() const { return under_; }
  Bytes short_by() const { return short_by_; }            // as of the last sample
  std::uint64_t shortages() const { return shortages_; }  // how many there were so far

 private:
  // What is remembered of one level.
  struct Seen {
    std::deque<std::pair<TimePoint, Bytes>> available;  // the last moments
    TimePoint stall_since{};                            // when the current period of kStallsOf began,
    std::optional<Duration> stalled_before;             // and the time stalled until then
    double stalled_share = 0;                           // the share of the last whole period
  };
  struct Judgement {
    Bytes short_by;       // 0: the level is not short
    bool begins = false;  // it starts a shortage; otherwise it only prolongs one
    std::string why;
  };
  Judgement judge(const io::MemoryLevel& level, Seen& seen, TimePoint now);

  std::optional<Bytes> min_free_;
  std::map<std::string, Seen> seen_;  // by the level's name
  bool under_ = false;
  Bytes short_by_;
  TimePoint told_{};
  TimePoint short_last_{};
  Duration next_in_{};
  std::uint64_t shortages_ = 0;
};

}  // namespace minerva
