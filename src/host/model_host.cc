// Long because it carries out each of the core's actions, and all of these share the table of engines.
#include "host/model_host.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <variant>

#include "base/concession.h"
#include "base/log.h"
#include "catalog/fit.h"
#include "engine/process_state.h"
#include "io/machine_memory.h"
#include "minerva/base/check.h"

namespace minerva {
namespace {

constexpr auto kFewerSharersAfter = std::chrono::milliseconds(100);
constexpr Duration kLongestWatchPeriod = std::chrono::seconds(1);

std::function<Bytes()> spare_beyond(std::optional<Bytes> min_free) {
  return [min_free] { return io::read_machine_memory().spare(min_free); };
}

double ms_since(TimePoint begun) { return std::chrono::duration<double, std::milli>(Clock::now() - begun).count(); }

ModelAdded model_added(const ModelSpec& spec, bool outdated) {
  // A program of the operator's decides by itself how many requests it answers at once.
  const unsigned slots = spec.command.argv.empty() ? slots_of(spec) : 0;
  return {spec.id, spec.pinned, spec.preload, outdated, spec.ttl, spec.unload_ttl, slots, spec.keeps_pages};
}

// Short enough that a stall is noticed soon after it has lasted long enough.
Duration watch_period(Duration stall_timeout) {
  constexpr int kLooksPerTimeout = 4;
  return std::min(stall_timeout / kLooksPerTimeout, kLongestWatchPeriod);
}

}  // namespace

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  release(LeaseEnd::kCancelled);
  host_ = std::exchange(other.host_, nullptr);
  grant_ = std::move(other.grant_);
  user_ = other.user_;
  looking_ = other.looking_;
  granted_ = other.granted_;
  address_ = std::move(other.address_);
  return *this;
}

void Lease::on_abort(std::function<void(Error)> fn) { host_->aborts_[grant_.request] = std::move(fn); }

void Lease::release(LeaseEnd end) {
  ModelHost* const host = std::exchange(host_, nullptr);
  if (host == nullptr) return;
  host->aborts_.erase(grant_.request);
  // A look counts neither as work after which the engine is measured, nor as an access.
  host->remove_lease(grant_.engine, looking_ ? LeaseEnd::kCancelled : end);
  if (host->accessed_ && !looking_)
    host->accessed_({grant_.model, user_, granted_ - grant_.waited, Clock::now() - granted_});
  host->step(LeaseReleased{grant_.request, end});
}

Lease::EngineWait::EngineWait(Lease& lease) : host_(*lease.host_), engine_(lease.engine()) {
  const auto found = host_.engines_.find(engine_);
  if (found != host_.engines_.end()) ++found->second.waits;
}

Lease::EngineWait::~EngineWait() {
  const auto found = host_.engines_.find(engine_);
  if (found == host_.engines_.end()) return;
  --found->second.waits;
  ++found->second.answers;
}

ModelHost::ModelHost(io::Loop& loop, Catalog& catalog, EngineDriver& driver, ContextManager manager, Options options)
    : loop_(loop),
      catalog_(catalog),
      driver_(driver),
      manager_(std::move(manager)),
      options_(options),
      timer_(loop),
      watchdog_(loop),
      fewer_sharers_(loop),
      device_watch_(loop),
      read_ahead_(loop, [this] { return nothing_goes_on(); }, spare_beyond(options.min_free_memory)) {
  catalog_.set_room(manager_.memory_budget());
}

ModelHost::~ModelHost() { *alive_ = false; }

void ModelHost::keep_conversations(conversations::Store& store) {
  check(engines_.empty(), "an engine's folder of conversations is chosen before its start");
  store_ = &store;
  saver_.emplace(loop_, store);
}

RequestId ModelHost::next_request() { return RequestId{++last_request_}; }

RequestId ModelHost::acquire(const ModelId& model, TimePoint deadline, LeaseCallback answer, Caller caller,
                             bool looking, unsigned slots) {
  const RequestId request = next_request();
  lease_answers_[request] = {std::move(answer), caller.user, looking};
  step(LeaseRequested{request, model, deadline, caller, looking, slots});
  return request;
}

