#include "router_api/status.h"

#include <cmath>
#include <utility>

#include "api/json.h"

namespace minerva::router_api {
namespace {

// llama.cpp reports the exit code of the process. Clients only ask whether it is 0.
constexpr int kFailed = 1;

std::string event_text(std::string_view model, std::string_view event, api::Json data) {
  return api::dump({{"model", model}, {"event", event}, {"data", std::move(data)}});
}

}  // namespace

std::string_view status_name(Residency residency) {
  switch (residency) {
    case Residency::kHot:
      return "loaded";
    case Residency::kParking:
    case Residency::kParked:
    case Residency::kWaking:
      return "sleeping";
    case Residency::kPreparing:
    case Residency::kLoading:
      return "loading";
    case Residency::kCold:
    case Residency::kStopping:
    case Residency::kQuarantined:
      return "unloaded";
  }
  return "unloaded";
}

api::RouterStatus status_of(Residency residency, const std::optional<Error>& failure) {
  api::RouterStatus status{.value = status_name(residency)};
  const bool failed = residency == Residency::kQuarantined || (residency == Residency::kCold && failure.has_value());
  if (failed) status.exit_code = kFailed;
  return status;
}

std::string status_event(const ModelId& model, const api::RouterStatus& status, std::optional<double> progress) {
  api::Json data = {{"status", status.value}};
  if (status.exit_code) data["exit_code"] = *status.exit_code;
  if (progress) {
    constexpr std::string_view kStage = "text_model";
    data["progress"] = {
        {"stages", api::Json::array({kStage})}, {"current", kStage}, {"value", std::round(*progress * 100) / 100}};
  }
  return event_text(model, "model_status", std::move(data));
}

std::string reload_event() { return event_text("*", "models_reload", nullptr); }

std::string remove_event(const ModelId& model) { return event_text(model, "model_remove", api::Json::object()); }

std::string downloading_event(const DownloadNow& download) {
  return event_text(download.model, "model_status", {{"status", "downloading"}});
}

std::string download_progress_event(const DownloadNow& download) {
  api::Json progress = api::Json::object();
  progress[download.file] = {{"done", download.done}, {"total", download.size}};
  return event_text(download.model, "download_progress", {{"progress", std::move(progress)}});
}

std::string download_end_event(const DownloadNow& download) {
  return event_text(download.model, download.succeeded ? "download_finished" : "download_failed", api::Json::object());
}

}  // namespace minerva::router_api
