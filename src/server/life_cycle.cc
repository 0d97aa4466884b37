#include "server/life_cycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string_view>

#include "api/life_cycle.h"
#include "api/sse.h"
#include "base/concession.h"
#include "base/log.h"
#include "catalog/fit.h"
#include "router_api/status.h"
#include "server/access.h"
#include "server/engine_logs.h"
#include "server/waiting.h"

namespace minerva {
namespace {

constexpr auto kProgressInterval = std::chrono::milliseconds(200);
constexpr unsigned kDefaultTail = 200;
constexpr unsigned kMaxTail = 1000;
constexpr std::size_t kMaxProblems = 200;  // the most problems that the list of models shows

// The message for a call that succeeded, by its result and the state of its model now.
using Wording = std::function<std::string(const Done& done, const ModelView& now)>;

Wording either(std::string done_message, std::string unchanged_message) {
  return [=](const Done& done, const ModelView&) { return done.changed ? done_message : unchanged_message; };
}

std::vector<Concession> gave_way(const Service& service, const ModelId& id) {
  const ModelSpec* const spec = service.catalog.find(id);
  const Reduction reduction = spec == nullptr ? Reduction{} : service.host.reduction(*spec);
  if (reduction == Reduction{}) return {};
  const ModelMetadata* const metadata = service.host.metadata(id);
  return concessions(*spec, reduction, metadata == nullptr ? 0 : metadata->trained_context);
}

ModelView view_of(const Service& service, const ModelId& id) {
  return service.host.context().model(id, Clock::now()).value_or(ModelView{});
}

// The wording for a load that begins now. If a parked model was woken, it was not loaded.
Wording load_wording(const Service& service, const ModelId& id, std::string done_message) {
  return [&service, done_message = std::move(done_message), wakes = view_of(service, id).wakes](
             const Done& done, const ModelView& now) -> std::string {
    if (!done.changed) return "already loaded";
    if (now.wakes > wakes) return "woken";
    const std::vector<Concession> list = gave_way(service, done.model);
    if (list.empty()) return done_message;
    return fmt::format("{} with {}, as {} are all there is (memory_budget)", done_message, concessions_text(list),
                       format_bytes(service.host.context().memory_budget()));
  };
}

// The answer to a call that succeeded, as JSON.
std::string describe(const Service& service, const Done& done, const Wording& wording) {
  const ModelView now = view_of(service, done.model);
  api::LifeCycleAnswer answer;
  answer.message = wording(done, now);
  answer.model = done.model;
  answer.state = now.residency;
  answer.load_time = done.took;
  answer.evicted = done.evicted;
  answer.memory = done.footprint;
  answer.gave_way = gave_way(service, done.model);
  return api::life_cycle_json(answer);
}

io::Task<void> answer_plan(Service& service, Exchange& x, ModelId id) {
  const Result<FittedModel> fitted = co_await service.inspect(id);
  if (!fitted) co_return co_await x.error(fitted.error());
  const auto plan = service.host.context().plan_load(id, service.host.footprint(fitted->metadata), Clock::now());
  if (!plan) co_return co_await x.error(plan.error());
  api::PlanAnswer answer;
  answer.model = id;
  answer.state = view_of(service, id).residency;
  answer.plan = *plan;
  if (const ModelSpec* const spec = service.catalog.find(id)) {
    answer.gave_way = concessions(*spec, fitted->reduction, fitted->metadata.trained_context);
  }
  co_await x.json(200, api::plan_json(answer));
}

// The same for a client that wants to see progress: comments while it waits, then one event with the answer.
io::Task<void> stream_progress(Service& service, Exchange& x, Waiting& waiting, const Wording& wording) {
  io::ResponseHead head;
  head.headers.add("Content-Type", "text/event-stream");
  head.headers.add("Cache-Control", "no-cache");
  head.headers.add("x-request-id", x.request_id);
  x.status = 200;
  bool open = co_await x.connection.start(head);
  while (open && !waiting.answer && !waiting.gone) {
    if (co_await waiting.woken.wait_until(Clock::now() + kProgressInterval)) continue;
    const std::string comment = api::sse_comment(service.progress(x.model));
    open = co_await x.connection.send(comment);
  }
  if (!waiting.answer) co_return x.connection.abort();
  std::string event;
  if (*waiting.answer) {
    event = api::sse_data(describe(service, **waiting.answer, wording));
  } else {
    x.status = error_info(waiting.answer->error().code).http_status;
    event = api::sse_error(waiting.answer->error());
  }
  co_await x.connection.send(event);
  co_await x.connection.finish();
}

// Waits for the call, and answers. If the client goes away, the call is cancelled; a load under way goes on.
io::Task<void> answer_when_done(Service& service, Exchange& x, Waiting& waiting, RequestId request,
                                const Wording& wording) {
  waiting.watch(x.connection);
  const std::string* accept = x.request.headers.find("accept");
  const bool progress = accept != nullptr && accept->find("text/event-stream") != std::string::npos;
  if (progress) {
    co_await stream_progress(service, x, waiting, wording);
  } else {
    while (!waiting.answer && !waiting.gone) co_await waiting.woken.wait();
  }
  x.connection.unwatch_peer();
  if (!waiting.answer) service.host.cancel(request);
  if (progress) co_return;
  if (!waiting.answer) co_return co_await x.error({ErrorCode::kCancelled, "the client went away"});
  if (!*waiting.answer) co_return co_await x.error(waiting.answer->error());
  co_await x.json(200, describe(service, **waiting.answer, wording));
}

// Sets the exchange's model. false: there is no model of that name, and the exchange is answered.
io::Task<bool> resolve_model(Service& service, Exchange& x, ModelId id) {
  Result<ModelId> model = co_await service.resolve(std::move(id));
  if (!model) {
    co_await x.error(model.error());
    co_return false;
  }
  x.model = *std::move(model);
  co_return true;
}

// With force a call cancels the requests of other callers.
std::optional<Error> refuse_force(const Service& service, const Exchange& x, bool force) {
  if (!force) return std::nullopt;
  return refuse_among_several(service.config, x.caller, "cancel the requests of others (force=true)");
}

// Park or unload: the model leaves once its running requests have ended. The call waits `limits.unload_timeout` for
// that.
io::Task<void> move_out(Service& service, Exchange& x, ModelId id, decltype(&ModelHost::unload) call, Wording wording) {
  const Result<std::string> body = co_await x.body(kMaxSmallBody);
  if (!body) co_return co_await x.error(body.error());
  const Result<bool> force = x.query.flag("force", false);
  if (!force) co_return co_await x.error(force.error());
  if (const auto refused = refuse_force(service, x, *force)) co_return co_await x.error(*refused);
  if (!co_await resolve_model(service, x, std::move(id))) co_return;
  Waiting waiting(service.loop);
  const TimePoint deadline = x.arrived + service.config.unload_timeout;
  const RequestId request = (service.host.*call)(x.model, *force, deadline, waiting.callback());
  co_await answer_when_done(service, x, waiting, request, wording);
}

// Whether the model has an engine that will stay.
bool resident(const ModelView& model) { return model.engine && model.residency != Residency::kStopping; }

api::ModelAnswer model_answer(const Service& service, const ModelSpec& spec) {
  const ModelMetadata* const metadata = service.host.metadata(spec.id);
  const auto view = service.host.context().model(spec.id, Clock::now());
  api::ModelAnswer answer;
  answer.id = spec.id;
  answer.created = spec.modified_ns / 1'000'000'000;
  answer.size = spec.size;
  answer.aliases = spec.aliases;
  answer.name = spec.name;
  for (const std::string& file : spec.companions) answer.companions.push_back(file.substr(file.rfind('/') + 1));
  if (const Error* const invalid = service.catalog.invalid(spec); invalid != nullptr) {
    answer.runs_here = false;
    answer.why_not = invalid->message;
  } else if (metadata != nullptr) {
    const Bytes budget = service.host.context().memory_budget();
    answer.runs_here = may_fit(spec, metadata, budget);
    if (!*answer.runs_here) {
      answer.why_not = fmt::format("It takes {}, and all models together may take {}.",
                                   format_bytes(metadata->footprint()), format_bytes(budget));
    }
  }
  if (metadata != nullptr && spec.command.argv.empty()) {
    answer.parameters = metadata->parameters;
    answer.quantization = metadata->quantization;
    answer.context_length = metadata->context;
    answer.architecture = metadata->architecture;
    answer.input_modalities = metadata->input_modalities;
    answer.gave_way = gave_way(service, spec.id);
  }
  if (view) {
    answer.state = view->residency;
    answer.failure = view->last_failure;
    answer.status = router_api::status_of(view->residency, view->last_failure);
    if (view->residency == Residency::kLoading) answer.progress = service.host.load_progress(spec.id);
  }
  const Timetable::Next next = service.timetable.next(spec.id);
  if (next.preload) answer.next_preload = service.timetable.zone().text(*next.preload);
  if (next.unload) answer.next_unload = service.timetable.zone().text(*next.unload);
  return answer;
}

// A preset in the list: like its model, but with its own name. Nothing if there is no such model.
std::optional<api::ModelAnswer> preset_answer(const Service& service, const api::Preset& preset) {
  const ModelSpec* const spec = service.catalog.look_up(preset.model);
  if (spec == nullptr) return std::nullopt;
  api::ModelAnswer answer = model_answer(service, *spec);
  answer.preset_of = answer.id;
  answer.id = preset.id;
  answer.aliases = preset.aliases;
  return answer;
}

}  // namespace

io::Task<void> load_model(Service& service, Exchange& x, ModelId id, bool preload) {
  const Result<std::string> body = co_await x.body(kMaxSmallBody);
  if (!body) co_return co_await x.error(body.error());
  const Result<api::LoadBody> parsed = api::parse_load_body(*body, id);
  if (!parsed) co_return co_await x.error(parsed.error());
  const Result<bool> force = x.query.flag("force", false);
  const Result<bool> wait = x.query.flag("wait", true);
  const Result<bool> dry_run = x.query.flag("dry_run", false);
  for (const Result<bool>* flag : {&force, &wait, &dry_run}) {
    if (!*flag) co_return co_await x.error(flag->error());
  }
  if (const auto refused = refuse_force(service, x, *force)) co_return co_await x.error(*refused);
  const ModelId named = id;
  if (parsed->model_path) {
    if (service.find_preset(id) != nullptr) {
      co_return co_await x.error(
          {ErrorCode::kConflict,
           fmt::format("\"{}\" is a preset; choose another model_id, or leave out model_path", id), "model_path"});
    }
    const bool is_new = service.catalog.find(id) == nullptr;
    const Result<const ModelSpec*> added = service.catalog.add_path(id, *parsed->model_path, /*for_now=*/*dry_run);
    if (!added) co_return co_await x.error(added.error());
    // Only a new model: to add a known one again would undo a pin.
    if (is_new) service.host.apply({{**added}, {}});
  }
  const bool there = co_await resolve_model(service, x, std::move(id));
  if (*dry_run) {
    if (there) co_await answer_plan(service, x, x.model);
    if (parsed->model_path && service.catalog.drop_path(named)) service.host.apply({{}, {named}});
    co_return;
  }
  if (!there) co_return;

  const TimePoint deadline = x.arrived + service.config.max_wait + service.config.load_timeout;
  if (!*wait) {
    service.host.load(x.model, preload, *force, deadline, [](const Result<Done>&) {});
    const ModelMetadata* const metadata = service.host.metadata(x.model);  // nullptr before the model was inspected
    const Done accepted{RequestId{}, x.model, true, {}, {}, metadata == nullptr ? Bytes() : metadata->footprint()};
    const Wording wording = [](const Done&, const ModelView& now) -> std::string {
      return now.residency == Residency::kWaking ? "waking" : "loading";
    };
    co_return co_await x.json(202, describe(service, accepted, wording));
  }
  Waiting waiting(service.loop);
  const Wording wording = load_wording(service, x.model, preload ? "preloaded" : "loaded");
  const RequestId request = service.host.load(x.model, preload, *force, deadline, waiting.callback());
  co_await answer_when_done(service, x, waiting, request, wording);
}

io::Task<void> park_model(Service& service, Exchange& x, ModelId id) {
  return move_out(service, x, std::move(id), &ModelHost::park,
                  [](const Done& done, const ModelView& now) -> std::string {
                    if (done.changed) return "parked";
                    return resident(now) ? "already parked" : "not loaded";
                  });
}

io::Task<void> unload_model(Service& service, Exchange& x, ModelId id) {
  return move_out(service, x, std::move(id), &ModelHost::unload, either("unloaded", "not loaded"));
}

io::Task<Result<Done>> unload_and_wait(Service& service, Exchange& x, ModelId model) {
  Waiting waiting(service.loop);
  const TimePoint deadline = x.arrived + service.config.unload_timeout;
  const RequestId request = service.host.unload(model, /*force=*/false, deadline, waiting.callback());
  co_return co_await wait_for_answer(service.host, x.connection, waiting, request);
}

io::Task<void> pin_model(Service& service, Exchange& x, ModelId id, bool pinned) {
  const Result<std::string> body = co_await x.body(kMaxSmallBody);
  if (!body) co_return co_await x.error(body.error());
  if (!co_await resolve_model(service, x, std::move(id))) co_return;
  Waiting waiting(service.loop);
  const RequestId request = service.host.pin(x.model, pinned, waiting.callback());
  const Wording wording = pinned ? either("pinned", "already pinned") : either("unpinned", "not pinned");
  co_await answer_when_done(service, x, waiting, request, wording);
}

io::Task<void> clear_cache(Service& service, Exchange& x) {
  const Result<std::string> body = co_await x.body(kMaxSmallBody);
  if (!body) co_return co_await x.error(body.error());
  const Result<bool> all = x.query.flag("all", false);
  const Result<bool> stats = x.query.flag("stats", false);
  const Result<bool> history = x.query.flag("history", false);
  const Result<bool> images = x.query.flag("images", false);
  const Result<bool> conversations = x.query.flag("conversations", false);
  for (const Result<bool>* flag : {&all, &stats, &history, &images, &conversations}) {
    if (!*flag) co_return co_await x.error(flag->error());
  }
  const ClearRequested what{.stats = *all || *stats, .history = *all || *history, .images = *all || *images};
  const bool of_conversations = *all || *conversations;
  if (!what.stats && !what.history && !what.images && !of_conversations) {
    co_return co_await x.error({ErrorCode::kInvalidArgument,
                                "Say what to clear: ?stats=true, history, images, conversations, or all.", "stats"});
  }
  if (what.stats || what.history || what.images) {
    const auto refused = refuse_among_several(service.config, x.caller,
                                              "clear what belongs to all callers (conversations=true is for its own)");
    if (refused) co_return co_await x.error(*refused);
  }
  api::ClearAnswer answer{.stats = what.stats,
                          .history = what.history,
                          .images = what.images,
                          .conversations = of_conversations,
                          .metadata = *all};
  answer.stopped = service.host.clear(what);
  if (of_conversations) service.conversations.clear(x.caller);
  if (*all) {
    service.host.forget_metadata();
    service.background_inspection.look();
  }
  log::info("the cache was cleared by an operator: {}", api::cleared_text(answer));
  co_await x.json(200, api::clear_json(answer));
}

io::Task<void> model_logs(Service& service, Exchange& x, ModelId id) {
  if (const auto refused = refuse_among_several(service.config, x.caller, "see the logs of all"))
    co_return co_await x.error(*refused);
  const Result<unsigned> tail = x.query.number("tail", kDefaultTail, kMaxTail);
  const Result<bool> follow = x.query.flag("follow", false);
  if (!tail) co_return co_await x.error(tail.error());
  if (!follow) co_return co_await x.error(follow.error());
  if (!co_await resolve_model(service, x, std::move(id))) co_return;
  const NamedLogs logs = {{"", service.host.log(x.model)}};
  if (*follow) co_return co_await follow_logs(service, x, logs, *tail);
  co_await x.respond(200, "text/plain; charset=utf-8", log_text(logs, *tail));
}

io::Task<void> list_models(Service& service, Exchange& x) {
  co_await service.catalog_watch.refresh_if_changed();
  std::vector<api::ModelAnswer> answers;
  std::vector<std::string> problems = service.catalog.problems();
  for (const ModelSpec* spec : service.catalog.list()) {
    // What the config says about a name takes precedence over what a folder says.
    if (service.find_preset(spec->id) != nullptr) continue;
    answers.push_back(model_answer(service, *spec));
    if (answers.back().why_not.empty()) continue;
    problems.push_back(fmt::format("{} cannot be run: {}", spec->id, answers.back().why_not));
  }
  if (problems.size() > kMaxProblems) problems.resize(kMaxProblems);
  for (const api::Preset& preset : service.config.presets) {
    if (auto answer = preset_answer(service, preset)) answers.push_back(*std::move(answer));
  }
  std::sort(answers.begin(), answers.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  co_await x.json(200, api::models_json(answers, problems));
}

io::Task<void> show_model(Service& service, Exchange& x, ModelId id) {
  if (!co_await resolve_model(service, x, id)) co_return;
  std::optional<api::ModelAnswer> answer;
  if (const api::Preset* const preset = service.find_preset(id)) answer = preset_answer(service, *preset);
  if (!answer) answer = model_answer(service, *service.catalog.find(x.model));
  co_await x.json(200, api::model_json(*answer));
}

io::Task<void> show_stats(Service& service, Exchange& x) {
  const ContextManager& context = service.host.context();
  api::StatsAnswer stats;
  stats.loaded = context.loaded_models();
  stats.models = context.models(Clock::now());
  for (const ModelView& model : stats.models) {
    if (!model.engine) continue;
    if (auto list = gave_way(service, model.id); !list.empty()) stats.gave_way[model.id] = std::move(list);
  }
  stats.cache = context.cache_stats();
  stats.policy = context.policy_name();
  stats.memory_budget = context.memory_budget();
  stats.reserved_memory = context.reserved_memory();
  stats.pools = context.pools();
  stats.memory_pressure = context.has_memory_pressure();
  co_await x.json(200, api::stats_json(stats));
}

}  // namespace minerva
