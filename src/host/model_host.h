// ModelHost: carries out what ContextManager decides. Joins the catalog, the engines and the clock to the pure core.
//
// Threading: the loop's thread. Callbacks come on it, possibly before the call that takes them returns: they should
// only note the result and wake who waits.
// Ownership: owns the engines. The Loop, Catalog and EngineDriver outlive it. Destroying it kills every engine.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catalog/catalog.h"
#include "engine/engine.h"
#include "host/access_trace.h"
#include "host/read_ahead.h"
#include "io/loop.h"
#include "minerva/base/check.h"
#include "minerva/context/context_manager.h"

namespace minerva {

class ModelHost;

// The right to use a model's engine. While it lives the model is not evicted. Move-only.
class Lease {
 public:
  Lease() = default;
  Lease(Lease&& other) noexcept { *this = std::move(other); }
  Lease& operator=(Lease&& other) noexcept;
  ~Lease() { release(LeaseEnd::kCancelled); }

  explicit operator bool() const { return host_ != nullptr; }
  const ModelId& model() const { return grant_.model; }
  EngineId engine() const { return grant_.engine; }
  const io::Address& address() const { return address_; }
  CacheOutcome outcome() const { return grant_.outcome; }
  Duration waited() const { return grant_.waited; }
  // Called once if the lease must end now; the Lease is still to be released.
  void on_abort(std::function<void(Error)> fn);
  void release(LeaseEnd end);

  // While one of these lives, somebody waits for the engine and not for its own client: it has to make progress.
  // Requires: the lease lives longer.
  class EngineWait {
   public:
    explicit EngineWait(Lease& lease);
    EngineWait(const EngineWait&) = delete;
    EngineWait& operator=(const EngineWait&) = delete;
    ~EngineWait();

   private:
    ModelHost& host_;
    EngineId engine_;
  };

 private:
  friend class ModelHost;
  ModelHost* host_ = nullptr;
  Grant grant_{};
  UserId user_{};
  bool looking_ = false;
  TimePoint granted_{};
  io::Address address_;
};

class ModelHost {
 public:
  struct Options {
    Duration stop_grace = std::chrono::seconds(2);
    // An engine that should work and has done nothing for so long is killed. 0: never.
    Duration stall_timeout = std::chrono::seconds(30);
    // What is to stay free of the machine's memory, as MemoryLevel::to_stay_free() takes it.
    std::optional<Bytes> min_free_memory{};
  };
  ModelHost(io::Loop& loop, Catalog& catalog, EngineDriver& driver, ContextManager manager, Options options);
  ~ModelHost();

  using LeaseCallback = std::function<void(Result<Lease>)>;
  using DoneCallback = std::function<void(Result<Done>)>;

  // Each is answered once, unless cancelled first. The id serves cancel().
  // `looking`, `slots`: see LeaseRequested. A look is no access either.
  RequestId acquire(const ModelId& model, TimePoint deadline, LeaseCallback answer, Caller caller = {},
                    bool looking = false, unsigned slots = 1);
  RequestId load(const ModelId& model, bool preload, bool force, TimePoint deadline, DoneCallback answer);
  RequestId park(const ModelId& model, bool force, TimePoint deadline, DoneCallback answer);
  RequestId unload(const ModelId& model, bool force, TimePoint deadline, DoneCallback answer);
  RequestId pin(const ModelId& model, bool pinned, DoneCallback answer);
  void cancel(RequestId request);
  // The engine of `lease` died before anything of its request was answered: the request asks for another, once.
  // Requires: !engine_alive(lease.engine()).
  RequestId retry(Lease lease, TimePoint deadline, LeaseCallback answer);

