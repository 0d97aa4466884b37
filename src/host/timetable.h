// Timetable: loads and unloads models at the times of their schedules.
//
// A preload is an operator's: it takes the place of idle models if it has to, and of none that is in use or pinned. An
// unload is for models that nobody uses: one that is loading, in use or pinned stays.
// Schedules go by the wall clock and timers do not. So it looks at the clock each minute at least, whatever is due: a
// clock that is set, a machine that slept and daylight saving are noticed then. What was due in the last five minutes
// is still done, once; what is older is skipped, which is logged. A clock that is set back by less than that brings
// nothing again. Threading: the loop's thread. Ownership: the Loop and the ModelHost outlive it.
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

  // What counts from now on. A schedule that stays goes on as it was; another one begins after now. A preload that
  // could not be done after `patience` is given up.
  void set(const TimeZone& zone, Duration patience, const std::vector<const ModelSpec*>& models);
  // Does what is due by the wall clock. The timer calls it; a test may.
  void look();
  // For good.
  void stop();

  struct Next {
    std::optional<std::chrono::sys_seconds> preload;
    std::optional<std::chrono::sys_seconds> unload;
  };
  Next next(const ModelId& model) const;
  const TimeZone& zone() const { return zone_; }

 private:
  enum class Kind { kUnload, kPreload };  // in the order they are done: what leaves makes room
  using Key = std::pair<Kind, ModelId>;
  struct Entry {
    CronSchedule schedule;
    std::chrono::sys_seconds next;  // not done yet
  };

  static const char* name(Kind kind);
  std::chrono::sys_seconds next_of(const CronSchedule& schedule) const;
  // Takes the wall clock's time; after it was set back, all schedules begin again.
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
  WallTime seen_;  // all that was due until then is done
  bool stopped_ = false;
};

}  // namespace minerva
