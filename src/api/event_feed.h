// EventFeed: the events of GET /v1/events, made from what each step of the core changed and decided. Their names and
// fields are documented in docs/openapi.yaml.
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

  // `core` took `event` and wants `actions`. To be called after each step.
  void take(const Event& event, const std::vector<Action>& actions, const ContextManager& core, TimePoint core_now,
            WallTime now);
  // A load got so far, 0 to 1. Told in steps that are worth a look.
  void take_progress(const ModelId& model, double fraction, WallTime now);
  // The config was read again: the names of the settings that are others now, and those of them that count from the
  // next start on.
  void take_config(const std::vector<std::string>& changed, const std::vector<std::string>& at_restart, WallTime now);

  // A download changed. `download`: it, as JSON on one line. Progress is told in steps of 5 %.
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
  std::map<ModelId, int> progress_;       // of the loads under way, in percent, as told last
  std::map<std::string, int> downloads_;  // under way, by id: in percent, as told last
  std::uint64_t last_decision_ = 0;       // that was told
  bool pressure_ = false;                 // as told last
  Bytes short_by_;                        // of the machine's memory
};

}  // namespace minerva::api
