// World: what is around the core in the simulator: clients, operators, files, engines, and chance. It plays one
// schedule.
//
// Threading: one World per schedule.
#pragma once

#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>

#include "sim/simulator.h"

namespace minerva::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

// The most that things take.
constexpr Duration kInspectMax = milliseconds(200);
constexpr Duration kLoadMax = seconds(3);
constexpr Duration kStopMax = seconds(1);
constexpr Duration kParkMax = seconds(1);
constexpr Duration kWakeMax = milliseconds(500);
constexpr Duration kLeaseMax = seconds(2);

// The properties of a schedule. A calm schedule has no faults and no operator, so that waits have a bound.
struct Profile {
  bool calm = false;
  bool urgent = false;  // calm, with steady traffic of high priority for all models but one
  bool flood = false;   // calm, with few slots, and a caller who sends hundreds of requests for one model
  int models = 4;
  int arrivals = 60;
  Duration span = seconds(20);
  double fault = 0.1;      // that an inspection or an engine misbehaves
  double operators = 0.2;  // that an arrival is an operator's call
  double leave = 0.1;      // that a client goes away
  double poison = 0;       // that a request kills its engine
  double restarts = 0;     // that an operator's call is the end of the process
  double parks = 0;        // that an engine can be parked
  double schedules = 0;    // that a model is preloaded and unloaded at set times
  double replaced = 0;     // that a file is replaced while something is done with it
  double lies = 0;         // that an engine takes more of devices than its inspection said
  bool others = false;     // other programs take memory of devices, and give it back
  bool told = true;        // of that; otherwise only a device that has no room says so
  ContextOptions options;
  std::string policy;
};

class World {
 public:
  World(std::uint64_t seed, bool keep_log)
      : random_(seed),
        profile_(make_profile()),
        options_(profile_.options),
        manager_(profile_.options, make_policy(profile_.policy).value()),
        referee_(manager_, profile_.options),
        keep_log_(keep_log) {}

  ScheduleResult play();

 private:
  // ---- chance ----
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  bool chance(double p) { return static_cast<double>(random_() >> 11) * 0x1.0p-53 < p; }
  Duration between(Duration low, Duration high) {
    const auto span = static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(high - low).count());
    return low + milliseconds(static_cast<std::int64_t>(pick(span + 1)));
  }
  Profile make_profile();
  ModelId model_name(std::uint64_t i) const { return ModelId(1, static_cast<char>('a' + i)); }
  ModelId any_model();
  bool faulty() { return !settling_ && !profile_.calm && chance(profile_.fault); }

  // ---- the course of things ----
  // Plans something within this process: after a restart it does not happen.
  void at(Duration delay, std::function<void()> what) {
    outside(delay, [this, life = life_, what = std::move(what)] {
      if (life == life_) what();
    });
  }
  // Plans something that happens in whichever process there is then.
  void outside(Duration delay, std::function<void()> what) { agenda_.emplace(now_ + delay, std::move(what)); }
  void deliver(const Event& event);
  bool run_until(TimePoint end);
  void plan_arrivals();
  void settle();

  // ---- callers ----
  RequestId new_request() { return RequestId{next_request_++}; }
  TimePoint some_deadline();
  Caller some_caller();
  void client_arrives(const ModelId& model) { client_arrives(model, some_caller()); }
  void client_arrives(const ModelId& model, Caller caller);
  void operator_calls();
  void operator_changes_limits();
  void follow_schedule(const ModelId& model, Duration period);
  void configuration_changes();
  void change_limits(Bytes budget, std::size_t max_models);
  void restart();
  // An event that nobody expects: it must change nothing, or do no harm.
  void stray_event();
  ParkingLimits some_parking_limits();
  ModelAdded some_entry(const ModelId& model);
  // The catalog has this entry from now on.
  void add(ModelAdded entry);
  void remove(const ModelId& model);
  // Perhaps replaces the model's file before `within` has passed. `doing`: what is done with the file meanwhile.
  void perhaps_replace_file(const ModelId& model, Duration within, const char* doing);
  // The catalog looks at the file. `by`: who made it look.
  void look_at_file(const ModelId& model, const char* by);
  bool runs_another_file(const ModelId& model) const;
  void steady_traffic(const ModelId& model, TimePoint end);
  void plan_flood();
  unsigned some_slots(const ModelId& model);
  void release(RequestId request, LeaseEnd end);
  // The request's answer is complete, if its engine still works.
  void answered(RequestId request, LeaseEnd end);
  // The request notices that its engine is dead.
  void notices_death(RequestId request, EngineId engine);

  // ---- what the caller does with actions ----
  void carry_out(const Inspect& action);
  void carry_out(const Spawn& action);
  void carry_out(const Stop& action);
  void carry_out(const Park& action);
  void carry_out(const Wake& action);
  void carry_out(const DropPages&) {}
  void carry_out(const ReadAhead&) {}
  void carry_out(const Kill& action);
  void parked(EngineId engine);
  void carry_out(const Grant& action);
  void carry_out(const Done&) {}
  void carry_out(const Reject&) {}
  void carry_out(const Abort& action);
  void engine_dies(EngineId engine, ErrorCode code, const char* why);
  void engine_hangs(EngineId engine);
  void watchdog_notices(EngineId engine);
  Footprint footprint_of(const ModelId& model);
  // ---- devices as they are ----
  Footprint free_on_devices() const;
  // The engine takes what it really needs of devices. False: one of them has no room.
  bool allocate(EngineId engine);
  void others_change();
  void tell_of_devices();
  // Something of the host's memory, and perhaps of devices; at most so many times 100 MiB of each.
  Footprint some_footprint(std::uint64_t most);

  std::mt19937_64 random_;
  Profile profile_;
  ContextOptions options_;  // as read last
  ContextManager manager_;
  Referee referee_;
  bool keep_log_;
  std::string log_;

  TimePoint now_ = TimePoint(seconds(1));
  std::multimap<TimePoint, std::function<void()>> agenda_;  // equal times: in the order they were planned
  std::uint64_t steps_ = 0;
  std::uint64_t next_request_ = 1;
  bool settling_ = false;  // there are no more faults and arrivals
  bool draining_ = false;
  std::uint64_t life_ = 0;
  History kept_;  // the core's, as it was when it was saved last
  std::map<ModelId, Footprint> footprints_;
  // Of devices: what there is, and who has it, whatever the core believes.
  Footprint capacity_;
  Footprint others_;
  std::map<EngineId, Footprint> taken_;
  std::map<EngineId, std::uint64_t> needs_percent_;  // of what was inspected, by engines that need more
  std::set<EngineId> hanging_;
  std::set<RequestId> poison_;
  Duration longest_wait_{};  // in a calm schedule

  // The versions of a model's file, as numbers.
  std::map<ModelId, int> file_;   // on disk
  std::map<ModelId, int> known_;  // that the catalog knows
  std::map<EngineId, int> spec_;  // that was known when the engine was started
  std::map<EngineId, int> read_;  // that the engine read when it began to load
  std::set<EngineId> torn_;  // engines whose file was replaced while they read it: they may have a part of each version
  std::map<RequestId, int> asked_;  // that was on disk when the request came
  std::map<ModelId, EngineId> latest_engine_;
  std::map<ModelId, ModelAdded> catalog_;
  Coverage coverage_;
};

}  // namespace minerva::sim
