// Which model leaves for which, and why no request starves.
//
// Words of this file. An *engine* holds a model in memory; a *lease* is a request that an engine serves now; a *line*
// is the requests that wait for one model. An *idle* model is hot or parked, has no lease, nobody waits for it, and it
// is not pinned. A *busy* model has a lease, or somebody waits for it. A *guess* is a model that no request has asked
// for yet. A *claimant* is a model that waits for room: to be loaded, or to be woken from its image.
//
// First, plan() ends loads that only a guess wants, if a request waits (yield_guesses). Then idle models leave, as long
// as engines hold more than the limits allow (shrink_to_limits, shrink_parked). Then plan() looks at the claimants, one
// after the other. Claimants with a forced load (an operator's) come first. The others come in the order of their
// *turns*: a claimant's turn is when its oldest request came (State::turn). A high priority counts as some seconds
// earlier, a low priority as some seconds later.
//
// A claimant that is larger than the budget is refused. If other programs have so much of its device that it would not
// fit there even alone, it is refused for now, or if it is parked, it is stopped and placed anew. A model that comes
// back after a restart waits while any request waits. Each other claimant gets the first of these that is possible:
//
//   1. It starts. There is room for it now, beside the room that earlier claimants were promised. While memory outside
//      of the budget is short (State::pressure) only a parked model starts.
//   2. Guesses that are in memory leave for it, and a load that came back after a restart is stopped.
//   3. It waits for engines that are leaving, if there will be room when they are gone.
//   4. Idle models leave for it: the set that costs least by the eviction policy (victims.h). A model that is parking
//      and that nobody wants counts as idle, once it is parked. Each is parked if that frees enough, and stopped
//      otherwise. A load that an operator asked for without force goes no further: it is refused.
//   5. Busy models leave for it. Each first serves for min_residency. Then all of them drain: they get no new leases,
//      and when the running ones have ended they leave together. A busy model is left alone while a request of its own
//      that is older than the claimant's is about to be served (protected_by_turn).
//   6. It waits, because no model can leave.
//
// Room that was promised to a claimant counts as taken for all claimants after it. Once a claimant waits for models to
// become free, every idle or busy model that holds memory in a pool which that claimant lacks stays for it (`kept_`).
// So a later claimant starts in what is left over, has room made in the other pools, or waits. If the earlier claimant
// waits for a place (max_models) or for the next switch, no model leaves for a later claimant. A later claimant never
// takes room from an earlier one, but it may start in what is free now: then the earlier one gets what models give back
// that leave for the later one.
//
// Why no request starves.
//   * While a claimant waits, its turn stays. Requests that come later have later turns, apart from the head start of
//     their priority, which is bounded. So only finitely many claimants can come before it.
//   * The first claimant gets its room. Idle models leave at once. Models that load, park or wake come to an end. A
//     busy model can hold its place with requests that are older than the claimant's and about to be served; there are
//     finitely many of those, and no new ones. After that, and after min_residency, it drains: only the requests that
//     run then go on, each until its own deadline at most. Requests that wait for a slot of a busy model do not hold
//     its place.
//   * A model that is told to leave keeps its line, but the line's turn begins anew, behind the claimant
//     (Leaver::turn_ends). Otherwise its requests, which are older, would take the place back at once. So a line may be
//     put behind others again and again, but only after its model was in memory and served requests of it: each time
//     the line is shorter, or at least its oldest requests are gone.
//   * This holds as far as operators let it: a pinned model leaves for force alone, and forced loads come first.
// Requests that wait for a slot of a model that is in memory are the matter of slots.cc.
#include "context/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "context/lack.h"
#include "context/planted_bug.h"
#include "context/victims.h"
#include "context/words.h"

namespace minerva {
namespace {

class Planner {
 public:
  explicit Planner(const State& state) : state_(state), draft_(state) {}

