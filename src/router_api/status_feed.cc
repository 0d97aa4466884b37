#include "router_api/status_feed.h"

#include <variant>

namespace minerva::router_api {
namespace {

constexpr int kProgressStep = 5;  // percent

}  // namespace

void StatusFeed::take(const Event& event, const ContextManager& core, TimePoint now) {
  if (const auto* added = std::get_if<ModelAdded>(&event)) {
    if (last_reports_.try_emplace(added->model).second) take_listing();
  }
  for (const ResidencyChange& change : core.changes()) take_change(change, core, now);
  if (const auto* removed = std::get_if<ModelRemoved>(&event)) {
    if (last_reports_.erase(removed->model) > 0) log_.append_plain(remove_event(removed->model));
  }
}

void StatusFeed::take_change(const ResidencyChange& change, const ContextManager& core, TimePoint now) {
  // The change is reported once the engine has ended: until then its memory is taken.
  if (change.to == Residency::kStopping) return;
  const auto report = last_reports_.find(change.model);
  if (report == last_reports_.end()) return;
  // An orderly end passes through kStopping, and a quarantine ends by itself: an old failure says nothing about either.
  const bool orderly = change.from == Residency::kStopping || change.from == Residency::kQuarantined;
  std::optional<Error> failure;
  if (!orderly) failure = core.model(change.model, now).value_or(ModelView{}).last_failure;
  const api::RouterStatus status = status_of(change.to, failure);
  if (status.value == report->second.status && !status.exit_code) return;
  report->second.percent = 0;
  tell(change.model, status);
}

void StatusFeed::take_progress(const ModelId& model, double fraction) {
  const auto report = last_reports_.find(model);
  if (report == last_reports_.end() || report->second.status != status_name(Residency::kLoading)) return;
  const int percent = static_cast<int>(fraction * 100) / kProgressStep * kProgressStep;
  if (percent <= report->second.percent) return;
  report->second.percent = percent;
  for (const ModelId& name : names_(model)) {
    log_.append_plain(status_event(name, {.value = report->second.status}, percent / 100.0));
  }
}

void StatusFeed::take_download(const DownloadNow& download) {
  if (download.ended) {
    downloads_.erase(download.id);
    return log_.append_plain(download_end_event(download));
  }
  const auto [report, is_new] = downloads_.try_emplace(download.id, -1);
  if (is_new) log_.append_plain(downloading_event(download));
  if (download.size == 0) return;
  const int percent = static_cast<int>(static_cast<double>(download.done) / static_cast<double>(download.size) * 100) /
                      kProgressStep * kProgressStep;
  if (percent <= report->second) return;
  report->second = percent;
  log_.append_plain(download_progress_event(download));
}

void StatusFeed::take_listing() { log_.append_plain(reload_event()); }

void StatusFeed::tell(const ModelId& model, const api::RouterStatus& status) {
  const auto report = last_reports_.find(model);
  if (report != last_reports_.end()) report->second.status = status.value;
  for (const ModelId& name : names_(model)) log_.append_plain(status_event(name, status));
}

}  // namespace minerva::router_api
