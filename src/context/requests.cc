#include "context/requests.h"

#include <algorithm>

#include "minerva/base/check.h"

namespace minerva {
namespace {

bool wants_model(WaitKind kind) { return kind == WaitKind::kLease || kind == WaitKind::kLoad; }

}  // namespace

std::optional<std::uint64_t> RequestQueue::Lines::oldest() const {
  if (leases.empty() && loads.empty()) return std::nullopt;
  return std::min(leases.empty() ? UINT64_MAX : leases.begin()->first,
                  loads.empty() ? UINT64_MAX : loads.begin()->first);
}

RequestQueue::Line& RequestQueue::line_of(Lines& lines, WaitKind kind) {
  switch (kind) {
    case WaitKind::kLease:
      return lines.leases;
    case WaitKind::kLoad:
      return lines.loads;
    case WaitKind::kUnload:
      return lines.unloads;
    case WaitKind::kPark:
      break;
  }
  return lines.parks;
}

RequestQueue::Line& RequestQueue::lease_line(Lines& lines, const Waiter& waiter) {
  return waiter.slots == 0 ? lines.visits : lines.by_caller[waiter.caller];
}

void RequestQueue::add(Waiter waiter) {
  waiter.place = next_place();
  line_of(lines_[waiter.model], waiter.kind).emplace(waiter.place, waiter.id);
  if (waiter.deadline != TimePoint::max()) deadlines_.emplace(waiter.deadline, waiter.id);
  if (wants_model(waiter.kind)) {
    ++wanting_;
    lines_[waiter.model].turns.emplace(waiter.counts_from, waiter.place);
  }
  if (waiter.kind == WaitKind::kLease) {
    ++leases_;
    lease_line(lines_[waiter.model], waiter).emplace(waiter.place, waiter.id);
  }
  const RequestId id = waiter.id;
  check(waiters_.emplace(id, std::move(waiter)).second, "a request id was used twice");
}

Waiter RequestQueue::take(RequestId id) {
  const auto it = waiters_.find(id);
  check(it != waiters_.end(), "a request that does not wait was taken");
  Waiter waiter = std::move(it->second);
  waiters_.erase(it);
  deadlines_.erase({waiter.deadline, id});
  const auto lines = lines_.find(waiter.model);
  line_of(lines->second, waiter.kind).erase(waiter.place);
  lines->second.turns.erase({waiter.counts_from, waiter.place});
  if (wants_model(waiter.kind)) --wanting_;
  if (waiter.kind == WaitKind::kLease) {
    --leases_;
    lease_line(lines->second, waiter).erase(waiter.place);
    if (waiter.slots > 0 && lines->second.by_caller[waiter.caller].empty()) {
      lines->second.by_caller.erase(waiter.caller);
    }
  }
  if (lines->second.empty()) lines_.erase(lines);
  return waiter;
}

void RequestQueue::clear_deadline(RequestId id) {
  const auto it = waiters_.find(id);
  check(it != waiters_.end(), "a request that does not wait has no deadline");
  deadlines_.erase({it->second.deadline, id});
  it->second.deadline = TimePoint::max();
}

void RequestQueue::mark_retried(RequestId id) {
  const auto it = waiters_.find(id);
  check(it != waiters_.end(), "a request that does not wait is tried again");
  it->second.retried = true;
}

const Waiter* RequestQueue::find(RequestId id) const {
  const auto it = waiters_.find(id);
  return it == waiters_.end() ? nullptr : &it->second;
}

const RequestQueue::Lines& RequestQueue::lines(const ModelId& model) const {
  static const Lines kNone;
  const auto it = lines_.find(model);
  return it == lines_.end() ? kNone : it->second;
}

std::optional<TimePoint> RequestQueue::next_deadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

std::vector<RequestId> RequestQueue::expired(TimePoint now) const {
  std::vector<RequestId> ids;
  for (const auto& [deadline, id] : deadlines_) {
    if (deadline > now) break;
    ids.push_back(id);
  }
  return ids;
}

void RequestQueue::check_invariants() const {
  std::size_t in_lines = 0;
  std::size_t wanting = 0;
  std::size_t leases = 0;
  for (const auto& [model, lines] : lines_) {
    check(!lines.empty(), "an empty line is kept");
    check(lines.turns.size() == lines.wanting(), "somebody who wants the model has no turn");
    in_lines += lines.wanting() + lines.unloads.size() + lines.parks.size();
    wanting += lines.wanting();
    leases += lines.leases.size();
    std::size_t in_lease_lines = lines.visits.size();
    for (const auto& [caller, line] : lines.by_caller) {
      check(!line.empty(), "a caller without requests is kept");
      in_lease_lines += line.size();
      for (const auto& [place, id] : line) {
        const auto lease = lines.leases.find(place);
        check(lease != lines.leases.end() && lease->second == id && find(id)->caller == caller && find(id)->slots > 0,
              "a caller's line holds a stranger");
      }
    }
    check(in_lease_lines == lines.leases.size(), "a lease waits in no caller's line");
    for (const Line* line : {&lines.leases, &lines.loads, &lines.unloads, &lines.parks}) {
      for (const auto& [place, id] : *line) {
        const Waiter* waiter = find(id);
        check(waiter != nullptr && waiter->place == place && waiter->model == model, "a line holds a stranger");
        check(waiter->deadline == TimePoint::max() || deadlines_.contains({waiter->deadline, id}),
              "a deadline is not armed");
      }
    }
  }
  check(in_lines == waiters_.size() && wanting == wanting_ && leases == leases_, "a waiting request is in no line");
}

}  // namespace minerva
