// EventFeed: makes the events of GET /v1/events from what each step of the core changed and decided. docs/openapi.yaml
// documents their names and fields.
//
// Pure: the time is handed in. Threading: one thread. It does not send anything.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/event_log.h"
#include "minerva/context/context_manager.h"

namespace minerva::api {

class EventFeed {
 public:
  using WallTime = std::chrono::system_clock::time_point;

  explicit EventFeed(std::uint64_t last_id) : log_(last_id) {}

  // To be called after each step of `core`: `event` is what it took, `actions` is what it returned.
  void take(const Event& event, const std::vector<Action>& actions, const ContextManager& core, TimePoint core_now,
            WallTime now);
  // A load has come to `fraction`, 0 to 1. Small steps make no event.
  void take_progress(const ModelId& model, double fraction, WallTime now);
  // The config was read again. `changed`: the names of the settings that have changed. `at_restart`: those of them that
  // take effect at the next start.
  void take_config(const std::vector<std::string>& changed, const std::vector<std::string>& at_restart, WallTime now);

  // A download changed. `download`: its JSON, on one line. Progress makes an event every 5 %.
  void take_download(const std::string& id, std::string_view download, std::optional<double> progress, WallTime now);

  const EventLog& log() const { return log_; }

 private:
  void take_catalog(const Event& event, WallTime now);
  void take_changes(const ContextManager& core, TimePoint core_now, WallTime now);
  void take_decisions(const ContextManager& core, WallTime now);
  void take_evictions(const std::vector<Action>& actions, WallTime now);
  void take_pressure(const Event& event, const ContextManager& core, WallTime now);

  EventLog log_;
  std::set<ModelId> known_;               // models of the catalog
  std::map<ModelId, int> progress_;       // of the loads under way: the last reported percentage
  std::map<std::string, int> downloads_;  // of the downloads under way, by id: the last reported percentage
  std::uint64_t last_decision_ = 0;       // the last one that was reported
  bool pressure_ = false;                 // as last reported
  Bytes short_by_;                        // of the machine's memory, as last reported
};

}  // namespace minerva::api