RequestId ModelHost::load(const ModelId& model, bool preload, bool force, TimePoint deadline, DoneCallback answer) {
  const RequestId request = next_request();
  done_answers_[request] = std::move(answer);
  step(LoadRequested{request, model, preload, force, deadline});
  return request;
}

RequestId ModelHost::park(const ModelId& model, bool force, TimePoint deadline, DoneCallback answer) {
  const RequestId request = next_request();
  done_answers_[request] = std::move(answer);
  step(ParkRequested{request, model, force, deadline});
  return request;
}

RequestId ModelHost::unload(const ModelId& model, bool force, TimePoint deadline, DoneCallback answer) {
  const RequestId request = next_request();
  done_answers_[request] = std::move(answer);
  step(UnloadRequested{request, model, force, deadline});
  return request;
}

void ModelHost::unload_idle(const ModelId& model, Asker asker, DoneCallback answer) {
  const RequestId request = next_request();
  done_answers_[request] = std::move(answer);
  step(UnloadRequested{request, model, /*force=*/false, Clock::now(), asker});
}

void ModelHost::park_idle(const ModelId& model, Asker asker, DoneCallback answer) {
  const RequestId request = next_request();
  done_answers_[request] = std::move(answer);
  step(ParkRequested{request, model, /*force=*/false, Clock::now(), asker});
}

RequestId ModelHost::pin(const ModelId& model, bool pinned, DoneCallback answer) {
  const RequestId request = next_request();
  done_answers_[request] = std::move(answer);
  step(PinRequested{request, model, pinned});
  return request;
}

void ModelHost::cancel(RequestId request) {
  lease_answers_.erase(request);
  done_answers_.erase(request);
  step(RequestCancelled{request});
}

RequestId ModelHost::retry(Lease lease, TimePoint deadline, LeaseCallback answer) {
  check(!engine_alive(lease.engine()), "a request is tried again although its engine lives");
  // The request goes on under its id, so this lease must not be released.
  lease.host_ = nullptr;
  const RequestId request = lease.grant_.request;
  aborts_.erase(request);
  lease_answers_[request] = {std::move(answer), lease.user_};
  step(LeaseLost{request, deadline});
  return request;
}

std::optional<Error> ModelHost::cause_of_death(EngineId engine) const {
  for (const auto& [model, death] : last_deaths_) {
    if (death.first == engine) return death.second;
  }
  return std::nullopt;
}

void ModelHost::apply(const Catalog::Changes& changes) {
  for (const ModelId& id : changes.removed) {
    shapes_.erase(id);
    step(ModelRemoved{id});
    forget_gone(id);
  }
  for (const ModelSpec& spec : changes.added_or_changed) {
    const bool anew = outdated(spec);
    if (anew) shapes_.erase(spec.id);
    if (files_replaced(spec)) {
      log::info({{"model", spec.id}}, "the file of {} was replaced: its engine makes way for one of the new file",
                spec.id);
      stop_saving(spec.id);
    }
    step(model_added(as_run(spec), anew));
  }
}

void ModelHost::forget_gone(const ModelId& model) {
  if (running(model) != nullptr || catalog_.find(model) != nullptr) return;
  conversation_folders_.erase(model);
  logs_.erase(model);
  last_deaths_.erase(model);
}

std::vector<ModelId> ModelHost::models_with_engines() const {
  std::vector<ModelId> models;
  models.reserve(engines_.size());
  for (const auto& [id, engine] : engines_) models.push_back(engine.model);
  return models;
}

Bytes ModelHost::private_memory() const {
  Bytes total;
  for (const auto& [id, engine] : engines_) {
    if (!engine.spec.command.argv.empty()) {
      if (const auto view = manager_.model(engine.model, Clock::now())) total += view->memory;
    } else if (const auto held = minerva::private_memory(engine.engine->pid())) {
      total += *held;
    }
  }
  return total;
}

const ModelHost::Running* ModelHost::running(const ModelId& model) const {
  const auto found =
      std::find_if(engines_.begin(), engines_.end(), [&](const auto& e) { return e.second.model == model; });
  return found == engines_.end() ? nullptr : &found->second;
}

