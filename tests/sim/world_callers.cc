// Clients, operators, the config and the catalog.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sim/world.h"

namespace minerva::sim {
namespace {

constexpr std::uint64_t kClientsForALook = 4;
constexpr Duration kWatchMax = milliseconds(500);  // until a replaced file is noticed by itself

}  // namespace

TimePoint World::some_deadline() {
  // The longest wait that the bound allows: no request may be shed.
  if (profile_.calm && !profile_.flood && !settling_) return now_ + longest_wait_;
  if (settling_ || profile_.flood || chance(0.5)) return now_ + std::chrono::hours(10);
  if (chance(0.05)) return chance(0.5) ? now_ : TimePoint::max();
  return now_ + between(milliseconds(1), seconds(10));
}

Caller World::some_caller() {
  // Each request has its own caller, so that only the flooder has several.
  if (profile_.flood) return {UserId{2'000 + next_request_}, Priority::kNormal};
  return {UserId{1 + pick(4)}, profile_.urgent || chance(0.5) ? Priority::kNormal : static_cast<Priority>(pick(3))};
}

unsigned World::some_slots(const ModelId& model) {
  if (chance(0.1)) return 0;
  if (chance(0.8)) return 1;
  const auto entry = catalog_.find(model);
  const unsigned most = entry == catalog_.end() ? 0 : entry->second.slots;
  if (profile_.calm) return most == 0 ? 1 : 1 + static_cast<unsigned>(pick(most));
  return 2 + static_cast<unsigned>(pick(3));
}

void World::client_arrives(const ModelId& model, Caller caller) {
  const RequestId request = new_request();
  if (chance(profile_.leave)) {
    const bool soon = chance(0.5);
    at(between(Duration::zero(), soon ? milliseconds(50) : seconds(5)), [this, request] {
      const SimRequest& r = referee_.requests().at(request);
      if (r.status == SimRequest::Status::kGranted) {
        release(request, LeaseEnd::kCancelled);
      } else {
        deliver(RequestCancelled{request});
      }
    });
  }
  if (chance(profile_.poison)) poison_.insert(request);
  look_at_file(model, "request");
  asked_[request] = file_[model];
  deliver(LeaseRequested{request, model, some_deadline(), caller, /*looking=*/false, some_slots(model)});
  if (static_cast<std::uint64_t>(request) % kClientsForALook != 0) return;
  const RequestId look = new_request();
  asked_[look] = 0;  // a look is answered by whatever version its engine has
  deliver(LeaseRequested{look, model, TimePoint::max(), caller, /*looking=*/true});
}

void World::steady_traffic(const ModelId& model, TimePoint end) {
  if (now_ >= end) return;
  // The queues are long enough for what comes while all others have a turn.
  outside(between(milliseconds(1), milliseconds(400) * std::max(2, profile_.models)), [this, model, end] {
    client_arrives(model, profile_.urgent ? Caller{UserId{1}, Priority::kHigh} : some_caller());
    steady_traffic(model, end);
  });
}

void World::operator_calls() {
  if (chance(profile_.restarts)) return restart();
  const ModelId model = any_model();
  const RequestId request = new_request();
  const bool force = chance(0.3);
  switch (pick(18)) {
    case 0:
    case 1:
    case 2:
      deliver(LoadRequested{request, model, chance(0.5), force, some_deadline()});
      break;
    case 3:
    case 4:
    case 5:
      deliver(UnloadRequested{request, model, force, some_deadline()});
      break;
    case 6:
    case 7:
      deliver(PinRequested{request, model, chance(0.5)});
      return;
    case 8:
      remove(model);
      return;
    case 9: {
      if (model == "nobody") return;
      add(some_entry(model));
      return;
    }
    case 10:
      return operator_changes_limits();
    case 11:
      configuration_changes();
      return;
    case 12:
    case 13:
      deliver(ParkRequested{request, model, force, some_deadline()});
      break;
    case 14: {
      const bool lasts = chance(0.7);
      deliver(PressureChanged{lasts, Bytes::mib(100 * pick(10))});
      if (lasts) at(between(milliseconds(100), seconds(3)), [this] { deliver(PressureChanged{false, Bytes()}); });
      return;
    }
    case 15:
      deliver(FootprintMeasured{EngineId{1 + pick(20)}, some_footprint(7)});
      return;
    case 16:
      deliver(ClearRequested{.stats = chance(0.5), .history = chance(0.5), .images = chance(0.5)});
      return;
    default:
      stray_event();
      if (chance(0.1)) {
        draining_ = true;
        deliver(DrainRequested{now_ + between(Duration::zero(), seconds(5))});
      }
      return;
  }
  if (chance(profile_.leave))
    at(between(Duration::zero(), seconds(3)), [=, this] { deliver(RequestCancelled{request}); });
}

void World::operator_changes_limits() {
  const Bytes budget = chance(0.5) ? profile_.options.memory_budget : Bytes::mib(100 * (1 + pick(16)));
  change_limits(budget, chance(0.5) ? profile_.options.max_models : pick(5));
}

// As the timetable does: it loads only into free room, and unloads nothing that is in use.
void World::follow_schedule(const ModelId& model, Duration period) {
  if (settling_) return;
  at(period, [=, this] {
    if (chance(0.7)) {
      deliver(LoadRequested{new_request(), model, /*preload=*/true, /*force=*/false, now_ + seconds(5)});
    } else if (const auto view = manager_.model(model, now_); view && view->leases == 0) {
      deliver(UnloadRequested{new_request(), model, /*force=*/false, now_});
    }
    follow_schedule(model, period);
  });
}

void World::stray_event() {
  const EngineId engine{pick(50)};
  switch (pick(9)) {
    case 0:
      deliver(EngineReady{engine});
      break;
    case 1:
      deliver(LeaseReleased{RequestId{1'000'000 + pick(10)}, LeaseEnd::kCompleted});
      break;
    case 2:
      deliver(EngineStalled{engine});
      break;
    case 3:
      deliver(EngineParked{engine, Bytes::mib(pick(100)), Bytes()});
      break;
    case 4:
      deliver(ParkRefused{engine, Error{ErrorCode::kIo, "the disk is full"}});
      break;
    case 5:
      deliver(EngineWoken{engine});
      break;
    case 6:
      deliver(WakeRefused{engine, Error{ErrorCode::kNoCapacity, "its device has no room"}});
      break;
    case 7:
      deliver(DevicesChanged{some_footprint(20)});
      break;
    default:
      deliver(LeaseLost{RequestId{1 + pick(next_request_ - 1)}, some_deadline()});
  }
}

ParkingLimits World::some_parking_limits() {
  ParkingLimits limits;
  limits.enabled = chance(0.85);
  if (chance(0.5)) limits.memory = Bytes::mib(20 * pick(20));
  if (chance(0.5)) limits.images = Bytes::mib(50 * pick(20));
  return limits;
}

ModelAdded World::some_entry(const ModelId& model) {
  ModelAdded added{.model = model, .pinned = chance(0.1)};
  if (chance(0.2)) added.preload = PreloadStrategy::kEager;
  if (chance(0.2)) added.ttl = between(milliseconds(100), seconds(4));
  if (chance(0.6)) added.slots = 1 + static_cast<unsigned>(pick(4));
  added.keeps_pages = chance(0.2);
  if (chance(0.1)) added.unload_ttl = added.ttl + between(milliseconds(100), seconds(4));
  return added;
}

void World::add(ModelAdded entry) {
  catalog_[entry.model] = entry;
  entry.outdated = entry.outdated || runs_another_file(entry.model);
  deliver(entry);
}

void World::remove(const ModelId& model) {
  catalog_.erase(model);
  deliver(ModelRemoved{model});
}

void World::perhaps_replace_file(const ModelId& model, Duration within, const char* doing) {
  if (settling_ || !chance(profile_.replaced)) return;
  at(between(Duration::zero(), within), [=, this] {
    ++file_[model];
    footprints_[model] = some_footprint(8);
    ++coverage_[fmt::format("file replaced while {}", doing)];
    at(between(Duration::zero(), kWatchMax), [=, this] { look_at_file(model, "watch"); });
  });
}

void World::look_at_file(const ModelId& model, const char* by) {
  if (std::exchange(known_[model], file_[model]) == file_[model]) return;
  const auto entry = catalog_.find(model);
  if (entry == catalog_.end()) return;
  ++coverage_[fmt::format("replaced file noticed by {}", by)];
  ModelAdded again = entry->second;
  const auto engine = latest_engine_.find(model);
  again.outdated =
      engine == latest_engine_.end() || referee_.engines().at(engine->second).dead || runs_another_file(model);
  deliver(again);
}

bool World::runs_another_file(const ModelId& model) const {
  const auto engine = latest_engine_.find(model);
  if (engine == latest_engine_.end() || referee_.engines().at(engine->second).dead) return false;
  const auto known = known_.find(model);
  return spec_.at(engine->second) != (known == known_.end() ? 0 : known->second);
}

// A new config is read while everything goes on.
void World::configuration_changes() {
  for (int i = 0; i < profile_.models; ++i) {
    const ModelId id = model_name(static_cast<std::uint64_t>(i));
    if (chance(0.6)) continue;
    if (chance(0.1)) {
      remove(id);
    } else {
      ModelAdded added = some_entry(id);
      added.outdated = chance(0.4);
      if (added.outdated && chance(0.5)) footprints_[id] = some_footprint(8);
      add(added);
    }
  }
  if (chance(0.5)) {
    options_.max_queue_per_model = chance(0.3) ? 128 : 1 + pick(6);
    options_.max_queue = chance(0.3) ? 1024 : 1 + pick(12);
    options_.load_timeout = between(milliseconds(500), seconds(8));
    options_.min_residency = chance(0.3) ? Duration::zero() : between(milliseconds(1), seconds(3));
    options_.head_start = between(Duration::zero(), seconds(5));
    options_.max_switches_per_second = pick(5);
    deliver(OptionsChanged{options_});
  }
  if (chance(0.5)) change_limits(Bytes::mib(100 * (1 + pick(16))), pick(5));
  if (chance(0.2)) {
    options_.prediction = {.preload = chance(0.5), .read_ahead = chance(0.5)};
    deliver(OptionsChanged{options_});
  }
}

void World::change_limits(Bytes budget, std::size_t max_models) {
  options_.memory_budget = budget;
  options_.max_models = max_models;
  for (Device& device : options_.devices) {
    if (chance(0.5)) device.memory_budget = Bytes::mib(100 * (1 + pick(16)));
  }
  options_.parking = some_parking_limits();
  deliver(OptionsChanged{options_});
}

}  // namespace minerva::sim
