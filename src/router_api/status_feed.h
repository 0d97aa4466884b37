// StatusFeed: makes the events of GET /models/sse, in the form of llama.cpp's router, from what each step of the core
// changed.
//
// Events have no names and no numbers, since clients read only their data. Each event comes once for every name that
// the list has for the model, since a client waits for the name it asked for. Pure. Threading: one thread. It does not
// send anything.
#pragma once

#include <functional>
#include <map>
#include <string_view>
#include <vector>

#include "api/event_log.h"
#include "minerva/context/context_manager.h"
#include "router_api/status.h"

namespace minerva::router_api {

class StatusFeed {
 public:
  // The names of a model in the list: its id, and those of its presets.
  using Names = std::function<std::vector<ModelId>(const ModelId&)>;

  explicit StatusFeed(Names names) : names_(std::move(names)) {}

  // To be called after each step of `core`: `event` is what it took.
  void take(const Event& event, const ContextManager& core, TimePoint now);
  // A load has come to `fraction`, 0 to 1. Small steps make no event.
  void take_progress(const ModelId& model, double fraction);
  // A download changed. Small steps make no event.
  void take_download(const DownloadNow& download);
  // The list of models has changed without an event of the core.
  void take_listing();
  // Reports the state of a model, even if it was reported before, since a client asked for it.
  void tell(const ModelId& model, const api::RouterStatus& status);

  const api::EventLog& log() const { return log_; }

 private:
  struct LastReport {
    std::string_view status = status_name(Residency::kCold);
    int percent = 0;  // of the load under way
  };
  void take_change(const ResidencyChange& change, const ContextManager& core, TimePoint now);

  Names names_;
  api::EventLog log_{0};
  std::map<ModelId, LastReport> last_reports_;  // models of the catalog
  std::map<std::string, int> downloads_;        // of the downloads under way, by id: the last reported percentage
};

}  // namespace minerva::router_api
