// ModelHost and devices: which pools there are for a model, and what other programs have of them.
//
// Who says what is free on a device: an engine at rest that has something there, twice a second; where there is none, a
// child process, when a model is about to be placed. An engine that works is not asked, since its answers would hide
// from the watchdog that it hangs.
#include <algorithm>
#include <set>

#include "base/log.h"
#include "host/model_host.h"

namespace minerva {
namespace {

constexpr Duration kWatchPeriod = std::chrono::milliseconds(500);
// A driver that did not answer a child is left alone for a while: each load would wait for it.
constexpr Duration kNoChildFor = std::chrono::minutes(1);

}  // namespace

ModelRoom ModelHost::room() const {
  ModelRoom room{manager_.memory_budget()};
  const std::vector<std::string> usable = driver_.devices();
  for (const PoolView& pool : manager_.pools()) {
    if (std::find(usable.begin(), usable.end(), pool.id) == usable.end()) continue;
    const Bytes for_model = pool.available - device_limits_.share(pool.id);
    room.devices.push_back({pool.id, for_model, for_model - pool.reserved});
  }
  return room;
}

Footprint ModelHost::by_pool(Bytes host, const DeviceBytes& devices) const {
  Footprint footprint(host);
  const std::vector<PoolView> pools = manager_.pools();
  for (std::size_t pool = 1; pool < pools.size(); ++pool) {
    const auto found = devices.find(pools[pool].id);
    if (found == devices.end() || found->second == Bytes()) continue;
    footprint.set(pool, found->second + device_limits_.share(pools[pool].id));
  }
  return footprint;
}

Footprint ModelHost::shares(const Running& running) const {
  Footprint shares;
  const std::vector<PoolView> pools = manager_.pools();
  for (std::size_t pool = 1; pool < pools.size(); ++pool) {
    if (running.devices.contains(pools[pool].id)) shares.set(pool, device_limits_.share(pools[pool].id));
  }
  return shares;
}

void ModelHost::note_devices(Running& running, const ModelMetadata& metadata) {
  for (const PoolView& pool : manager_.pools()) {
    const auto found = metadata.on_devices().find(pool.id);
    if (found == metadata.on_devices().end() || found->second == Bytes()) continue;
    running.devices[pool.id] = device_limits_.free_now(pool.id, device_moves_, Clock::now());
  }
  if (!running.devices.empty()) devices_move();
  running.device_moves = device_moves_;
}

void ModelHost::forget_devices() {
  for (const PoolView& pool : manager_.pools()) {
    if (!has_engine_on(pool.id)) device_limits_.forget(pool.id);
  }
  tell_available();
}

bool ModelHost::has_engine_on(const std::string& device) const {
  return std::any_of(engines_.begin(), engines_.end(),
                     [&](const auto& e) { return e.second.devices.contains(device); });
}

// ---- what other programs have ----

void ModelHost::arm_device_watch() {
  const bool on_devices =
      std::any_of(engines_.begin(), engines_.end(), [](const auto& e) { return !e.second.devices.empty(); });
  if (device_watch_armed_ || !on_devices) return;
  device_watch_armed_ = true;
  device_watch_.arm(Clock::now() + kWatchPeriod, [this] {
    device_watch_armed_ = false;
    watch_devices();
    arm_device_watch();
  });
}

void ModelHost::watch_devices() {
  const bool moving = std::any_of(engines_.begin(), engines_.end(), [](const auto& e) {
    const Running& running = e.second;
    return !running.devices.empty() && (!running.ready || running.moving || running.told_to_stop);
  });
  if (moving) return;
  std::set<std::string> asked;
  for (auto& [id, running] : engines_) {
    EngineAgent* const agent = running.engine->agent();
    if (agent == nullptr || running.leases > 0 || running.waits > 0) continue;
    bool says_more = false;
    for (const auto& [device, free_before] : running.devices) says_more |= asked.insert(device).second;
    if (!says_more) continue;
    agent->look_at_devices(
        [this, moves = device_moves_](const DeviceMemories& seen) { take_memories(seen, moves, /*by_engine=*/true); });
  }
}

void ModelHost::take_memories(const DeviceMemories& seen, std::uint64_t moves, bool by_engine) {
  if (moves != device_moves_) return;
  // A child has a part of the device as well: what an engine takes cannot be told from what the child says.
  const std::uint64_t sampled_at = by_engine ? moves : UINT64_MAX;
  for (const PoolView& pool : manager_.pools()) {
    const auto found = seen.find(pool.id);
    if (found != seen.end()) device_limits_.sample(pool.id, found->second, pool.reserved, sampled_at, Clock::now());
  }
  tell_available();
}

void ModelHost::tell_available() {
  Footprint available = Footprint::unbounded();
  const std::vector<PoolView> pools = manager_.pools();
  for (std::size_t pool = 1; pool < pools.size(); ++pool) {
    if (const auto known = device_limits_.available(pools[pool].id)) available.set(pool, *known);
  }
  if (available == available_) return;
  available_ = available;
  post_step(DevicesChanged{available});
}

void ModelHost::look_at_devices_for(const ModelId& model, std::function<void()> then) {
  const ModelSpec* const spec = catalog_.find(model);
  const bool elsewhere = spec == nullptr || !spec->command.argv.empty() || spec->device == kHostPool;
  const TimePoint now = Clock::now();
  const std::vector<DeviceRoom> devices = room().devices;
  const bool is_known = std::all_of(devices.begin(), devices.end(), [&](const DeviceRoom& device) {
    return has_engine_on(device.name) || device_limits_.is_recent(device.name, now);
  });
  if (elsewhere || is_known || now < no_child_before_) return then();
  waiting_for_devices_.push_back(std::move(then));
  if (waiting_for_devices_.size() > 1) return;
  driver_.look_at_devices([this, alive = alive_, moves = device_moves_](const DeviceMemories& seen) {
    if (!*alive) return;
    if (seen.empty()) no_child_before_ = Clock::now() + kNoChildFor;
    take_memories(seen, moves, /*by_engine=*/false);
    // Later, so that the core knows by then.
    loop_.post([this, alive] {
      if (!*alive) return;
      for (const auto& go_on : std::exchange(waiting_for_devices_, {})) go_on();
    });
  });
}

// ---- what drivers take for an engine ----

void ModelHost::learn_shares(EngineId id, const Measurement& own) {
  const Running& running = engines_.at(id);
  EngineAgent* const agent = running.engine->agent();
  const bool is_known = std::any_of(running.devices.begin(), running.devices.end(),
                                    [](const auto& device) { return device.second.has_value(); });
  if (agent == nullptr || !is_known || running.device_moves != device_moves_) return;
  agent->look_at_devices([this, id, own](const DeviceMemories& seen) {
    const Running& loaded = engines_.at(id);
    if (loaded.device_moves != device_moves_) return;
    for (const auto& [device, free_before] : loaded.devices) {
      const auto now = seen.find(device);
      const auto takes = own.devices.find(device);
      if (!free_before || now == seen.end() || takes == own.devices.end()) continue;
      device_limits_.learn_share(device, *free_before, now->second.free, takes->second);
      log::debug({{"model", loaded.model}}, "the driver of {} takes {} there for each engine", device,
                 format_bytes(device_limits_.share(device)));
    }
    step(FootprintMeasured{id, by_pool(own.host, own.devices)});
  });
}

}  // namespace minerva