  std::vector<Move> plan() {
    yield_guesses();
    shrink_to_limits();
    shrink_parked();
    for (const Claimant& claimant : claimants()) {
      // A parked claimant may have been told to leave for an earlier one.
      const Model& m = *claimant.model;
      if (draft_.state_of(m) == m.state() && !draft_.is_promised(m)) place(claimant);
    }
    return std::move(moves_);
  }

 private:
  // `lines` and `forced` are the model's, since each look for them costs: many models may wait.
  struct Claimant {
    const Model* model;
    const RequestQueue::Lines* lines;
    bool forced;
    RequestQueue::Turn turn;
  };

  // ---- claimants ----
  std::vector<Claimant> claimants() const;
  void place(const Claimant& one);
  bool fits_now(const Model& claimant) const;
  void start(const Model& claimant);
  // It does not fit what other programs leave of its device.
  void send_elsewhere(const Claimant& one);
  // Steps 3 to 5.
  void make_room(const Claimant& one);
  void displace(const Model& claimant, Candidates candidates, std::vector<std::size_t> chosen);
  Move::Kind how_to_displace(const Move& move, bool all_ready) const;
  // To be asked before the claimant's room is taken from the draft.
  Lack lack_of(const Model& claimant) const { return Lack::of(draft_.planned, state_.lacking(claimant)); }
  // Whether an earlier claimant waits for something that the model holds.
  bool is_kept(const Model& m) const { return kept_.covers(Lack::eased_by(draft_.held(m))); }
  // ---- who may leave ----
  void add_idle(Candidates& candidates) const;
  void add_busy(const Model& claimant, RequestQueue::Turn turn, Candidates& candidates) const;
  // Whether it may leave without disturbing anybody, now or once it is parked.
  bool unused(const Model& m) const;
  // Whether a busy model keeps its place against the claimant: its own requests are older, and about to be served.
  bool protected_by_turn(const Model& m, RequestQueue::Turn claimants) const;
  // ---- without a claimant ----
  void yield_guesses();
  void withdraw_guesses(const Model& claimant);
  void stop_return(const Model& claimant);
  void shrink_to_limits();
  void shrink_parked();

  // The model makes room at once, if it can.
  void tell_to_leave(Leaver& leaver, bool stops);
  Leaver guess_leaver(const Model& guess);
  Move& add(Move::Kind kind, const Model* claimant) {
    return moves_.emplace_back(Move{.kind = kind, .claimant = claimant});
  }