bool ModelHost::outdated(const ModelSpec& spec) const {
  const Running* const engine = running(spec.id);
  // If there is no engine, at most an inspection is outdated. One more costs nothing, since its answer is kept.
  return engine == nullptr || !same_engine(engine->spec, spec);
}

bool ModelHost::files_replaced(const ModelSpec& spec) const {
  const Running* const engine = running(spec.id);
  return engine != nullptr && engine->spec.identity != spec.identity;
}

void ModelHost::set_limits(const ContextOptions& context, Options options) {
  options_ = options;
  read_ahead_.set_spare(spare_beyond(options.min_free_memory));
  arm_watchdog();
  step(OptionsChanged{context});
  catalog_.set_room(manager_.memory_budget());
}

std::vector<ModelId> ModelHost::clear(const ClearRequested& what) {
  const auto parked = [&] {
    std::set<ModelId> ids;
    for (const ModelView& model : manager_.models(Clock::now())) {
      if (model.residency == Residency::kParked) ids.insert(model.id);
    }
    return ids;
  };
  const std::set<ModelId> before = parked();
  step(what);
  const std::set<ModelId> after = parked();
  std::vector<ModelId> stopped;
  std::set_difference(before.begin(), before.end(), after.begin(), after.end(), std::back_inserter(stopped));
  return stopped;
}

void ModelHost::forget_metadata() {
  catalog_.forget_metadata();
  // A model that was inspected and waits for room is inspected again: its footprint is no longer known.
  Catalog::Changes changes;
  for (const ModelSpec* spec : catalog_.list()) changes.added_or_changed.push_back(*spec);
  apply(changes);
}

void ModelHost::drain(TimePoint deadline, std::function<void()> done) {
  drained_ = std::move(done);
  step(DrainRequested{deadline});
}

double ModelHost::load_progress(const ModelId& model) const {
  const Running* const engine = running(model);
  return engine == nullptr ? 0 : engine->progress;
}

std::shared_ptr<EngineLog> ModelHost::log(const ModelId& model) {
  std::shared_ptr<EngineLog>& log = logs_[model];
  if (!log) log = std::make_shared<EngineLog>();
  return log;
}

// An action may cause the next event at once (a callback that releases its lease). Events are queued, so that all
// actions of one step are carried out before the next step.
void ModelHost::step(const Event& event) {
  pending_events_.push_back(event);
  if (stepping_) return;
  stepping_ = true;
  for (std::size_t i = 0; i < pending_events_.size(); ++i) {
    const Event current = std::move(pending_events_[i]);
    std::vector<Action> actions = manager_.step(Clock::now(), current);
    log_decisions();
    if (stepped_) stepped_(current, actions);
    for (Action& action : actions) carry_out(action);
  }
  pending_events_.clear();
  stepping_ = false;
  arm_timer();
  if (changed_) changed_();
  if (drained_ && manager_.drained()) std::exchange(drained_, nullptr)();
}

void ModelHost::log_decisions() {
  const std::deque<Decision>& decisions = manager_.decisions();
  auto fresh = decisions.end();
  while (fresh != decisions.begin() && std::prev(fresh)->id > last_decision_) --fresh;
  for (; fresh != decisions.end(); ++fresh) {
    last_decision_ = fresh->id;
    const std::string_view kind = decision_kind_name(fresh->kind);
    log::info({{"model", fresh->model},
               {"decision", fmt::to_string(fresh->id)},
               {"kind", std::string(kind)},
               {"because_of", fmt::to_string(fresh->because_of)}},
              "decision {}: {} {}: {}", fresh->id, kind, fresh->model, fresh->reason);
  }
}

// Each lease moves the core's next time to a later one. The timer is not armed again for that: it fires early, and then
// takes the new time.
void ModelHost::arm_timer() {
  const std::optional<TimePoint> when = manager_.next_timer();
  if (!when || (timer_at_ && *timer_at_ <= *when)) return;
  timer_at_ = when;
  timer_.arm(*when, [this] {
    timer_at_.reset();
    step(TimerFired{});
  });
}

void ModelHost::post_step(Event event) {
  loop_.post([this, alive = alive_, event = std::move(event)] {
    if (*alive) step(event);
  });
}