  // The catalog changed. An engine that was started with other settings, or from files that were replaced since, is
  // replaced once its leases have ended.
  void apply(const Catalog::Changes& changes);
  // Memory outside of the budget is short, or no more: see PressureChanged.
  void set_pressure(const PressureChanged& pressure) { step(pressure); }
  // What an earlier process left: see HistoryRestored.
  void restore(const History& history, bool bring_back) { step(HistoryRestored{history, bring_back}); }
  // See ClearRequested. Returns the models that are stopped, so that their images go.
  std::vector<ModelId> clear(const ClearRequested& what);
  // What inspecting and measuring said is forgotten: models are inspected anew at their next load.
  void forget_metadata();
  // The limits changed: those of `context` that the core takes while it runs, and `options`.
  void set_limits(const ContextOptions& context, Options options);
  // No new work; `done` is called when every engine is gone. Running leases may finish until `deadline`.
  void drain(TimePoint deadline, std::function<void()> done);

  // What a load now would find: as Catalog::inspect, with the whole memory budget as the room.
  void inspect(const ModelId& model, std::function<void(Result<FittedModel>)> done);
  // What is known of a model as it is run, or would be: with what gave way. nullptr: nothing. Valid until the next
  // inspection.
  const ModelMetadata* metadata(const ModelId& model) const;
  // A catalog's spec with what gave way, as an engine is started with it, or would be.
  ModelSpec as_run(const ModelSpec& spec) const;

  const ContextManager& context() const { return manager_; }
  // No request waits, and no engine is on its way into memory or out of it.
  bool nobody_waits() const;
  // Of files of models that are only likely to be loaded.
  Bytes read_ahead_on_guess() const { return read_ahead_.read_idly(); }
  // Of page cache, by parked models.
  Bytes pages_dropped() const { return pages_dropped_; }
  // Of a load under way, 0 to 1; 0 when there is none.
  double load_progress(const ModelId& model) const;
  bool engine_alive(EngineId engine) const { return engines_.contains(engine); }
  // Those that have an engine, be it on its way.
  std::vector<ModelId> models_with_engines() const;
  // What engines hold now, of memory that is no page cache. Of a program of the operator's, which may have processes of
  // its own, what is reserved for it.
  Bytes private_memory() const;
  // Why the engine is gone; nothing if it lives, or died before another one of its model.
  std::optional<Error> cause_of_death(EngineId engine) const;
  // Its engines' log; made on first use.
  std::shared_ptr<EngineLog> log(const ModelId& model);
  // Each of these has one subscriber; an empty function ends that.
  // Requires: nobody else subscribes, who would not be called any more.
  // Called after each step of the core, before its actions are carried out.
  void on_step(std::function<void(const Event&, const std::vector<Action>&)> fn) { subscribe(stepped_, std::move(fn)); }
  // Called when a load got further: by then, 0 to 1.
  void on_progress(std::function<void(const ModelId&, double)> fn) { subscribe(progressed_, std::move(fn)); }
  // Called when an engine's process is gone, e.g. to drop connections to it.
  void on_engine_gone(std::function<void(EngineId)> fn) { subscribe(engine_gone_, std::move(fn)); }
  // Called when anything may have changed.
  void on_change(std::function<void()> fn) { subscribe(changed_, std::move(fn)); }
  // Called when a lease was released.
  void on_access(std::function<void(const Access&)> fn) { subscribe(accessed_, std::move(fn)); }

 private:
  friend class Lease;
  struct Running {
    ModelId model;
    ModelSpec spec;   // the catalog's that it was started with
    std::string key;  // of what is known of it, see Catalog::key
    // Where outputs are pooled, their buffer grows with the largest input so far: what was predicted is what may come.
    Bytes at_least;
    std::unique_ptr<Engine> engine;
    double progress = 0;
    TimePoint started;
    bool ready = false;
    bool moving = false;  // parks or wakes: it is to answer by itself
    unsigned leases = 0;
    std::uint64_t served = 0;         // leases that were completed
    std::uint64_t measured_when = 0;  // it is measured (again) once it has served so many
    bool measuring = false;
    unsigned waits = 0;         // EngineWaits that live
    std::uint64_t answers = 0;  // EngineWaits that ended
    std::uint64_t seen = 0;     // activity and answers, as the watchdog saw them last
    Duration silent_for{};
    std::optional<TimePoint> told_to_stop{};
    unsigned told_sharers = 1;  // see Engine::share_cores
  };