  const State& state_;
  Draft draft_;
  Lack kept_;  // what earlier claimants wait for
  std::vector<Move> moves_;
};

// ---- claimants ----

std::vector<Planner::Claimant> Planner::claimants() const {
  std::vector<Claimant> found;
  for (const auto& [id, m] : state_.models) {
    const bool yields = draft_.state_of(m) != m.state();
    if (yields || !state_.waits_for_room(m)) continue;
    const RequestQueue::Lines& lines = state_.queue.lines(id);
    found.push_back({&m, &lines, state_.forced(lines), State::turn(m, lines)});
  }
  // An operator who uses force does not wait in line.
  std::sort(found.begin(), found.end(),
            [](const Claimant& a, const Claimant& b) { return a.forced != b.forced ? a.forced : a.turn < b.turn; });
  return found;
}

void Planner::place(const Claimant& one) {
  const Model& claimant = *one.model;
  if (!claimant.footprint.within(state_.budget())) {
    add(Move::Kind::kRefuse, &claimant);
    return;
  }
  if (!claimant.footprint.within(state_.ledger.budget()) && !planted_bug(PlantedBug::kTakenDeviceAwaited)) {
    return send_elsewhere(one);
  }
  const bool somebody_waits = state_.queue.wanting() > 0 && !planted_bug(PlantedBug::kComesBackFirst);
  if (state_.comes_back_unasked(claimant) && somebody_waits) return;
  if (fits_now(claimant)) return start(claimant);
  if (one.lines->wanting() == 0) {
    add(Move::Kind::kGiveUp, &claimant);
    return;
  }
  withdraw_guesses(claimant);
  const Footprint needs = state_.lacking(claimant);
  if (!draft_.planned.fits(needs)) stop_return(claimant);
  if (!draft_.planned.fits(needs)) return make_room(one);
  // What guesses left may be for an earlier claimant, and what is free now for this one.
  if (fits_now(claimant)) return start(claimant);
  add(Move::Kind::kAwaitExits, &claimant);
  draft_.planned.take(needs);
}

void Planner::send_elsewhere(const Claimant& one) {
  const Model& claimant = *one.model;
  if (one.lines->wanting() == 0) {
    add(Move::Kind::kGiveUp, &claimant);
  } else if (claimant.state() == ModelState::kParked) {
    add(Move::Kind::kElsewhere, &claimant).reason =
        "other programs have too much of its device to wake it there, so it is loaded where there is room";
    draft_.leave(claimant, /*stops=*/true);
  } else {
    add(Move::Kind::kShed, &claimant);
  }
}

void Planner::start(const Model& claimant) {
  add(Move::Kind::kStart, &claimant);
  draft_.start(claimant);
}

bool Planner::fits_now(const Model& claimant) const {
  const Footprint needs = state_.lacking(claimant);
  const bool held_back =
      state_.pressure && claimant.state() != ModelState::kParked && !planted_bug(PlantedBug::kPressureIgnored);
  return !held_back && draft_.now.fits(needs) && draft_.planned.fits(needs);
}

void Planner::make_room(const Claimant& one) {
  const Model& claimant = *one.model;
  const Footprint needs = state_.lacking(claimant);
  const bool forced = one.forced;
  const Lack lack = lack_of(claimant);
  const bool others_may_leave = !kept_.covers(lack);
  Candidates candidates;
  if (others_may_leave) add_idle(candidates);
  auto chosen = choose_victims(draft_.planned, needs, candidates.departures);
  if (!chosen && !forced) {
    // A load that an operator asked for takes the place of idle models. It is refused rather than to wait for busy
    // models.
    if (!one.lines->loads.empty()) add(Move::Kind::kRefuseLoads, &claimant);
    if (one.lines->leases.empty()) {
      add(Move::Kind::kGiveUp, &claimant);
      return;
    }
  }
  if (!chosen && others_may_leave) {
    const RequestQueue::Turn turn = forced ? one.turn : state_.turn_of_leases(claimant);
    add_busy(claimant, turn, candidates);
    chosen = choose_victims(draft_.planned, needs, candidates.departures);
  }
  if (chosen) return displace(claimant, std::move(candidates), *std::move(chosen));
  add(Move::Kind::kAwaitOthers, &claimant).candidates = std::move(candidates);
  // Room is kept for it, unless it cannot get room before an operator unpins a model: then others need not wait for it.
  if (!forced && draft_.never_fits_beside_pinned(claimant)) return;
  draft_.planned.take(needs);
  kept_.add(lack);
}

void Planner::displace(const Model& claimant, Candidates candidates, std::vector<std::size_t> chosen) {
  Move move{.kind = Move::Kind::kLeave, .claimant = &claimant, .forced = state_.forced(claimant)};
  const Lack lack = lack_of(claimant);
  std::vector<bool> stops;  // one for each leaver
  bool all_ready = true;
  for (const std::size_t i : chosen) {
    const auto& [model, stop, ready] = candidates.whose[i];
    // One model may be two departures: what parking it frees, and the rest, which stopping it frees.
    const auto known = std::ranges::find(move.leavers, model, &Leaver::model);
    if (known == move.leavers.end()) {
      move.leavers.push_back({.model = model});
      stops.push_back(stop);
    } else if (stop) {
      stops[static_cast<std::size_t>(known - move.leavers.begin())] = true;
    }
    draft_.promise(*model);
    draft_.planned.give_back(candidates.departures[i].frees, candidates.departures[i].ends_active);
    all_ready &= ready;
    const TimePoint settled = state_.residency_ends(*model, claimant);
    const bool too_new = draft_.state_of(*model) == ModelState::kHot && settled > state_.now;
    if (too_new) move.until = std::min(move.until.value_or(settled), settled);
  }
  move.kind = how_to_displace(move, all_ready);
  if (move.kind == Move::Kind::kAwaitSwitch) {
    const TimePoint possible = *draft_.next_switch(claimant);
    move.until = std::min(move.until.value_or(possible), possible);
  }
  for (std::size_t i = 0; i < move.leavers.size(); ++i) {
    Leaver& its = move.leavers[i];
    const Model& m = *its.model;
    its.how = stops[i] ? Leaver::How::kStop : Leaver::How::kPark;
    const bool acts = move.kind == Move::Kind::kDrain || move.kind == Move::Kind::kLeave;
    // An idle model may get leases until the last of the leavers is free. With force it gets none: they would be
    // aborted.
    its.drains = move.kind == Move::Kind::kDrain && m.state() == ModelState::kHot && (move.forced || !draft_.idle(m));
    if (acts && move.forced) draft_.lift_pin(m);
    its.turn_ends = acts && m.state() == ModelState::kHot && !m.draining;
    if (move.kind != Move::Kind::kLeave) continue;
    tell_to_leave(its, stops[i]);
    if (its.how != Leaver::How::kLater) draft_.begin_switch(claimant);
  }
  if (move.kind != Move::Kind::kLeave) kept_.add(lack);
  if (move.kind == Move::Kind::kAwaitSwitch) kept_.place = true;
  move.candidates = std::move(candidates);
  move.chosen = std::move(chosen);
  const bool all_leave = move.kind == Move::Kind::kLeave && std::ranges::none_of(move.leavers, [](const Leaver& its) {
                           return its.how == Leaver::How::kLater;
                         });
  moves_.push_back(std::move(move));
  // What leaves may be for an earlier claimant, and what is free now for this one.
  if (all_leave && fits_now(claimant)) return start(claimant);
  draft_.planned.take(state_.lacking(claimant));
}

Move::Kind Planner::how_to_displace(const Move& move, bool all_ready) const {
  if (!all_ready) return Move::Kind::kAwaitModels;
  const bool all_free = std::ranges::all_of(move.leavers, [](const Leaver& l) { return l.model->leases.empty(); });
  if (!all_free) return Move::Kind::kDrain;
  return draft_.next_switch(*move.claimant) ? Move::Kind::kAwaitSwitch : Move::Kind::kLeave;
}

void Planner::tell_to_leave(Leaver& leaver, bool stops) {
  const Model& m = *leaver.model;
  leaver.how = Leaver::How::kStop;
  if (!stops) {
    ImageRoom image = draft_.image_room(m);
    leaver.image_victims = std::move(image.stopped);
    if (image.when == ImageRoom::When::kNow) leaver.how = Leaver::How::kPark;
    if (image.when == ImageRoom::When::kLater) leaver.how = Leaver::How::kLater;
  }
  for (const Model* victim : leaver.image_victims) draft_.leave(*victim, /*stops=*/true);
  if (leaver.how != Leaver::How::kLater) draft_.leave(m, leaver.how == Leaver::How::kStop);
}

// ---- who may leave ----

bool Planner::unused(const Model& m) const {
  const bool parking = draft_.state_of(m) == ModelState::kParking && !m.pinned && !state_.wanted(m);
  return parking || draft_.idle(m);
}

void Planner::add_idle(Candidates& candidates) const {
  std::vector<const Model*> idle_ones = draft_.idle_models();
  std::erase_if(idle_ones, [&](const Model* m) { return draft_.is_promised(*m) || is_kept(*m); });
  candidates.add(draft_, idle_ones, /*ready=*/true, /*weighed=*/true);
  // A model that is parking keeps some memory. Stopping the model frees that too, once it is parked.
  std::vector<const Model*> parking;
  for (const auto& [id, m] : state_.models) {
    const bool parks = draft_.state_of(m) == ModelState::kParking;
    if (parks && unused(m) && !draft_.is_promised(m) && !is_kept(m)) parking.push_back(&m);
  }
  candidates.add(draft_, parking, /*ready=*/false, /*weighed=*/true);
}

bool Planner::protected_by_turn(const Model& m, RequestQueue::Turn claimant_turn) const {
  // Requests that wait for a slot are not about to be served: they wait for those that run, as the claimant does.
  const bool wait_for_slot = m.state() == ModelState::kHot && m.slots > 0 && (m.draining || !state_.can_grant(m));
  if (wait_for_slot && !planted_bug(PlantedBug::kLineProtects)) return false;
  return state_.turn(m) < claimant_turn;
}

void Planner::add_busy(const Model& claimant, RequestQueue::Turn turn, Candidates& candidates) const {
  const bool forced = state_.forced(claimant);
  std::vector<const Model*> now;
  std::vector<const Model*> pinned;  // they leave only by force
  std::vector<const Model*> later;   // they cannot be told to leave yet
  for (const auto& [id, m] : state_.models) {
    const ModelState now_in = draft_.state_of(m);
    if (&m == &claimant || !draft_.has_engine(m) || now_in == ModelState::kStopping) continue;
    if (draft_.is_promised(m) || is_kept(m) || unused(m)) continue;  // add_idle() adds the unused ones
    if (now_in == ModelState::kLoading || now_in == ModelState::kParking || now_in == ModelState::kWaking) {
      if (!m.pinned || forced) later.push_back(&m);
    } else if (m.pinned) {
      if (forced) pinned.push_back(&m);
    } else {
      const bool must_go = forced || state_.leaving_anyway(m);
      if (!must_go && protected_by_turn(m, turn)) continue;
      const bool settled = must_go || now_in == ModelState::kParked || state_.now >= state_.residency_ends(m, claimant);
      (settled && !planted_bug(PlantedBug::kBusyNeverDrains) ? now : later).push_back(&m);
    }
  }
  // A model that drains comes first. Recency alone would not do: the end of a lease makes a model more recent, so that
  // of two busy models now one would be told to drain and now the other, for ever.
  const auto goes_first = [&](const Model* a, const Model* b) {
    if (a->draining != b->draining) return a->draining;
    return state_.cache.rank(a->id) < state_.cache.rank(b->id);
  };
  std::sort(now.begin(), now.end(), goes_first);
  std::sort(pinned.begin(), pinned.end(), goes_first);
  // In this order, whatever the policy weighs: a model that drains already continues.
  candidates.add(draft_, now, /*ready=*/true, /*weighed=*/false);
  candidates.add(draft_, pinned, /*ready=*/true, /*weighed=*/false);
  candidates.add(draft_, later, /*ready=*/false, /*weighed=*/false);
}

// ---- guesses, and what comes back after a restart ----

void Planner::yield_guesses() {
  if (state_.queue.wanting() == 0 || planted_bug(PlantedBug::kGuessNeverYields)) return;
  for (const auto& [id, m] : state_.models) {
    if (!m.guess || state_.queue.lines(id).wanting() > 0) continue;
    if (m.state() != ModelState::kLoading && !m.preparing()) continue;
    Move& move = add(Move::Kind::kYield, nullptr);
    move.leavers.push_back({.model = &m});
    move.reason = "it was loaded on a guess, and a request waits for another";
    if (m.preparing()) {
      draft_.give_up(m);
    } else {
      draft_.leave(m, /*stops=*/true);
    }
  }
}

Leaver Planner::guess_leaver(const Model& guess) {
  // A guess that was woken may keep conversations from before: it is parked, so that these stay.
  const bool stops = State::only_guessed(guess);
  draft_.leave(guess, stops);
  return {.model = &guess, .how = stops ? Leaver::How::kStop : Leaver::How::kPark};
}

void Planner::withdraw_guesses(const Model& claimant) {
  while (!draft_.planned.fits(state_.lacking(claimant))) {
    const Model* const guess = planted_bug(PlantedBug::kGuessGoesLast) ? nullptr : draft_.idle_guess();
    if (guess == nullptr) return;
    Move& move = add(Move::Kind::kWithdraw, &claimant);
    move.leavers.push_back(guess_leaver(*guess));
    move.reason = fmt::format("loaded on a guess, it makes room for {}", in_quotes(claimant.id));
  }
}

void Planner::stop_return(const Model& claimant) {
  if (state_.coming_back.empty()) return;
  const auto found = state_.models.find(state_.coming_back.front());
  if (found == state_.models.end()) return;
  const Model& m = found->second;
  if (draft_.state_of(m) != ModelState::kLoading || !state_.comes_back_unasked(m)) return;
  Move& move = add(Move::Kind::kStopReturn, &claimant);
  move.leavers.push_back({.model = &m});
  move.reason = "it was coming back after the restart, and a model that was asked for needs its memory";
  draft_.leave(m, /*stops=*/true);
}

// ---- limits ----

void Planner::shrink_to_limits() {
  while (!draft_.planned.within()) {
    const std::vector<const Model*> idle_ones = draft_.idle_models();
    const bool too_many = draft_.planned.max_models != 0 && draft_.planned.active > draft_.planned.max_models;
    const bool by_others = !too_many && draft_.planned.committed.within(state_.budget());
    Move move{.kind = Move::Kind::kShrink,
              .reason = by_others ? "evicted, as other programs take memory of its device"
                                  : "evicted, as the memory budget or max_models is smaller now"};
    const Footprint above = draft_.planned.committed - draft_.planned.budget;
    const auto helps = [&](const Footprint& freed) { return least(above, freed) != Footprint(); };
    const auto hot = std::ranges::find_if(idle_ones, [&](const Model* m) {
      return m->state() == ModelState::kHot && (too_many || helps(draft_.held(*m)));
    });
    const auto parked = std::ranges::find_if(idle_ones, [&](const Model* m) { return helps(draft_.held(*m)); });
    if (const Model* const guess = draft_.idle_guess()) {
      move.leavers.push_back(guess_leaver(*guess));
    } else if (hot != idle_ones.end()) {
      const bool frees = too_many || helps(draft_.held(**hot) - draft_.expected_residue(**hot));
      Leaver& its = move.leavers.emplace_back(Leaver{.model = *hot});
      tell_to_leave(its, /*stops=*/!frees || !state_.parkable(**hot));
      // Parked models that are stopped to make room for its image may free enough: then it parks later. If they do not,
      // this model is stopped now, as the limits do not wait for room on disk.
      if (its.how == Leaver::How::kLater && !draft_.planned.within()) {
        its.how = Leaver::How::kStop;
        draft_.leave(**hot, /*stops=*/true);
      }
    } else if (parked != idle_ones.end()) {
      tell_to_leave(move.leavers.emplace_back(Leaver{.model = *parked}), /*stops=*/true);
    } else {
      return;
    }
    moves_.push_back(std::move(move));
  }
}

void Planner::shrink_parked() {
  Bytes residues;
  Bytes images;
  for (const auto& [id, m] : state_.models) {
    if (!m.engine || draft_.state_of(m) == ModelState::kStopping) continue;
    images += state_.ledger.image(*m.engine);
    if (draft_.state_of(m) == ModelState::kParked) residues += draft_.held(m).host();
  }
  const ParkingLimits& limits = state_.options.parking;
  if (residues <= limits.memory && images <= limits.images) return;
  for (const Model* m : draft_.idle_models()) {
    const bool too_much = residues > limits.memory;
    if (!too_much && images <= limits.images) return;
    const Bytes image = state_.ledger.image(*m->engine);
    if (m->state() != ModelState::kParked || (!too_much && image == Bytes())) continue;
    residues -= draft_.held(*m).host();
    images -= image;
    Move& move = add(Move::Kind::kShrink, nullptr);
    move.reason = "evicted, as parked models hold more than park.memory or park.images allows";
    tell_to_leave(move.leavers.emplace_back(Leaver{.model = m}), /*stops=*/true);
  }
}

}  // namespace

std::vector<Move> plan(const State& state) { return Planner(state).plan(); }

}  // namespace minerva
