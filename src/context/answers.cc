// Waiting calls, and the answers to them: which are put in line, taken out of it, granted, done or rejected.
#include <fmt/format.h>

#include <algorithm>

#include "context/impl.h"
#include "minerva/base/check.h"

namespace minerva {

void ContextManager::Impl::wait(Waiter waiter) {
  check(!state_.leases.contains(waiter.id), "a request id was used twice");
  waiter.arrived = state_.now;
  waiter.counts_from = state_.now + state_.head_start(waiter.priority);
  const ModelId id = waiter.model;
  if (waiter.kind == WaitKind::kLease || waiter.kind == WaitKind::kLoad) guess_used(state_.models.at(id));
  state_.queue.add(std::move(waiter));
  refresh_evictable(state_.models.at(id));
}

Waiter ContextManager::Impl::take(RequestId id) {
  Waiter waiter = state_.queue.take(id);
  refresh_evictable(state_.models.at(waiter.model));
  return waiter;
}

void ContextManager::Impl::reject(RequestId request, Error error) {
  actions_.emplace_back(Reject{request, std::move(error)});
}

void ContextManager::Impl::reject_lease(RequestId request, Error error) {
  constexpr int kTooManyRequests = 429;
  constexpr int kUnavailable = 503;
  const int status = error_info(error.code).http_status;
  ++(status == kTooManyRequests || status == kUnavailable ? counts_.shed : counts_.failed);
  reject(request, std::move(error));
}

void ContextManager::Impl::reject_waiter(const Waiter& waiter, Error error) {
  if (waiter.kind == WaitKind::kLease) return reject_lease(waiter.id, std::move(error));
  reject(waiter.id, std::move(error));
}

void ContextManager::Impl::reject_wanting(Model& m, const Error& error) {
  while (!state_.queue.lines(m.id).leases.empty())
    reject_waiter(take(state_.queue.lines(m.id).leases.begin()->second), error);
  reject_loads(m, UINT64_MAX, error);
}

void ContextManager::Impl::reject_loads(Model& m, std::uint64_t before_place, const Error& error) {
  while (!state_.queue.lines(m.id).loads.empty()) {
    const auto [place, id] = *state_.queue.lines(m.id).loads.begin();
    if (place >= before_place) return;
    reject(take(id).id, error);
  }
}

void ContextManager::Impl::done_unchanged(RequestId request, const Model& m) {
  actions_.emplace_back(Done{.request = request,
                             .model = m.id,
                             .changed = false,
                             .footprint = m.engine ? state_.ledger.held(*m.engine).total() : Bytes()});
}

void ContextManager::Impl::force_out(Model& m, std::string_view how) {
  m.pinned = false;
  let_go(m);
  const std::string who = fmt::format("the model {} was {} by an operator", in_quotes(m.id), how);
  const int retry_after_s = retry_seconds(state_.guess_load_time(m));
  abort_leases(m, {ErrorCode::kNoCapacity, "cancelled: " + who, {}, retry_after_s});
  // The operator who asked for the load has been overruled. A request for the model may come again.
  reject_loads(m, UINT64_MAX, {ErrorCode::kConflict, who + "; load it again"});
  reject_wanting(m, {ErrorCode::kNoCapacity, who, {}, retry_after_s});
}

void ContextManager::Impl::abort_leases(Model& m, const Error& error) {
  for (auto& [request, aborted] : m.leases) {
    if (!aborted) actions_.emplace_back(Abort{request, error});
    aborted = true;
  }
}

void ContextManager::Impl::finish_unloads(Model& m) {
  while (!state_.queue.lines(m.id).unloads.empty()) {
    const Waiter waiter = take(state_.queue.lines(m.id).unloads.begin()->second);
    actions_.emplace_back(
        Done{.request = waiter.id, .model = m.id, .changed = true, .took = state_.now - waiter.arrived});
  }
}

void ContextManager::Impl::reject_parks(Model& m, const Error& error) {
  while (!state_.queue.lines(m.id).parks.empty())
    reject(take(state_.queue.lines(m.id).parks.begin()->second).id, error);
}

void ContextManager::Impl::answer_load(Model& m, RequestId id, bool just_loaded) {
  const Waiter waiter = take(id);
  if (!waiter.preload) state_.cache.expect_use(m.id, state_.now);
  actions_.emplace_back(Done{.request = waiter.id,
                             .model = m.id,
                             .changed = just_loaded,
                             .took = state_.now - waiter.arrived,
                             .evicted = just_loaded ? m.evicted : std::vector<ModelId>(),
                             .footprint = state_.ledger.held(*m.engine).total()});
}

}  // namespace minerva
