#include "context/state.h"

#include <algorithm>

#include "context/planted_bug.h"
#include "minerva/base/check.h"

namespace minerva {
namespace {

// No engine has more (the config's `parallel` says how many).
constexpr std::size_t kMostSlots = 256;

// The guess for a model that was never parked: the head (vocabulary, graph, code), and a part that grows with the
// model.
constexpr Bytes kHead = Bytes::mib(32);
constexpr std::uint64_t kShareKept = 20;

// The model's line had a turn: its requests that got no slot come after the model for which it left.
RequestQueue::Turn after_its_turn(const Model& m, RequestQueue::Turn turn) {
  if (m.slots > 0 && !planted_bug(PlantedBug::kLineKeepsTurn)) turn.first = std::max(turn.first, m.had_turn);
  return turn;
}

}  // namespace

State::State(const ContextOptions& first_options, std::unique_ptr<EvictionPolicy> policy)
    : options(first_options), cache(std::move(policy)), ledger(budget_of(first_options), first_options.max_models) {}

// ---- pools ----

Footprint State::limit() const {
  Footprint limit = budget();
  if (!planted_bug(PlantedBug::kOthersIgnored)) limit = least(limit, available);
  return denial ? least(limit, denial->limit) : limit;
}

// ---- a model ----

const Model* State::find_known(const ModelId& id) const {
  const auto it = models.find(id);
  return it == models.end() || !it->second.known ? nullptr : &it->second;
}

bool State::wanted(const Model& m) const { return m.eager || queue.lines(m.id).wanting() > 0; }

bool State::waits_for_room(const Model& m) const {
  return m.state() == ModelState::kWaitingForRoom ||
         (m.state() == ModelState::kParked && wanted(m) && !m.run.stalled) ||
         (m.state() == ModelState::kInspecting && planted_bug(PlantedBug::kEvictBeforeInspect));
}

bool State::idle(const Model& m) const {
  const bool leased = !m.leases.empty() && !planted_bug(PlantedBug::kVictimWithLease);
  const bool pinned = m.pinned && !planted_bug(PlantedBug::kPinIgnored);
  return (m.state() == ModelState::kHot || m.state() == ModelState::kParked) && !m.run.stalled && !leased && !pinned &&
         queue.lines(m.id).wanting() == 0;
}

bool State::leaving_anyway(const Model& m) const { return !m.known || draining || !queue.lines(m.id).unloads.empty(); }

bool State::forced(const RequestQueue::Lines& lines) const {
  return std::ranges::any_of(lines.loads, [&](const auto& w) { return queue.find(w.second)->force; });
}

bool State::comes_back_unasked(const Model& m) const {
  return m.eager == kBehindAll && queue.lines(m.id).wanting() == 0;
}

Footprint State::lacking(const Model& m) const {
  return m.state() == ModelState::kParked ? m.footprint - ledger.held(*m.engine) : m.footprint;
}

TimePoint State::idle_since(const Model& m) const {
  const CacheEntry* const entry = cache.find(m.id);
  return entry->last_use_tick > 0 ? std::max(m.run.hot_since, entry->last_used) : m.run.hot_since;
}

Residency State::residency(const Model& m, TimePoint at) {
  switch (m.state()) {
    case ModelState::kInspecting:
    case ModelState::kWaitingForRoom:
      return Residency::kPreparing;
    case ModelState::kLoading:
      return Residency::kLoading;
    case ModelState::kHot:
      return Residency::kHot;
    case ModelState::kParking:
      return Residency::kParking;
    case ModelState::kParked:
      return Residency::kParked;
    case ModelState::kWaking:
      return Residency::kWaking;
    case ModelState::kStopping:
      return Residency::kStopping;
    case ModelState::kCold:
      break;
  }
  return m.breaker.open(at) ? Residency::kQuarantined : Residency::kCold;
}

// ---- turns among models ----

RequestQueue::Turn State::turn(const Model& m, const RequestQueue::Lines& lines) {
  return std::min(after_its_turn(m, lines.first_turn()), {TimePoint::max(), m.eager.value_or(UINT64_MAX)});
}

RequestQueue::Turn State::turn_of_leases(const Model& m) const {
  RequestQueue::Turn first = RequestQueue::kNoTurn;
  for (const auto& [place, id] : queue.lines(m.id).leases)
    first = std::min(first, {queue.find(id)->counts_from, place});
  return std::min(after_its_turn(m, first), {TimePoint::max(), m.eager.value_or(UINT64_MAX)});
}

TimePoint State::residency_ends(const Model& m, const Model& claimant) const {
  const TimePoint usual = after(m.run.hot_since, options.min_residency);
  TimePoint deadline = TimePoint::max();
  for (const auto& [place, id] : queue.lines(claimant.id).leases) {
    deadline = std::min(deadline, queue.find(id)->deadline);
  }
  if (deadline == TimePoint::max()) return usual;
  // What it still has to do, and then the switch.
  return std::min(usual, deadline - guess_load_time(claimant) - m.service_time.value_or(Duration::zero()));
}

Duration State::head_start(Priority priority) const {
  switch (priority) {
    case Priority::kLow:
      return options.head_start;
    case Priority::kNormal:
      return Duration::zero();
    case Priority::kHigh:
      break;
  }
  return planted_bug(PlantedBug::kHighGoesFirst) ? -std::chrono::hours(1) : -options.head_start;
}

bool State::queue_is_full(const Model& m) const {
  return queue.lines(m.id).wanting() >= options.max_queue_per_model || queue.wanting() >= options.max_queue;
}

bool State::has_too_many_leases(const Model& m) const {
  return m.leases.size() >= kMostSlots + options.max_queue_per_model;
}

// ---- parking ----

bool State::parkable(const Model& m) const {
  return m.run.can_park && !m.run.stalled && options.parking.enabled && !draining && now >= m.run.not_parked_before;
}

Footprint State::expected_residue(const Model& m) const { return expected_residue(m, ledger.held(*m.engine)); }

Footprint State::expected_residue(const Model& m, const Footprint& held) {
  // Nothing stays on a device, unless it did before.
  return least(held, m.residue.value_or(kHead + Bytes(held.host().count() / kShareKept)));
}

Bytes State::image_room(const Model& m) const {
  return options.parking.images - (ledger.images() - ledger.image(*m.engine));
}

// ---- all of them ----

bool State::at_rest() const {
  const bool all_hot = engines.size() == cache.size();
  return queue.size() == 0 && all_hot && removed_models == 0 && !draining && ledger.now().within();
}

bool State::no_model_moves() const {
  return removed_models == 0 && coming_back.empty() && ledger.now().within() &&
         std::all_of(models.begin(), models.end(), [](const auto& e) {
           const ModelState state = e.second.state();
           return state == ModelState::kCold || state == ModelState::kHot || state == ModelState::kParked;
         });
}

Footprint budget_of(const ContextOptions& options) {
  Footprint budget(options.memory_budget);
  check(options.devices.size() <= Footprint::kMostDevices, "more devices than there are pools");
  for (std::size_t i = 0; i < options.devices.size(); ++i) budget.set(i + 1, options.devices[i].memory_budget);
  return budget;
}

TimePoint after(TimePoint now, Duration span) { return span > TimePoint::max() - now ? TimePoint::max() : now + span; }

}  // namespace minerva
