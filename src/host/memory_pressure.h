// MemoryPressure: judges from samples of the machine's memory whether Minerva has to give some back, and how much.
//
// Each level of memory (the machine, each cgroup with a limit) has a mark: what is to stay free of it. Below it memory
// is short, and so it is while processes stand still for want of memory with less than twice the mark left. That ends
// when for some seconds every level has had one and a half times its mark, so that nothing flaps around one mark. What
// cannot be read is no shortage.
// Pure: samples and time are handed in. Threading: any one thread.
// It does not say what is given back: the core decides (PressureChanged).
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
  // `min_free`: what is to stay free of each level, as MemoryLevel::to_stay_free() takes it. 0: memory is never short.
  explicit MemoryPressure(std::optional<Bytes> min_free) : min_free_(min_free) {}
  void set_min_free(std::optional<Bytes> min_free) { min_free_ = min_free; }

  struct News {
    PressureChanged event;
    std::string why;  // when it begins, in words; empty otherwise
  };
  // What the core is to be told now, if anything: when it begins, again while memory is short, and when it ends. The
  // amount is what is missing, and what will be taken before it can be back, at the pace seen. Requires: `now` does not
  // go back.
  std::optional<News> sample(const io::MachineMemory& memory, TimePoint now);
  // When the next sample should be taken: the sooner, the sooner a mark could be reached at the pace seen.
  Duration next_in() const { return next_in_; }

  bool under_pressure() const { return under_; }
  Bytes short_by() const { return short_by_; }            // by the last sample
  std::uint64_t shortages() const { return shortages_; }  // so far

 private:
  // What is remembered of one level.
  struct Seen {
    std::deque<std::pair<TimePoint, Bytes>> available;  // of the last moments
    TimePoint stall_since{};                            // the second under way for which stalls are counted,
    std::optional<Duration> stalled_before;             // and the account at its start
    double stalled_share = 0;                           // of the last whole one
  };
  struct Judgement {
    Bytes short_by;       // 0: not short
    bool begins = false;  // not only if it was short already
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
