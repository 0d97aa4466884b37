// ModelHost: carries out what ContextManager decides. It joins the catalog, the engines and the clock to the pure core.
//
// Threading: the loop's thread. Callbacks come on it too, possibly before the call that takes them returns. So a
// callback should only note its result and wake whoever waits for it.
// Ownership: owns the engines. The Loop, Catalog and EngineDriver outlive it. Its destructor kills every engine.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catalog/catalog.h"
#include "conversations/store.h"
#include "engine/engine.h"
#include "host/access_trace.h"
#include "host/conversation_saver.h"
#include "host/read_ahead.h"
#include "io/loop.h"
#include "minerva/base/check.h"
#include "minerva/context/context_manager.h"

namespace minerva {

class ModelHost;

// The right to use a model's engine. While a lease lives, its model is not evicted. Move-only.
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
  // `fn` is called once if the lease has to end now; the owner still has to release the lease.
  void on_abort(std::function<void(Error)> fn);
  void release(LeaseEnd end);

  // An EngineWait says that somebody waits for the engine, and not the engine for its own client. While one lives, the
  // engine has to make progress. Requires: the lease lives longer.
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
    // An engine that should work and has done nothing for this long is killed. 0: never.
    Duration stall_timeout = std::chrono::seconds(30);
    // How much of the machine's memory is to stay free, as MemoryLevel::to_stay_free() takes it.
    std::optional<Bytes> min_free_memory{};
  };
  ModelHost(io::Loop& loop, Catalog& catalog, EngineDriver& driver, ContextManager manager, Options options);
  ~ModelHost();
  // From now on conversations are kept in `store`, which outlives the host. Requires: no engine runs.
  void keep_conversations(conversations::Store& store);

  using LeaseCallback = std::function<void(Result<Lease>)>;
  using DoneCallback = std::function<void(Result<Done>)>;

  // Each of these calls gives one answer, unless the request is cancelled first. The id they return serves cancel().
  // `looking`, `slots`: see LeaseRequested. A look does not count as an access either.
  RequestId acquire(const ModelId& model, TimePoint deadline, LeaseCallback answer, Caller caller = {},
                    bool looking = false, unsigned slots = 1);
  RequestId load(const ModelId& model, bool preload, bool force, TimePoint deadline, DoneCallback answer);
  RequestId park(const ModelId& model, bool force, TimePoint deadline, DoneCallback answer);
  RequestId unload(const ModelId& model, bool force, TimePoint deadline, DoneCallback answer);
  // The same for one that is idle: nobody is made to wait for it, as the deadline is now.
  void unload_idle(const ModelId& model, Asker asker, DoneCallback answer);
  void park_idle(const ModelId& model, Asker asker, DoneCallback answer);
  RequestId pin(const ModelId& model, bool pinned, DoneCallback answer);
  void cancel(RequestId request);
  // For a lease whose engine died before the request got any part of an answer: asks for another engine, once.
  // Requires: !engine_alive(lease.engine()).
  RequestId retry(Lease lease, TimePoint deadline, LeaseCallback answer);

  // The catalog changed. An engine is replaced, once its leases have ended, if it was started with other settings or
  // from files that were replaced since.
  void apply(const Catalog::Changes& changes);
  // Memory outside of the budget became short, or is short no more: see PressureChanged.
  void set_pressure(const PressureChanged& pressure) { step(pressure); }
  // Restores what an earlier process left: see HistoryRestored.
  void restore(const History& history, bool bring_back) { step(HistoryRestored{history, bring_back}); }
  // See ClearRequested. Returns the models that are stopped, so that the caller can remove their images.
  std::vector<ModelId> clear(const ClearRequested& what);
  // Files of conversations are removed: an empty model or tenant stands for all. Engines must not write them again.
  void forget_conversations(const ModelId& model, const std::string& tenant) {
    if (saver_) saver_->forget(model, tenant);
  }
  // Forgets what inspections and measurements said: each model is inspected again at its next load.
  void forget_metadata();
  // The limits changed: `options`, and those of `context` that the core can take while it runs.
  void set_limits(const ContextOptions& context, Options options);
  // Takes no new work from now on. Leases may go on until `deadline`; `done` is called when every engine is gone.
  void drain(TimePoint deadline, std::function<void()> done);

  // Answers what a load would find now: as Catalog::inspect, with the whole memory budget as the room.
  void inspect(const ModelId& model, std::function<void(Result<FittedModel>)> done);
  // What is known of the model in the shape in which it runs or would run, with what gave way. nullptr: nothing is
  // known. Valid until the next inspection.
  const ModelMetadata* metadata(const ModelId& model) const;
  // What a model with these metadata takes of each pool.
  Footprint footprint(const ModelMetadata& metadata) const {
    return by_pool(metadata.footprint(), metadata.on_devices());
  }
  // The catalog's spec with what gave way, as an engine is or would be started with it.
  ModelSpec as_run(const ModelSpec& spec) const;
  // What gave way of the catalog's spec, or would give way.
  Reduction reduction(const ModelSpec& spec) const;

  const ContextManager& context() const { return manager_; }
  // Whether no request waits, and no engine is on its way into memory or out of it.
  bool nobody_waits() const;
  // How many bytes were read of files that are only likely to be wanted.
  Bytes read_ahead_on_guess() const { return read_ahead_.read_idly(); }
  // How many bytes of page cache parked models have dropped.
  Bytes pages_dropped() const { return pages_dropped_; }
  // The progress of a load, 0 to 1; 0 when none is going on.
  double load_progress(const ModelId& model) const;
  bool engine_alive(EngineId engine) const { return engines_.contains(engine); }
  // The models that have an engine, or will have one as soon as it has started.
  std::vector<ModelId> models_with_engines() const;
  // How much memory engines hold now that is no page cache. A program of the operator's may have processes of its own,
  // so its reservation counts instead.
  Bytes private_memory() const;
  // Why the engine is gone. Nothing if it lives, or if another engine of its model died after it.
  std::optional<Error> cause_of_death(EngineId engine) const;
  // The log of the model's engines; made on first use.
  std::shared_ptr<EngineLog> log(const ModelId& model);
  // Each of these events has one subscriber. An empty function removes it.
  // Requires: nobody else subscribes; a second subscriber would replace the first.
  // Called after each step of the core, before its actions are carried out.
  void on_step(std::function<void(const Event&, const std::vector<Action>&)> fn) { subscribe(stepped_, std::move(fn)); }
  // Called when a load has made progress, with the fraction that is loaded, 0 to 1.
  void on_progress(std::function<void(const ModelId&, double)> fn) { subscribe(progressed_, std::move(fn)); }
  // Called when an engine's process is gone, e.g. to drop connections to it.
  void on_engine_gone(std::function<void(EngineId)> fn) { subscribe(engine_gone_, std::move(fn)); }
  // Called when anything may have changed.
  void on_change(std::function<void()> fn) { subscribe(changed_, std::move(fn)); }
  // Called when a lease was released.
  void on_access(std::function<void(const Access&)> fn) { subscribe(accessed_, std::move(fn)); }

 private:
  friend class Lease;
  // Where a model's conversations are, if it is started with that Catalog::key.
  struct ConversationFolder {
    std::string key;
    std::string folder;
  };
  struct Running {
    ModelId model;
    ModelSpec spec;   // from the catalog, at its start
    std::string key;  // under which the catalog keeps its measurements, see Catalog::key
    // The least footprint that is believed. An engine that pools outputs has a buffer that grows with the largest input
    // so far, so the footprint that was predicted may still come.
    Bytes at_least;
    std::unique_ptr<Engine> engine;
    double progress = 0;
    TimePoint started;
    bool ready = false;
    bool moving = false;  // it parks or wakes: it has to answer by itself
    unsigned leases = 0;
    std::uint64_t served = 0;         // how many leases were completed
    std::uint64_t measured_when = 0;  // it is measured (again) once `served` reaches this
    bool measuring = false;
    unsigned waits = 0;         // how many EngineWaits live
    std::uint64_t answers = 0;  // how many EngineWaits ended
    std::uint64_t seen = 0;     // activity and answers when the watchdog last looked
    Duration silent_for{};
    std::optional<TimePoint> told_to_stop{};
    unsigned told_sharers = 1;       // see Engine::share_cores
    std::string conversations = {};  // the folder of its conversations; empty: none are kept
    std::optional<Error> wake_refused = {};
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
  // Finds where the conversations of the model will be, and then calls `then`.
  void find_conversations(const ModelId& model, const FittedModel& fitted, std::function<void()> then);
  // From now on, or no more, the engine's conversations are saved.
  void start_saving(EngineId id);
  void stop_saving(const ModelId& model);
  void take_inspection(const Inspect& action, const Result<FittedModel>& fitted);
  // Has the engine save its conversations, and then calls `then`, unless the engine is gone by then.
  void save_before(EngineId id, ConversationSaver::Leave leave, std::function<void()> then);
  void park(EngineId id, const ModelId& model, Bytes max_image);
  // A device has no room for the parked engine.
  void wake_refused(EngineId id, const Error& reason);
  bool nothing_goes_on() const;
  void carry_out(Kill& action);
  void carry_out(Grant& action);
  void carry_out(Done& action);
  void carry_out(Reject& action);
  void carry_out(Abort& action);
  void engine_ready(EngineId id);
  void engine_exited(EngineId id, Error reason);
  // Removes the log and the last death of a model that is in no catalog and has no engine.
  void forget_gone(const ModelId& model);
  // nullptr if the engine is gone, or has no agent.
  EngineAgent* agent(EngineId id);
  // Asks the engine how much memory it really holds, if it serves nobody and the answer may have changed: after its
  // load, and when it has served 1, 2, 4, ... requests, since the first requests make some of what it holds. The answer
  // costs the engine a walk over its page tables, so it is asked rarely, and never while it works.
  void measure(EngineId id);
  void measured(EngineId id, bool has_served, std::optional<Measurement> measured);
  // What there is for all models: of the host's memory, and of devices'.
  ModelRoom room() const;
  // The pools of these bytes. A device without a pool is none of ours, and does not count.
  Footprint by_pool(Bytes host, const DeviceBytes& devices) const;
  // The model's engine; nullptr if it has none.
  const Running* running(const ModelId& model) const;
  // Whether the model's engine, or what is known of the model, comes from other settings or other files than `spec`'s.
  bool outdated(const ModelSpec& spec) const;
  // Whether the model has an engine that was started from other files.
  bool files_replaced(const ModelSpec& spec) const;
  // Checks whether the model's files were replaced, and then calls `then`.
  void look_again(const ModelId& model, std::function<void()> then);
  // The watchdog looks after engines that should work. It runs as long as there are engines.
  void arm_watchdog();
  void watch_engines();
  void add_lease(EngineId id);
  void remove_lease(EngineId id, LeaseEnd end);
  // The engines with leases share the cores. An engine learns at once that it has to share with more of them, and only
  // after a while that it may share with fewer, so that short requests of one engine do not change the pace of another
  // each time.
  void count_sharers();
  void tell_sharers();
  // Handles the event later, on the loop: it must not come from inside the action that caused it.
  void post_step(Event event);

  io::Loop& loop_;
  Catalog& catalog_;
  EngineDriver& driver_;
  ContextManager manager_;
  Options options_;
  io::Timer timer_;
  std::optional<TimePoint> timer_at_;  // set while the timer is armed
  io::Timer watchdog_;
  bool watchdog_armed_ = false;
  TimePoint watched_last_{};
  io::Timer fewer_sharers_;
  bool fewer_sharers_armed_ = false;
  unsigned sharers_ = 1;
  FileReadAhead read_ahead_;
  conversations::Store* store_ = nullptr;   // nullptr: conversations are not kept
  std::optional<ConversationSaver> saver_;  // set if `store_` is
  std::map<ModelId, ConversationFolder> conversation_folders_;
  Bytes pages_dropped_;
  std::uint64_t last_request_ = 0;
  std::uint64_t last_decision_ = 0;  // the last one that was logged
  bool stepping_ = false;
  std::vector<Event> pending_events_;
  std::map<EngineId, Running> engines_;
  std::map<ModelId, std::pair<EngineId, Error>> last_deaths_;
  std::map<ModelId, std::shared_ptr<EngineLog>> logs_;
  // What gave way when the model was inspected for its last load, and where it was placed.
  struct Shape {
    Reduction reduction;
    Placement placement;
  };
  std::map<ModelId, Shape> shapes_;
  struct LeaseWaiter {
    LeaseCallback answer;
    UserId user;
    bool looking = false;
  };
  std::map<RequestId, LeaseWaiter> lease_answers_;
  std::map<RequestId, DoneCallback> done_answers_;
  std::map<RequestId, std::function<void(Error)>> aborts_;  // for each granted lease
  std::function<void(const Event&, const std::vector<Action>&)> stepped_;
  std::function<void(const ModelId&, double)> progressed_;
  std::function<void(EngineId)> engine_gone_;
  std::function<void()> changed_;
  std::function<void(const Access&)> accessed_;
  std::function<void()> drained_;
  // A callback that comes after the host is gone sees from it that there is nobody to tell.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace minerva
