// Writes down the reasons of decisions, for a reader who was not there. Nothing is decided here.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "context/impl.h"

namespace minerva {
namespace {

// Of hundreds of models, it is enough to name those that the policy would let leave first.
constexpr std::size_t kMostCandidates = 16;

}  // namespace

std::string_view decision_kind_name(DecisionKind kind) {
  switch (kind) {
    case DecisionKind::kLoad:
      return "load";
    case DecisionKind::kWake:
      return "wake";
    case DecisionKind::kMakeRoom:
      return "make_room";
    case DecisionKind::kWait:
      return "wait";
    case DecisionKind::kPark:
      return "park";
    case DecisionKind::kStop:
      return "stop";
    case DecisionKind::kRefuse:
      break;
  }
  return "refuse";
}

Decision& ContextManager::Impl::decide(DecisionKind kind, const Model& m, std::string reason) {
  if (decisions_.size() >= std::max<std::size_t>(state_.options.kept_decisions, 1)) decisions_.pop_front();
  return decisions_.emplace_back(Decision{.id = ++last_decision_,
                                          .when = state_.now,
                                          .kind = kind,
                                          .model = m.id,
                                          .reason = std::move(reason),
                                          .because_of = cause_});
}

Error ContextManager::Impl::refused(const Model& m, Error error) {
  // A flood of refusals must not push out everything else: those since the last decision of another kind are counted.
  const auto others = std::find_if(decisions_.rbegin(), decisions_.rend(),
                                   [](const Decision& d) { return d.kind != DecisionKind::kRefuse; });
  const auto same = std::find_if(decisions_.rbegin(), others,
                                 [&](const Decision& d) { return d.model == m.id && d.refusal == error.code; });
  if (same != others) {
    ++same->times;
    same->when = state_.now;
    same->reason = error.message;
    error.decision = same->id;
  } else {
    Decision& decision = decide(DecisionKind::kRefuse, m, error.message);
    decision.refusal = error.code;
    error.decision = decision.id;
  }
  return error;
}

std::string ContextManager::Impl::wish(const Model& m) const {
  const RequestQueue::Lines& lines = state_.queue.lines(m.id);
  const bool preload = std::all_of(lines.loads.begin(), lines.loads.end(),
                                   [&](const auto& load) { return state_.queue.find(load.second)->preload; });
  const std::size_t requests = lines.leases.size();
  const std::string who = requests > 0                   ? requests_wait(requests) + " for it"
                          : m.guess                      ? "it is preloaded: " + m.guess->why
                          : state_.comes_back_unasked(m) ? "it was in memory before the restart"
                          : lines.loads.empty()          ? "it is to be preloaded"
                          : preload                      ? "it was asked to be preloaded"
                                                         : "it was asked to be loaded";
  const Room room = state_.ledger.now();
  std::string what = memory_wish(state_.lacking(m));
  if (room.max_models != 0) what += fmt::format(", {} of at most {} models are hot", room.active, room.max_models);
  return fmt::format("{}; {}", who, what);
}

std::string ContextManager::Impl::memory_wish(const Footprint& needs) const {
  const Room room = state_.ledger.now();
  const Footprint free = room.budget - room.committed;
  std::string wish = fmt::format("it needs {} MiB", needs.host().rounded_mib());
  if (room.budget.host() != Bytes(UINT64_MAX)) {
    wish += fmt::format(" and {} of {} MiB are free", free.host().rounded_mib(), room.budget.host().rounded_mib());
  }
  for (std::size_t i = 0; i < state_.options.devices.size(); ++i) {
    const std::size_t pool = i + 1;
    if (needs.of(pool) == Bytes()) continue;
    wish += fmt::format(", {} MiB of the device {}, where {} of {} MiB are free", needs.of(pool).rounded_mib(),
                        in_quotes(state_.options.devices[i].id), free.of(pool).rounded_mib(),
                        room.budget.of(pool).rounded_mib());
    if (room.budget.of(pool) < state_.budget().of(pool)) wish += " (other programs have the rest)";
  }
  return wish;
}

void ContextManager::Impl::decide_start(Model& m, DecisionKind kind) {
  decide(kind, m, wish(m)).because_of = m.room_decision;
}

void ContextManager::Impl::decide_room(const Move& move) {
  Model& claimant = model_of(move.claimant);
  const Candidates& candidates = move.candidates;
  const std::vector<std::size_t>* const chosen = move.kind == Move::Kind::kAwaitOthers ? nullptr : &move.chosen;
  const bool waits = move.kind != Move::Kind::kLeave && move.kind != Move::Kind::kAwaitSwitch;
  // Each pass of the planning comes by here: a decision that has not changed is not recorded again.
  std::string plan(waits ? "waits" : "leave");
  for (std::size_t i = 0; chosen != nullptr && i < chosen->size(); ++i) {
    plan += ' ' + candidates.whose[(*chosen)[i]].model->id;
  }
  if (plan == claimant.room_plan) return;
  claimant.room_plan = std::move(plan);

  std::vector<DecisionCandidate> listed;
  for (std::size_t i = 0; i < candidates.whose.size(); ++i) {
    const Candidates::Whose& whose = candidates.whose[i];
    const bool goes = chosen != nullptr && std::find(chosen->begin(), chosen->end(), i) != chosen->end();
    auto entry = std::find_if(listed.begin(), listed.end(), [&](const auto& c) { return c.model == whose.model->id; });
    if (entry == listed.end()) {
      DecisionCandidate candidate{.model = whose.model->id, .stops = whose.stops};
      if (whose.model->resident()) {
        candidate.standing =
            whose.model->leases.empty() ? state_.cache.standing(candidate.model, state_.now) : "in use";
        candidate.score = state_.cache.rank(candidate.model).value;
      }
      entry = listed.insert(listed.end(), std::move(candidate));
    } else if (!goes) {
      continue;  // the rest of it stays
    }
    entry->frees += candidates.departures[i].frees.total();
    entry->stops = whose.stops;
    entry->chosen |= goes;
  }
  bool before_chosen = false;
  for (auto c = listed.rbegin(); c != listed.rend(); ++c) {
    before_chosen |= c->chosen;
    if (before_chosen && !c->chosen) {
      c->standing += fmt::format("; with the others gone its {} MiB are not needed", c->frees.rounded_mib());
    }
  }
  std::vector<std::string> leave;
  for (const DecisionCandidate& c : listed) {
    if (!c.chosen) continue;
    leave.push_back(fmt::format("{} {} and frees {} MiB{}", in_quotes(c.model), c.stops ? "is stopped" : "is parked",
                                c.frees.rounded_mib(), c.standing.empty() ? "" : fmt::format(" ({})", c.standing)));
  }
  std::size_t place = 0;
  std::erase_if(listed, [&](const DecisionCandidate& c) { return ++place > kMostCandidates && !c.chosen; });
  std::string reason = wish(claimant);
  if (chosen == nullptr) {
    reason += fmt::format("; nobody can leave for it: {}", obstacles(claimant.id));
  } else if (waits) {
    reason += fmt::format("; as soon as they can, {}; until then {}", fmt::join(leave, ", "), obstacles(claimant.id));
  } else {
    reason += fmt::format("; by {}, {}", state_.cache.policy_name(), fmt::join(leave, ", "));
  }
  Decision& decision = decide(waits ? DecisionKind::kWait : DecisionKind::kMakeRoom, claimant, std::move(reason));
  decision.candidates = std::move(listed);
  if (!waits) claimant.room_decision = decision.id;
}

}  // namespace minerva
