#include "server/keep_alive.h"

#include <algorithm>

namespace minerva {

void KeepAlive::set(const ModelId& model, Duration time) {
  forget(model);
  if (time <= Duration::zero()) return move_out(model, time);
  Leaving& leaving = leaving_.try_emplace(model, loop_).first->second;
  leaving.at = Clock::now() + time;
  leaving.timer.arm(leaving.at, [this, model, time] { move_out(model, time); });
}

std::optional<TimePoint> KeepAlive::leaves_at(const ModelId& model) const {
  const auto found = leaving_.find(model);
  return found == leaving_.end() ? std::nullopt : std::optional(found->second.at);
}

void KeepAlive::move_out(const ModelId& model, Duration time) {
  forget(model);
  const auto view = host_.context().model(model, Clock::now());
  if (!view || view->residency != Residency::kHot) return;
  if (view->leases > 0 || view->waiting > 0) {
    // Earlier requests are still under way: the model is not idle yet.
    if (time > Duration::zero()) set(model, time);
    return;
  }
  host_.park_idle(model, Asker::kKeepAlive, [this, model](const Result<Done>& done) {
    if (done || done.error().code != ErrorCode::kNotSupported) return;
    host_.unload_idle(model, Asker::kKeepAlive, [](const Result<Done>&) {});
  });
}

}  // namespace minerva