void ModelHost::carry_out(Action& action) {
  std::visit([this](auto& a) { carry_out(a); }, action);
}

void ModelHost::look_again(const ModelId& model, std::function<void()> then) {
  catalog_.look_again(model, [this, alive = alive_, model, then = std::move(then)](bool replaced) {
    if (!*alive) return;
    if (replaced) apply({{*catalog_.find(model)}, {}});
    then();
  });
}

void ModelHost::inspect(const ModelId& model, std::function<void(Result<FittedModel>)> done) {
  look_again(model, [this, model, done = std::move(done)] { catalog_.inspect(model, room(), done); });
}

const ModelMetadata* ModelHost::metadata(const ModelId& model) const {
  const ModelSpec* const spec = catalog_.find(model);
  return spec == nullptr ? nullptr : catalog_.metadata(as_run(*spec));
}

ModelSpec ModelHost::as_run(const ModelSpec& spec) const {
  ModelSpec result = spec;
  result.reduction = reduction(spec);
  if (const auto known = shapes_.find(spec.id); known != shapes_.end()) result.placement = known->second.placement;
  return result;
}

Reduction ModelHost::reduction(const ModelSpec& spec) const {
  const auto known = shapes_.find(spec.id);
  if (known != shapes_.end()) return known->second.reduction;
  return catalog_.known_fit(spec, manager_.memory_budget()).value_or(Reduction{});
}

void ModelHost::carry_out(Inspect& action) {
  const auto take = [this, alive = alive_, action, begun = Clock::now()](const Result<FittedModel>& fitted) {
    if (!*alive) return;
    log::debug({{"model", action.model}}, "{} is inspected after {:.1f} ms", action.model, ms_since(begun));
    if (!fitted) return take_inspection(action, fitted);
    find_conversations(action.model, *fitted, [this, action, fitted] { take_inspection(action, fitted); });
  };
  look_at_devices_for(action.model, [this, model = action.model, take] { inspect(model, take); });
}

void ModelHost::find_conversations(const ModelId& model, const FittedModel& fitted, std::function<void()> then) {
  const ModelSpec* const known = catalog_.find(model);
  const bool keeps = store_ != nullptr && store_->enabled() && known != nullptr && known->command.argv.empty() &&
                     fitted.metadata.can_generate;
  if (!keeps) {
    conversation_folders_.erase(model);
    return then();
  }
  ModelSpec spec = *known;
  spec.reduction = fitted.reduction;
  spec.placement = fitted.placement;
  std::vector<std::string> files = spec.more_files;
  files.push_back(spec.path);
  if (!spec.mmproj.empty()) files.push_back(spec.mmproj);
  // The key has all settings, the engine's build and the files' identities.
  std::string key = catalog_.key(spec);
  store_->prepare(model, std::move(files), key, [this, alive = alive_, model, key, then](std::string folder) {
    if (!*alive) return;
    conversation_folders_[model] = {key, std::move(folder)};
    then();
  });
}

void ModelHost::take_inspection(const Inspect& action, const Result<FittedModel>& fitted) {
  // The log says so too, since nobody may wait for the answer: a preload.
  if (!fitted) {
    log::warn("{} cannot be loaded: {}", action.model, fitted.error().message);
    return step(Inspected{action.model, action.ticket, fail(Error(fitted.error()))});
  }
  const ModelMetadata& metadata = fitted->metadata;
  const Footprint footprint = this->footprint(metadata);
  if (!fitted->fits && footprint.within(manager_.budget())) {  // which has grown meanwhile
    Inspect again = action;
    return carry_out(again);
  }
  shapes_[action.model] = {fitted->reduction, fitted->placement};
  const ModelSpec* const spec = catalog_.find(action.model);
  if (spec == nullptr || fitted->reduction == Reduction{}) {
    return step(Inspected{action.model, action.ticket, footprint, metadata.residue});
  }
  log::warn("{} runs with {}, as {} are all there is (memory_budget)", action.model,
            concessions_text(concessions(*spec, fitted->reduction, metadata.trained_context)),
            format_bytes(manager_.memory_budget()));
  step(Inspected{action.model, action.ticket, footprint, metadata.residue, slots_of(as_run(*spec))});
}

