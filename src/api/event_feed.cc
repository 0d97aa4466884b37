#include "api/event_feed.h"

#include <fmt/format.h>

#include <variant>

#include "api/decisions.h"
#include "api/json.h"

namespace minerva::api {
namespace {

constexpr int kProgressStep = 5;  // percent

}  // namespace

void EventFeed::take(const Event& event, const std::vector<Action>& actions, const ContextManager& core,
                     TimePoint core_now, WallTime now) {
  take_catalog(event, now);
  take_decisions(core, now);
  take_evictions(actions, now);
  take_changes(core, core_now, now);
  take_pressure(event, core, now);
  if (std::holds_alternative<DrainRequested>(event)) log_.append("draining", dump(Json{{"time", utc(now)}}));
}

void EventFeed::take_catalog(const Event& event, WallTime now) {
  const auto tell = [&](const ModelId& model, std::string_view change) {
    log_.append("catalog", dump(Json{{"time", utc(now)}, {"model", model}, {"change", change}}));
  };
  if (const auto* added = std::get_if<ModelAdded>(&event)) {
    tell(added->model, known_.insert(added->model).second ? "added" : "changed");
  } else if (const auto* removed = std::get_if<ModelRemoved>(&event)) {
    if (known_.erase(removed->model) > 0) tell(removed->model, "removed");
  }
}

void EventFeed::take_decisions(const ContextManager& core, WallTime now) {
  const std::deque<Decision>& decisions = core.decisions();
  auto fresh = decisions.end();
  while (fresh != decisions.begin() && std::prev(fresh)->id > last_decision_) --fresh;
  for (; fresh != decisions.end(); ++fresh) {
    last_decision_ = fresh->id;
    log_.append("decision", decision_json({*fresh, now}));
  }
}

void EventFeed::take_evictions(const std::vector<Action>& actions, WallTime now) {
  const auto tell = [&](const auto& leaves, std::string_view how) {
    if (!leaves.evicted) return;
    log_.append("eviction", dump(Json{{"time", utc(now)},
                                      {"model", leaves.model},
                                      {"for", leaves.victim_of.empty() ? Json(nullptr) : Json(leaves.victim_of)},
                                      {"leaves_by", how},
                                      {"reason", leaves.reason}}));
  };
  for (const Action& action : actions) {
    if (const auto* stop = std::get_if<Stop>(&action)) tell(*stop, "stop");
    if (const auto* park = std::get_if<Park>(&action)) tell(*park, "park");
  }
}

void EventFeed::take_changes(const ContextManager& core, TimePoint core_now, WallTime now) {
  for (const ResidencyChange& change : core.changes()) {
    progress_.erase(change.model);
    const ModelView model = core.model(change.model, core_now).value_or(ModelView{});  // the model may be gone
    Json json = {{"time", utc(now)},
                 {"model", change.model},
                 {"state", residency_name(change.to)},
                 {"was", residency_name(change.from)},
                 {"memory_mb", model.memory.rounded_mib()}};
    if (model.last_failure) {
      json["last_error"] = {{"code", error_info(model.last_failure->code).name},
                            {"message", model.last_failure->message}};
    }
    log_.append("state", dump(json));
  }
}

void EventFeed::take_pressure(const Event& event, const ContextManager& core, WallTime now) {
  bool told = core.has_memory_pressure() == pressure_;
  if (const auto* machine = std::get_if<PressureChanged>(&event)) {
    const Bytes short_by = machine->under_pressure ? machine->short_by : Bytes();
    // Pressure is reported again and again while it lasts: only a change is news.
    told = told && (short_by > Bytes()) == (short_by_ > Bytes());
    short_by_ = short_by;
  }
  if (told) return;
  pressure_ = core.has_memory_pressure();
  log_.append("pressure", dump(Json{{"time", utc(now)},
                                    {"memory_pressure", pressure_},
                                    {"machine_short_mb", short_by_.rounded_mib()},
                                    {"estimated_memory_mb", core.estimated_memory_mb()},
                                    {"memory_budget_mb", core.memory_budget().rounded_mib()}}));
}

void EventFeed::take_progress(const ModelId& model, double fraction, WallTime now) {
  const int percent = static_cast<int>(fraction * 100) / kProgressStep * kProgressStep;
  const auto [told, is_new] = progress_.try_emplace(model, 0);
  if (percent <= told->second) return;
  told->second = percent;
  log_.append("progress", dump(Json{{"time", utc(now)}, {"model", model}, {"progress", percent / 100.0}}));
}

void EventFeed::take_download(const std::string& id, std::string_view download, std::optional<double> progress,
                              WallTime now) {
  if (progress) {
    const int percent = static_cast<int>(*progress * 100) / kProgressStep * kProgressStep;
    const auto [told, is_new] = downloads_.try_emplace(id, 0);
    if (percent <= told->second) return;
    told->second = percent;
  } else {
    downloads_.erase(id);
  }
  log_.append("download", fmt::format(R"({{"time":"{}","download":{}}})", utc(now), download));
}

void EventFeed::take_config(const std::vector<std::string>& changed, const std::vector<std::string>& at_restart,
                            WallTime now) {
  log_.append("config", dump(Json{{"time", utc(now)}, {"changed", changed}, {"at_restart", at_restart}}));
}

}  // namespace minerva::api