  template <typename Fn>
  static void subscribe(Fn& subscriber, Fn fn) {
    check(!subscriber || !fn, "a second subscriber would take the place of the first one");
    subscriber = std::move(fn);
  }
  RequestId next_request();
  void step(const Event& event);
  void arm_timer();
  void log_decisions();
  void carry_out(Action& action);
  void carry_out(Inspect& action);
  void carry_out(Spawn& action);
  void carry_out(Stop& action);
  void carry_out(Park& action);
  void carry_out(Wake& action);
  void carry_out(DropPages& action);
  void carry_out(ReadAhead& action);
  bool nothing_goes_on() const;
  void carry_out(Kill& action);
  void carry_out(Grant& action);
  void carry_out(Done& action);
  void carry_out(Reject& action);
  void carry_out(Abort& action);
  void engine_ready(EngineId id);
  void engine_exited(EngineId id, Error reason);
  // The log and the last death of a model that is in no catalog and has no engine.
  void forget_gone(const ModelId& model);
  // nullptr if the engine is gone, or has none.
  EngineAgent* agent(EngineId id);
  // Asks what it really holds if it serves nobody and that may have changed: after its load, and when it has served 1,
  // 2, 4, ... requests, since some of what it holds is made by the first ones. It costs the engine a walk over its page
  // tables, so it is neither asked while it works nor often.
  void measure(EngineId id);
  void measured(EngineId id, bool has_served, std::optional<Bytes> footprint);
  // Its engine; nullptr if it has none.
  const Running* running(const ModelId& model) const;
  // Whether what is known or running of `spec`'s model was made with other settings or from other files.
  bool outdated(const ModelSpec& spec) const;
  // Whether it has an engine that was started from other files.
  bool files_replaced(const ModelSpec& spec) const;
  // Notices if its files were replaced, and then calls `then`.
  void look_again(const ModelId& model, std::function<void()> then);
  // Looks after engines that should work; runs as long as there are engines.
  void arm_watchdog();
  void watch_engines();
  void add_lease(EngineId id);
  void remove_lease(EngineId id, LeaseEnd end);
  // The engines with leases share the cores. More of them count at once, fewer of them once that has lasted, so that
  // short requests of one do not have another change its pace each time.
  void count_sharers();
  void tell_sharers();
  // Later, on the loop: an event that must not come from inside the action that caused it.
  void post_step(Event event);

  io::Loop& loop_;
  Catalog& catalog_;
  EngineDriver& driver_;
  ContextManager manager_;
  Options options_;
  io::Timer timer_;
  std::optional<TimePoint> timer_at_;  // while it is armed
  io::Timer watchdog_;
  bool watchdog_armed_ = false;
  TimePoint watched_last_{};
  io::Timer fewer_sharers_;
  bool fewer_sharers_armed_ = false;
  unsigned sharers_ = 1;
  FileReadAhead read_ahead_;
  Bytes pages_dropped_;
  std::uint64_t last_request_ = 0;
  std::uint64_t last_decision_ = 0;  // that was logged
  bool stepping_ = false;
  std::vector<Event> pending_events_;
  std::map<EngineId, Running> engines_;
  std::map<ModelId, std::pair<EngineId, Error>> last_deaths_;
  std::map<ModelId, std::shared_ptr<EngineLog>> logs_;
  std::map<ModelId, Reduction> reductions_;  // what gave way when the model was inspected for its last load
  struct LeaseWaiter {
    LeaseCallback answer;
    UserId user;
    bool looking = false;
  };
  std::map<RequestId, LeaseWaiter> lease_answers_;
  std::map<RequestId, DoneCallback> done_answers_;
  std::map<RequestId, std::function<void(Error)>> aborts_;  // of granted leases
  std::function<void(const Event&, const std::vector<Action>&)> stepped_;
  std::function<void(const ModelId&, double)> progressed_;
  std::function<void(EngineId)> engine_gone_;
  std::function<void()> changed_;
  std::function<void(const Access&)> accessed_;
  std::function<void()> drained_;
  // Tells callbacks that come after the host is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace minerva