void ModelHost::carry_out(Spawn& action) {
  const EngineId id = action.engine;
  const ModelSpec* const spec = catalog_.find(action.model);
  const ModelMetadata* const metadata = ModelHost::metadata(action.model);
  if (spec == nullptr) {
    post_step(EngineExited{id, Error{ErrorCode::kModelNotFound, "the model's file is gone"}});
    return;
  }
  if (metadata == nullptr) {  // its files were replaced since the inspection: the core has it inspected again
    post_step(model_added(*spec, /*outdated=*/true));
    post_step(EngineExited{id, Error{ErrorCode::kCancelled, "the model's file was replaced"}});
    return;
  }
  const Bytes at_least = metadata->can_embed || metadata->can_rerank ? metadata->predicted : Bytes();
  Engine::Handlers handlers;
  handlers.on_progress = [this, id](double fraction) {
    const auto found = engines_.find(id);
    if (found == engines_.end()) return;
    found->second.progress = fraction;
    if (progressed_) progressed_(found->second.model, fraction);
  };
  handlers.on_ready = [this, id] { engine_ready(id); };
  handlers.on_exit = [this, id](Error reason) { engine_exited(id, std::move(reason)); };
  ModelSpec wanted = as_run(*spec);
  const std::string key = catalog_.key(wanted);
  const auto folder = conversation_folders_.find(action.model);
  if (folder != conversation_folders_.end() && folder->second.key == key) wanted.conversations = folder->second.folder;
  Result<std::unique_ptr<Engine>> engine = driver_.start(wanted, *metadata, log(action.model), std::move(handlers));
  if (!engine) {
    post_step(EngineExited{id, engine.error()});
    return;
  }
  Running running{action.model, *spec, key, at_least, std::move(*engine), 0, Clock::now()};
  running.conversations = wanted.conversations;
  note_devices(running, *metadata);
  engines_.emplace(id, std::move(running));
  arm_watchdog();
  arm_device_watch();
}

void ModelHost::engine_ready(EngineId id) {
  Running& running = engines_.at(id);
  running.ready = true;
  catalog_.note_load_time(running.key, Clock::now() - running.started);
  log::info({{"model", running.model}}, "{} is ready after {:.0f} ms", running.model, ms_since(running.started));
  EngineAgent* const agent = running.engine->agent();
  const std::string why_not = agent == nullptr ? "" : agent->why_not_parkable();
  if (!why_not.empty()) log::warn("{} cannot be parked: {}", running.model, why_not);
  // If files were replaced while the engine read them, it may have read a part of each version.
  look_again(running.model, [this, id, parkable = agent != nullptr && why_not.empty()] {
    const auto found = engines_.find(id);
    if (found == engines_.end() || found->second.told_to_stop) return;  // it ended meanwhile
    start_saving(id);
    step(EngineReady{id, parkable});
    measure(id);
  });
}

void ModelHost::start_saving(EngineId id) {
  const Running& running = engines_.at(id);
  EngineAgent* const agent = running.engine->agent();
  const ModelSpec* const spec = catalog_.find(running.model);
  // What an engine computes from other files than those that the folder is for must not get there.
  const bool same_files = spec != nullptr && spec->identity == running.spec.identity;
  if (!saver_ || agent == nullptr || running.conversations.empty() || !same_files) return;
  saver_->add(id, running.model, running.conversations, *agent);
}

void ModelHost::stop_saving(const ModelId& model) {
  for (const auto& [id, running] : engines_) {
    if (saver_ && running.model == model) return saver_->stop(id);
  }
}

void ModelHost::save_before(EngineId id, ConversationSaver::Leave leave, std::function<void()> then) {
  if (!saver_) return then();
  saver_->before_leaving(id, leave, std::move(then));
}

