// StatusFeed: the events of GET /models/sse, as llama.cpp's router has them, made from what each step of the core
// changed.
//
// Events have no names and no numbers: clients read their data only. A model is told of by all names that the listing
// has for it, since a client waits for the one that it asked for. Pure. Threading: one thread. It does not send
// anything.
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
  // The names a model is listed by: its id, and its presets'.
  using Names = std::function<std::vector<ModelId>(const ModelId&)>;

  explicit StatusFeed(Names names) : names_(std::move(names)) {}

  // `core` took `event`. To be called after each step.
  void take(const Event& event, const ContextManager& core, TimePoint now);
  // A load got so far, 0 to 1. Told in steps that are worth a look.
  void take_progress(const ModelId& model, double fraction);
  // A download changed. Progress is told as that of a load is.
  void take_download(const DownloadNow& download);
  // The listing is another one, by no event of the core.
  void take_listing();
  // Tells how a model is, also when that was told before: somebody asked for it.
  void tell(const ModelId& model, const api::RouterStatus& status);

  const api::EventLog& log() const { return log_; }

 private:
  struct Told {
    std::string_view status = status_name(Residency::kCold);
    int percent = 0;  // of a load under way
  };
  void take_change(const ResidencyChange& change, const ContextManager& core, TimePoint now);

  Names names_;
  api::EventLog log_{0};
  std::map<ModelId, Told> told_;          // models of the catalog
  std::map<std::string, int> downloads_;  // under way, by id: in percent, as told last
};

}  // namespace minerva::router_api
