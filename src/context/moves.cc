// Carries out what plan() decided. Each move is one small transition; nothing is decided here.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "context/impl.h"
#include "context/planted_bug.h"
#include "minerva/base/check.h"

namespace minerva {

bool ContextManager::Impl::carry_out(const std::vector<Move>& moves) {
  for (auto& [id, m] : state_.models) {
    m.draining = false;
    // A decision for a load that has come, or that nobody wants any more, is not the reason of the next load.
    if (state_.waits_for_room(m)) continue;
    m.room_plan.clear();
    m.room_decision = 0;
    m.switching = false;
  }
  bool answered = false;
  for (const Move& move : moves) answered |= carry_out(move);
  return answered;
}

bool ContextManager::Impl::carry_out(const Move& move) {
  if (move.until) switch_possible_ = std::min(switch_possible_.value_or(*move.until), *move.until);
  Model* const claimant = move.claimant == nullptr ? nullptr : &model_of(move.claimant);
  switch (move.kind) {
    case Move::Kind::kStart:
      start(*claimant);
      return false;
    case Move::Kind::kAwaitExits:
      return false;
    case Move::Kind::kGiveUp:
      give_up(*claimant);
      return true;
    case Move::Kind::kRefuse:
      refuse(*claimant);
      return true;
    case Move::Kind::kShed:
      shed(*claimant);
      return true;
    case Move::Kind::kElsewhere:
      stop(*claimant, move.reason);
      return false;
    case Move::Kind::kRefuseLoads:
      reject_loads(*claimant, UINT64_MAX,
                   refused(*claimant, no_room_for_load(claimant->id, state_.lacking(*claimant))));
      return true;
    case Move::Kind::kWithdraw:
      make_room(move.leavers.front(), move.reason, claimant);
      read_ahead(*claimant);
      return false;
    case Move::Kind::kLeave:
    case Move::Kind::kDrain:
      decide_room(move);
      displace(*claimant, move);
      return false;
    case Move::Kind::kAwaitModels:
    case Move::Kind::kAwaitSwitch:
    case Move::Kind::kAwaitOthers:
      decide_room(move);
      return false;
    case Move::Kind::kStopReturn:
      stop(model_of(move.leavers.front().model), move.reason);
      return false;
    case Move::Kind::kYield:
      yield(model_of(move.leavers.front().model), move.reason);
      return false;
    case Move::Kind::kShrink:
      make_room(move.leavers.front(), move.reason, nullptr);
      return false;
  }
  return false;
}

Model& ContextManager::Impl::model_of(const Model* planned) { return state_.models.at(planned->id); }

// ---- the claimant ----

void ContextManager::Impl::start(Model& m) {
  if (m.state() == ModelState::kParked) {
    wake(m);
  } else {
    spawn(m);
  }
}

void ContextManager::Impl::give_up(Model& m) {
  let_go(m);
  m.guess.reset();
  m.evicted.clear();
  if (m.preparing()) m.phase = phase::Cold();
}

void ContextManager::Impl::refuse(Model& m) {
  const Error error = refused(m, too_large(m.id, m.footprint));
  m.last_failure = error;
  reject_wanting(m, error);
  give_up(m);
}

void ContextManager::Impl::shed(Model& m) {
  reject_wanting(m, refused(m, device_full_error(m)));
  give_up(m);
}

void ContextManager::Impl::read_ahead(Model& m) {
  if (m.state() != ModelState::kWaitingForRoom || state_.pressure || std::exchange(m.read_ahead, true)) return;
  actions_.emplace_back(ReadAhead{m.id});
}

// ---- those that leave ----

void ContextManager::Impl::yield(Model& guess, const std::string& reason) {
  if (guess.preparing()) return give_up(guess);
  stop(guess, reason);
}

void ContextManager::Impl::displace(Model& claimant, const Move& move) {
  cause_ = claimant.room_decision;
  const std::string why = fmt::format("evicted to make room for {}", in_quotes(claimant.id));
  for (const Leaver& leaver : move.leavers) {
    Model& m = model_of(leaver.model);
    if (leaver.turn_ends) m.had_turn = state_.now;
    if (move.forced) {
      m.pinned = false;
      abort_leases(m, {ErrorCode::kNoCapacity,
                       fmt::format("cancelled: the model was unloaded by an operator to make room for {}",
                                   in_quotes(claimant.id)),
                       {},
                       1});
      refresh_evictable(m);  // it may stay for a while, and it is not pinned any more
    }
    if (move.kind == Move::Kind::kDrain) {
      m.draining = leaver.drains;
      refresh_evictable(m);
      // Whoever came before an unload is not served first any more.
      if (m.draining && !state_.queue.lines(m.id).unloads.empty()) advance_unload(m);
      continue;
    }
    if (leaver.how != Leaver::How::kLater) begin_switch(claimant);
    make_room(leaver, why, &claimant);
  }
  cause_ = 0;
  read_ahead(claimant);
}

void ContextManager::Impl::begin_switch(Model& claimant) {
  const bool begun = std::exchange(claimant.switching, true);
  if (begun || state_.options.max_switches_per_second == 0) return;
  constexpr Duration kSpan = std::chrono::seconds(1);
  while (!state_.switches.empty() && state_.switches.front() + kSpan <= state_.now) state_.switches.pop_front();
  state_.switches.push_back(state_.now);
}

void ContextManager::Impl::make_room(const Leaver& leaver, const std::string& reason, Model* claimant) {
  Model& m = model_of(leaver.model);
  stop_for_image(leaver.image_victims, m);
  const ModelId victim_of = claimant == nullptr ? ModelId() : claimant->id;
  switch (leaver.how) {
    case Leaver::How::kPark:
      return park(m, reason, victim_of, /*to_make_room=*/true);
    case Leaver::How::kStop:
      if (claimant != nullptr) claimant->evicted.push_back(m.id);
      return evict(m, reason, victim_of);
    case Leaver::How::kLater:
      return;
  }
}

void ContextManager::Impl::stop_for_image(const std::vector<const Model*>& victims, const Model& parks) {
  for (const Model* victim : victims) {
    evict(model_of(victim), fmt::format("evicted, as the image of {} needs its room on disk", in_quotes(parks.id)), {});
  }
}

ImageRoom::When ContextManager::Impl::make_image_room(const Model& m) {
  const ImageRoom room = Draft(state_).image_room(m);
  stop_for_image(room.stopped, m);
  return room.when;
}

Model* ContextManager::Impl::idle_guess() {
  const Model* const guess = Draft(state_).idle_guess();
  return guess == nullptr ? nullptr : &model_of(guess);
}

void ContextManager::Impl::withdraw(Model& guess, const std::string& reason) {
  const auto how = State::only_guessed(guess) ? Leaver::How::kStop : Leaver::How::kPark;
  make_room({.model = &guess, .how = how}, reason, nullptr);
}

}  // namespace minerva