void ModelHost::engine_exited(EngineId id, Error reason) {
  const auto found = engines_.find(id);
  if (found == engines_.end()) return;
  const Running& gone = found->second;
  // It may have died while it saved its conversations, before it was asked to stop.
  if (gone.told_to_stop && reason.code == ErrorCode::kEngineCrashed) {
    reason = {ErrorCode::kCancelled, "the engine was stopped"};
  }
  if (saver_) saver_->remove(id);
  log::info({{"model", gone.model}}, "engine of {} is gone{}: {}", gone.model,
            gone.told_to_stop ? fmt::format(" after {:.0f} ms", ms_since(*gone.told_to_stop)) : "", reason.message);
  const ModelId model = gone.model;
  last_deaths_.insert_or_assign(model, std::pair(id, reason));
  engines_.erase(found);
  devices_move();
  forget_devices();
  count_sharers();
  if (engine_gone_) engine_gone_(id);
  step(EngineExited{id, std::move(reason)});
  forget_gone(model);
}

void ModelHost::arm_watchdog() {
  if (watchdog_armed_ || engines_.empty() || options_.stall_timeout <= Duration::zero()) return;
  watchdog_armed_ = true;
  watched_last_ = Clock::now();
  watchdog_.arm(watched_last_ + watch_period(options_.stall_timeout), [this] {
    watchdog_armed_ = false;
    watch_engines();
    arm_watchdog();
  });
}

void ModelHost::watch_engines() {
  if (options_.stall_timeout <= Duration::zero()) return;  // it was switched off meanwhile
  // A look that comes late proves nothing about the time before it: the whole machine may have slept.
  const Duration passed = std::min<Duration>(Clock::now() - watched_last_, 2 * watch_period(options_.stall_timeout));
  std::vector<EngineId> stalled;
  for (auto& [id, running] : engines_) {
    const bool should_work = !running.ready || running.waits > 0 || running.moving;
    const std::uint64_t seen = should_work ? running.engine->activity() + running.answers : 0;
    const bool silent = should_work && seen == running.seen;
    running.seen = seen;
    running.silent_for = silent ? running.silent_for + passed : Duration::zero();
    if (running.silent_for < options_.stall_timeout) continue;
    running.silent_for = Duration::zero();
    stalled.push_back(id);
  }
  for (const EngineId id : stalled) step(EngineStalled{id});
}

void ModelHost::carry_out(Kill& action) {
  const auto found = engines_.find(action.engine);
  if (found == engines_.end()) return;  // its exit will be reported
  Running& running = found->second;
  const Error reason{ErrorCode::kEngineTimeout,
                     fmt::format("the engine made no progress for {} s while {} and was killed",
                                 std::chrono::duration<double>(options_.stall_timeout).count(),
                                 running.moving  ? "it was parking or waking"
                                 : running.ready ? "it had a request to answer"
                                                 : "loading")};
  log::warn("{}: {}; its log says what its threads were doing", action.model, reason.message);
  running.engine->kill(reason);
}

void ModelHost::add_lease(EngineId id) {
  const auto found = engines_.find(id);
  if (found == engines_.end() || found->second.leases++ > 0) return;
  count_sharers();
  tell_sharers();
}

void ModelHost::remove_lease(EngineId id, LeaseEnd end) {
  const auto found = engines_.find(id);
  if (found == engines_.end()) return;
  if (saver_) saver_->answered(id);
  if (end == LeaseEnd::kCompleted) ++found->second.served;
  if (--found->second.leases > 0) return;
  count_sharers();
  // This comes before the core hears of the request's end: the core may park the engine at once, and the measurement is
  // to say what it held before.
  measure(id);
}

void ModelHost::count_sharers() {
  const auto busy = std::count_if(engines_.begin(), engines_.end(), [](const auto& e) { return e.second.leases > 0; });
  const auto sharers = static_cast<unsigned>(std::max<std::ptrdiff_t>(busy, 1));
  if (sharers >= sharers_) {
    fewer_sharers_.cancel();
    fewer_sharers_armed_ = false;
    if (std::exchange(sharers_, sharers) != sharers) tell_sharers();
  } else if (!fewer_sharers_armed_) {
    fewer_sharers_armed_ = true;
    fewer_sharers_.arm(Clock::now() + kFewerSharersAfter, [this] {
      fewer_sharers_armed_ = false;
      sharers_ = 1;
      count_sharers();
      tell_sharers();
    });
  }
}

