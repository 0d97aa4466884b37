// Engines: slow ones, and such as hang, crash, lie and repeat themselves.
#include <algorithm>
#include <set>

#include "sim/world.h"

namespace minerva::sim {
namespace {

constexpr auto kLook = milliseconds(2);
// A request that takes so long gives its engine no more requests than it has slots.
constexpr auto kSlow = milliseconds(300);
constexpr Duration kStallMax = seconds(3);  // until a hanging engine is noticed

}  // namespace

Footprint World::some_footprint(std::uint64_t most) {
  Footprint footprint(Bytes::mib(100 * (1 + pick(most))));
  for (std::size_t i = 0; i < profile_.options.devices.size(); ++i) {
    if (chance(0.5)) footprint.set(i + 1, Bytes::mib(100 * (1 + pick(most))));
  }
  return footprint;
}

Footprint World::footprint_of(const ModelId& model) {
  // A file that changes between two looks.
  if (faulty()) footprints_[model] = chance(0.1) ? Footprint() : some_footprint(9);
  return footprints_[model];
}

void World::carry_out(const Inspect& action) {
  perhaps_replace_file(action.model, kInspectMax, "it is inspected");
  const Duration delay = between(Duration::zero(), kInspectMax);
  if (faulty() && chance(0.5)) {
    at(delay,
       [=, this] { deliver(Inspected{action.model, action.ticket, fail(ErrorCode::kInvalidModel, "not a model")}); });
    return;
  }
  Footprint footprint = footprint_of(action.model);
  // It is placed where other programs leave room for it.
  if (footprint.within(budget_of(options_)) && !footprint.within(manager_.budget()) && chance(0.7)) {
    footprint = footprint.total();
    ++coverage_["placed elsewhere"];
  }
  const auto entry = catalog_.find(action.model);
  const unsigned usual = entry == catalog_.end() ? 0 : entry->second.slots;
  // Slots gave way, so that the model fits.
  const unsigned fewer = usual > 1 && !profile_.flood && chance(0.2) ? 1 + static_cast<unsigned>(pick(usual - 1)) : 0;
  at(delay, [=, this] { deliver(Inspected{action.model, action.ticket, footprint, std::nullopt, fewer}); });
  // The answer comes once more, when nobody asks any longer.
  if (faulty()) at(delay + milliseconds(300), [=, this] { deliver(Inspected{action.model, action.ticket, Bytes(1)}); });
}

void World::carry_out(const Spawn& action) {
  const EngineId engine = action.engine;
  latest_engine_[action.model] = engine;
  spec_[engine] = known_[action.model];
  read_[engine] = file_[action.model];
  perhaps_replace_file(action.model, kLoadMax, "it loads");
  const Duration load = between(milliseconds(1), kLoadMax);
  const bool can_park = chance(profile_.parks);
  if (!settling_ && chance(profile_.lies)) needs_percent_[engine] = 100 + pick(150);
  if (faulty()) {
    switch (pick(4)) {
      case 0:
        engine_hangs(engine);
        return;
      case 1:
        at(between(Duration::zero(), load), [=, this] {
          engine_dies(engine, chance(0.5) ? ErrorCode::kInvalidModel : ErrorCode::kEngineCrashed, "it died in load");
        });
        return;
      case 2:
        at(load + seconds(4), [=, this] { deliver(EngineReady{engine, can_park}); });  // perhaps too late
        return;
      default:
        at(load + between(Duration::zero(), seconds(4)),
           [=, this] { engine_dies(engine, ErrorCode::kEngineCrashed, "killed by signal 9"); });
        break;
    }
  }
  at(load, [=, this, model = action.model] {
    if (!allocate(engine)) return engine_dies(engine, ErrorCode::kNoCapacity, "its device has no room");
    if (file_[model] != read_[engine]) torn_.insert(engine);
    look_at_file(model, "engine that is ready");
    deliver(EngineReady{engine, can_park});
    if (faulty()) deliver(EngineReady{engine});
    if (needs_percent_.contains(engine) && chance(0.5)) {
      Footprint measured = referee_.engines().at(engine).footprint;
      for (std::size_t pool = 1; pool < Footprint::kPools; ++pool) measured.set(pool, taken_[engine].of(pool));
      deliver(FootprintMeasured{engine, measured});
    }
  });
}

Footprint World::free_on_devices() const {
  Footprint free = capacity_ - others_;
  for (const auto& [engine, taken] : taken_) free -= taken;
  return free;
}

bool World::allocate(EngineId engine) {
  const SimEngine& e = referee_.engines().at(engine);
  if (e.dead) return true;
  const auto lie = needs_percent_.find(engine);
  const std::uint64_t percent = lie == needs_percent_.end() ? 100 : lie->second;
  Footprint needs;
  for (std::size_t pool = 1; pool < Footprint::kPools; ++pool) {
    needs.set(pool, Bytes(e.hot_footprint.of(pool).count() / 100 * percent));
  }
  if (profile_.calm) expect(needs.within(free_on_devices() + taken_[engine]), "a device has more than its memory");
  if (!(needs - taken_[engine]).within(free_on_devices())) return false;
  taken_[engine] = needs;
  return true;
}

void World::others_change() {
  if (settling_) return;
  for (std::size_t pool = 1; pool < Footprint::kPools; ++pool) {
    if (chance(0.5)) continue;
    const Bytes most = others_.of(pool) + free_on_devices().of(pool);
    others_.set(pool, Bytes::mib(100 * pick(most.count() / Bytes::mib(100).count() + 1)));
  }
  ++coverage_["other programs change devices"];
  if (profile_.told) at(between(Duration::zero(), milliseconds(500)), [this] { tell_of_devices(); });
  outside(between(milliseconds(200), seconds(4)), [this] { others_change(); });
}

void World::tell_of_devices() {
  if (!settling_) deliver(DevicesChanged{manager_.reserved() + free_on_devices()});
}

void World::engine_dies(EngineId engine, ErrorCode code, const char* why) {
  if (referee_.engines().at(engine).dead) {
    deliver(EngineExited{engine, Error{code, why}});  // reported twice
    return;
  }
  taken_.erase(engine);
  const std::set<RequestId> leases = referee_.engines().at(engine).leases;
  deliver(EngineExited{engine, Error{code, why}});
  // The requests of that engine notice this sooner or later, perhaps when its successor is ready.
  for (const RequestId request : leases)
    at(between(Duration::zero(), seconds(4)), [=, this] { notices_death(request, engine); });
  if (faulty()) at(between(milliseconds(1), seconds(6)), [=, this] { engine_dies(engine, code, why); });
}

void World::engine_hangs(EngineId engine) {
  hanging_.insert(engine);
  watchdog_notices(engine);
}

void World::watchdog_notices(EngineId engine) {
  at(between(milliseconds(500), kStallMax), [=, this] { deliver(EngineStalled{engine}); });
}

void World::carry_out(const Kill& action) {
  const EngineId engine = action.engine;
  at(between(Duration::zero(), kStopMax), [=, this] { engine_dies(engine, ErrorCode::kEngineTimeout, "it hung"); });
}

void World::carry_out(const Park& action) {
  const EngineId engine = action.engine;
  perhaps_replace_file(action.model, 2 * kParkMax, "it parks or is parked");
  const Duration delay = between(Duration::zero(), kParkMax);
  if (faulty()) {
    switch (pick(4)) {
      case 0:
        return engine_hangs(engine);
      case 1:
        at(delay, [=, this] { engine_dies(engine, ErrorCode::kEngineCrashed, "it died while it parked"); });
        return;
      default: {
        const bool disk = chance(0.5);
        at(delay, [=, this] {
          deliver(ParkRefused{
              engine, disk ? Error{ErrorCode::kIo, "the disk is full"} : Error{ErrorCode::kConflict, "it is working"}});
        });
        return;
      }
    }
  }
  at(delay, [=, this] { parked(engine); });
  if (faulty()) at(delay + milliseconds(100), [=, this] { parked(engine); });  // reported twice
}

void World::parked(EngineId engine) {
  const SimEngine& e = referee_.engines().at(engine);
  if (e.dead) return;
  // Most engines keep little; some keep more than anybody would guess, or say so.
  const std::uint64_t share = chance(0.8) ? 1 + pick(10) : pick(150);
  Footprint residue(Bytes(e.footprint.host().count() / 100 * share));
  for (std::size_t pool = 1; pool < Footprint::kPools; ++pool) {
    if (chance(0.1)) residue.set(pool, Bytes(e.footprint.of(pool).count() / 100 * share));
  }
  const Bytes image = std::max(e.image, Bytes::mib(10 * pick(20)));
  if (image > e.max_image) {
    deliver(ParkRefused{engine, Error{ErrorCode::kConflict, "its image would be too large"}, image});
  } else {
    if (e.parking == SimEngine::Parking::kUnderWay) taken_[engine] = least(taken_[engine], residue);
    deliver(EngineParked{engine, residue, image, Bytes::mib(10 * pick(40))});
  }
}

void World::carry_out(const Wake& action) {
  const EngineId engine = action.engine;
  perhaps_replace_file(action.model, kWakeMax, "it wakes");
  const Duration delay = between(Duration::zero(), kWakeMax);
  if (faulty()) {
    if (chance(0.5)) return engine_hangs(engine);
    at(delay, [=, this] { engine_dies(engine, ErrorCode::kEngineCrashed, "its image is damaged"); });
    return;
  }
  at(delay, [=, this] {
    if (!allocate(engine)) return deliver(WakeRefused{engine, Error{ErrorCode::kNoCapacity, "its device has no room"}});
    EngineWoken woken{.engine = engine, .cached = Bytes::mib(10 * pick(30)), .missing = Bytes::mib(10 * pick(30))};
    if (woken.missing > Bytes() && chance(0.7)) {
      woken.displaced = Bytes::mib(10 * pick(30));
      woken.page_cache = Bytes::mib(10 * pick(100));
    }
    deliver(woken);
  });
}

void World::carry_out(const Stop& action) {
  const EngineId engine = action.engine;
  if (faulty() && chance(0.5)) at(Duration::zero(), [=, this] { deliver(EngineReady{engine}); });
  const Duration delay = between(Duration::zero(), faulty() ? seconds(8) : kStopMax);
  at(delay, [=, this] { engine_dies(engine, ErrorCode::kCancelled, "stopped"); });
}

void World::carry_out(const Grant& action) {
  const RequestId request = action.request;
  const EngineId engine = action.engine;
  expect(read_.at(engine) >= asked_.at(request), "a request is granted an engine of a file that was replaced before");
  expect(!torn_.contains(engine), "a request is granted an engine that read parts of two files");
  if (referee_.requests().at(request).looking) {
    return at(kLook, [=, this] { release(request, LeaseEnd::kCompleted); });
  }
  perhaps_replace_file(action.model, kLeaseMax, "it is used");
  if (hanging_.contains(engine)) return watchdog_notices(engine);
  if (poison_.contains(request)) {
    at(between(milliseconds(1), milliseconds(300)),
       [=, this] { engine_dies(engine, ErrorCode::kEngineCrashed, "a request killed it"); });
    return;
  }
  if (faulty() && chance(0.3)) return engine_hangs(engine);
  const LeaseEnd end = faulty() ? LeaseEnd::kFailed : LeaseEnd::kCompleted;
  const bool quick = !profile_.flood || referee_.requests().at(request).slots == 0;
  const Duration takes = chance(0.2) && quick ? Duration::zero() : between(quick ? milliseconds(1) : kSlow, kLeaseMax);
  at(takes, [=, this] { answered(request, end); });
}

void World::carry_out(const Abort& action) {
  const RequestId request = action.request;
  at(between(Duration::zero(), milliseconds(50)), [=, this] { release(request, LeaseEnd::kFailed); });
}

void World::release(RequestId request, LeaseEnd end) {
  if (referee_.requests().at(request).status == SimRequest::Status::kGranted) deliver(LeaseReleased{request, end});
}

void World::answered(RequestId request, LeaseEnd end) {
  const SimRequest& r = referee_.requests().at(request);
  if (r.status != SimRequest::Status::kGranted || hanging_.contains(r.engine)) return;
  if (!referee_.engines().at(r.engine).dead) release(request, end);
}

void World::notices_death(RequestId request, EngineId engine) {
  const SimRequest& r = referee_.requests().at(request);
  if (r.status != SimRequest::Status::kGranted || r.engine != engine) return;
  if (chance(0.7)) {
    deliver(LeaseLost{request, some_deadline()});
  } else {
    release(request, LeaseEnd::kFailed);  // part of it was answered
  }
}

}  // namespace minerva::sim
