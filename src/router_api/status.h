// What llama.cpp's router calls the states of models, and how its event stream tells of them.
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

// "loaded", "sleeping" (it is parked, or on its way there or back), "loading", "unloaded".
std::string_view status_name(Residency residency);

// As listings say it. `failure`: the last one that was not forgiven; it counts only of a model that has no process.
api::RouterStatus status_of(Residency residency, const std::optional<Error>& failure);

// One event of GET /models/sse: `{"model":..,"event":"model_status","data":{"status":..}}`. `progress`: of a load, 0
// to 1.
std::string status_event(const ModelId& model, const api::RouterStatus& status,
                         std::optional<double> progress = std::nullopt);
// The list of models is another one: clients ask for it again.
std::string reload_event();
std::string remove_event(const ModelId& model);

// A download for POST /models, by the name it was asked for.
struct DownloadNow {
  std::string id;  // Minerva's own
  std::string model;
  std::string file;  // the model's first; empty: not known yet
  std::uint64_t done = 0;
  std::uint64_t size = 0;  // bytes
  bool ended = false;
  bool succeeded = false;
};
std::string downloading_event(const DownloadNow& download);  // it is under way
std::string download_progress_event(const DownloadNow& download);
std::string download_end_event(const DownloadNow& download);

}  // namespace minerva::router_api