void ModelHost::tell_sharers() {
  for (auto& [id, running] : engines_) {
    if (running.leases == 0 || std::exchange(running.told_sharers, sharers_) == sharers_) continue;
    running.engine->share_cores(sharers_);
  }
}

void ModelHost::carry_out(Stop& action) {
  const auto found = engines_.find(action.engine);
  if (found == engines_.end()) return;  // its exit will be reported
  found->second.told_to_stop = Clock::now();
  devices_move();
  save_before(action.engine, ConversationSaver::Leave::kEnds,
              [this, id = action.engine] { engines_.at(id).engine->stop(options_.stop_grace); });
}

void ModelHost::measure(EngineId id) {
  const auto found = engines_.find(id);
  if (found == engines_.end()) return;
  Running& running = found->second;
  EngineAgent* const agent = running.engine->agent();
  const bool at_rest = manager_.residency(running.model, Clock::now()) == Residency::kHot && running.leases == 0;
  if (agent == nullptr || !at_rest || running.measuring || running.served < running.measured_when) return;
  running.measured_when = std::max<std::uint64_t>(1, 2 * running.served);
  running.measuring = true;
  agent->measure([this, id, has_served = running.served > 0](std::optional<Measurement> measurement) {
    measured(id, has_served, std::move(measurement));
  });
}

void ModelHost::measured(EngineId id, bool has_served, std::optional<Measurement> measured) {
  Running& running = engines_.at(id);
  running.measuring = false;
  if (!measured) return;
  measured->host = std::max(measured->host, running.at_least);
  log::debug({{"model", running.model}}, "{} holds {} at most", running.model, format_bytes(measured->host));
  // Before the first request, the engine does not yet hold what the first requests make.
  if (has_served) catalog_.note_measured(running.key, *measured);
  if (!has_served) learn_shares(id, *measured);
  step(FootprintMeasured{id, by_pool(measured->host, measured->devices)});
}

EngineAgent* ModelHost::agent(EngineId id) {
  const auto found = engines_.find(id);
  return found == engines_.end() ? nullptr : found->second.engine->agent();
}

void ModelHost::carry_out(Park& action) {
  if (!engines_.contains(action.engine)) return;  // its exit will be reported
  save_before(action.engine, ConversationSaver::Leave::kParks,
              [this, id = action.engine, model = action.model, most = action.max_image] { park(id, model, most); });
}

void ModelHost::park(EngineId engine, const ModelId& model_id, Bytes max_image) {
  EngineAgent* const parks = agent(engine);
  if (parks == nullptr) return;  // as above
  engines_.at(engine).moving = true;
  devices_move();
  parks->park(max_image, [this, id = engine, model = model_id, begun = Clock::now()](auto result) {
    Running& running = engines_.at(id);
    running.moving = false;
    devices_move();
    if (result) {
      log::info({{"model", model}}, "{} is parked after {:.0f} ms: it keeps {}, wrote {}, and its image has {}", model,
                ms_since(begun), format_bytes(Bytes(result->residue_bytes)), format_bytes(Bytes(result->written_bytes)),
                format_bytes(Bytes(result->image_bytes)));
      catalog_.note_residue(running.key, Bytes(result->residue_bytes));
      DeviceBytes on_devices;
      for (const auto& [device, bytes] : result->devices) on_devices[device] = Bytes(bytes);
      const Footprint residue = by_pool(Bytes(result->residue_bytes), on_devices) + shares(running);
      step(EngineParked{id, residue, Bytes(result->image_bytes), Bytes(result->cached_bytes)});
      keep_in_memory(model);
    } else {
      log::warn("{} is not parked: {}", model, result.error().reason.message);
      if (saver_) saver_->stays(id);
      step(ParkRefused{id, result.error().reason, result.error().image_wanted});
    }
  });
}

void ModelHost::keep_in_memory(const ModelId& model) {
  const ModelSpec* const spec = catalog_.find(model);
  if (spec == nullptr || !spec->keeps_pages || !spec->command.argv.empty()) return;
  std::vector<std::string> files = spec->more_files;
  files.push_back(spec->path);
  read_ahead_.read_if_idle(files);
}

