// The states of models in the words of llama.cpp's router, and the events of its stream.
//
// Plain functions over plain values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api/life_cycle.h"
#include "minerva/base/ids.h"
#include "minerva/context/types.h"

namespace minerva::router_api {

// "loaded", "sleeping" (parked, or on the way there or back), "loading", "unloaded".
std::string_view status_name(Residency residency);

// The state for a list. `failure`: the last failure that no success has followed; it counts only if the model has no
// process.
api::RouterStatus status_of(Residency residency, const std::optional<Error>& failure);

// One event of GET /models/sse: `{"model":..,"event":"model_status","data":{"status":..}}`. `progress`: that of a load,
// 0 to 1.
std::string status_event(const ModelId& model, const api::RouterStatus& status,
                         std::optional<double> progress = std::nullopt);
// The event that says that the list of models has changed: clients ask for the list again.
std::string reload_event();
std::string remove_event(const ModelId& model);

// A download that POST /models began, by the name that the client asked for.
struct DownloadNow {
  std::string id;  // Minerva's own id
  std::string model;
  std::string file;  // the first file of the model; empty: not known yet
  std::uint64_t done = 0;
  std::uint64_t size = 0;  // bytes
  bool ended = false;
  bool succeeded = false;
};
std::string downloading_event(const DownloadNow& download);  // an event while it is under way
std::string download_progress_event(const DownloadNow& download);
std::string download_end_event(const DownloadNow& download);

}  // namespace minerva::router_api
