// Timetable: loads and unloads models at the times of their schedules.
//
// A preload counts as an operator's: it may push out idle models to have room, but none that is in use or pinned. An
// unload concerns only models that nobody uses: one that is loading, in use or pinned stays.
// Schedules go by the wall clock, and timers do not. So the timetable looks at the clock at least once a minute,
// whatever is due, and notices a clock that was set, a machine that slept, and daylight saving. What fell due in the
// last five minutes is still done, once; what is older is skipped, and the log says so. If the clock is set back by
// less than that, nothing is done a second time. Threading: the loop's thread. Ownership: the Loop and the ModelHost
// outlive it.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "engine/model_spec.h"
#include "host/model_host.h"
#include "io/loop.h"
#include "schedule/cron.h"
#include "schedule/time_zone.h"

namespace minerva {

class Timetable {
 public:
  using WallTime = std::chrono::system_clock::time_point;

  Timetable(io::Loop& loop, ModelHost& host, std::function<WallTime()> wall_clock = std::chrono::system_clock::now);

  // Replaces the schedules. A schedule that stays the same goes on as it was; a new one begins after now. A preload
  // that could not be done within `patience` is given up.
  void set(const TimeZone& zone, Duration patience, const std::vector<const ModelSpec*>& models);
  // Does what is due by the wall clock. The timer calls it; a test may call it too.
  void look();
  // Ends it for good.
  void stop();

  struct Next {
    std::optional<std::chrono::sys_seconds> preload;
    std::optional<std::chrono::sys_seconds> unload;
  };
  Next next(const ModelId& model) const;
  const TimeZone& zone() const { return zone_; }

 private:
  enum class Kind { kUnload, kPreload };  // in the order in which they are done: unloads make room
  using Key = std::pair<Kind, ModelId>;
  struct Entry {
    CronSchedule schedule;
    std::chrono::sys_seconds next;  // the next time it is due
  };

  static const char* name(Kind kind);
  std::chrono::sys_seconds next_of(const CronSchedule& schedule) const;
  // Reads the wall clock. If it was set back, all schedules begin again.
  void read_clock();
  void arm();
  void carry_out(const Key& key, std::chrono::sys_seconds due);
  void preload(const ModelId& model);
  void unload(const ModelId& model);

  ModelHost& host_;
  std::function<WallTime()> wall_clock_;
  io::Timer timer_;
  TimeZone zone_;
  Duration patience_{};
  std::map<Key, Entry> entries_;
  WallTime seen_;  // everything that was due until then has been done
  bool stopped_ = false;
};

}  // namespace minerva