void ModelHost::carry_out(Wake& action) {
  EngineAgent* const wakes = agent(action.engine);
  if (wakes == nullptr) return;  // its exit will be reported
  engines_.at(action.engine).moving = true;
  devices_move();
  wakes->wake([this, id = action.engine, model = action.model,
               begun = Clock::now()](const Result<protocol::ParkReport>& woken) {
    engines_.at(id).moving = false;
    devices_move();
    if (!woken) return wake_refused(id, woken.error());
    const Bytes missing(woken->missing_bytes);
    if (saver_) saver_->stays(id);
    catalog_.note_wake_time(engines_.at(id).key, Clock::now() - begun);
    log::info({{"model", model}}, "{} woke after {:.1f} ms{}", model, ms_since(begun),
              missing > Bytes() ? fmt::format(", and reads {} that were dropped", format_bytes(missing)) : "");
    io::Displacement displaced;
    if (missing > Bytes()) {
      displaced = io::read_machine_memory().displacement(missing, options_.min_free_memory);
    }
    step(EngineWoken{id, Bytes(woken->cached_bytes), missing, displaced.displaced, displaced.page_cache});
  });
}

void ModelHost::wake_refused(EngineId id, const Error& reason) {
  log::warn("{} stays parked: {}", engines_.at(id).model, reason.message);
  step(WakeRefused{id, reason});
}

void ModelHost::carry_out(DropPages& action) {
  EngineAgent* const parked = agent(action.engine);
  if (parked == nullptr) return;  // its exit will be reported
  parked->drop_pages(action.bytes, [this, model = action.model](Bytes dropped) {
    log::debug({{"model", model}}, "{} gave back {} of page cache", model, format_bytes(dropped));
    pages_dropped_ += dropped;
  });
}

void ModelHost::carry_out(ReadAhead& action) {
  const ModelSpec* const spec = catalog_.find(action.model);
  if (spec == nullptr || !spec->command.argv.empty()) return;
  std::vector<std::string> files = spec->more_files;
  files.push_back(spec->path);
  log::debug({{"model", action.model}}, "reading {} ahead{}", action.model,
             action.likely ? " if nothing else goes on" : "");
  if (action.likely) {
    read_ahead_.read_if_idle(files);
  } else {
    read_ahead_.read(files);
  }
}

bool ModelHost::nobody_waits() const {
  return manager_.queued() == 0 && !manager_.under_pressure() &&
         std::all_of(engines_.begin(), engines_.end(),
                     [](const auto& e) { return e.second.ready && !e.second.moving && !e.second.told_to_stop; });
}

bool ModelHost::nothing_goes_on() const {
  return nobody_waits() &&
         std::all_of(engines_.begin(), engines_.end(), [](const auto& e) { return e.second.leases == 0; });
}

void ModelHost::carry_out(Grant& action) {
  const auto answer = lease_answers_.extract(action.request);
  const auto engine = engines_.find(action.engine);
  Lease lease;
  lease.host_ = this;
  lease.grant_ = action;
  lease.granted_ = Clock::now();
  if (engine != engines_.end()) lease.address_ = engine->second.engine->address();
  add_lease(action.engine);
  // If nobody is left to answer, the lease is released at the end of this function.
  if (answer.empty()) return;
  lease.user_ = answer.mapped().user;
  lease.looking_ = answer.mapped().looking;
  answer.mapped().answer(std::move(lease));
}

void ModelHost::carry_out(Done& action) {
  const auto answer = done_answers_.extract(action.request);
  if (!answer.empty()) answer.mapped()(std::move(action));
}

void ModelHost::carry_out(Reject& action) {
  const auto lease_answer = lease_answers_.extract(action.request);
  if (!lease_answer.empty()) lease_answer.mapped().answer(fail(action.error));
  const auto done_answer = done_answers_.extract(action.request);
  if (!done_answer.empty()) done_answer.mapped()(fail(action.error));
}

void ModelHost::carry_out(Abort& action) {
  const auto abort = aborts_.extract(action.request);
  if (!abort.empty()) abort.mapped()(action.error);
}

}  // namespace minerva
