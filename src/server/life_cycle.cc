#include "server/life_cycle.h"

#include <fmt/format.h>

#include <deque>

#include "api/life_cycle.h"
#include "api/sse.h"

namespace minerva {
namespace {

constexpr Bytes kMaxBody = Bytes::mib(1);
constexpr auto kProgressInterval = std::chrono::milliseconds(200);
constexpr unsigned kDefaultTail = 200;
constexpr unsigned kMaxTail = 1000;
constexpr std::size_t kMaxFollowQueue = 1000;  // lines a slow reader may be behind
constexpr auto kFollowHeartbeat = std::chrono::seconds(15);

// Waits for the answer of a life-cycle call, or for the client's end.
struct Waiting {
  explicit Waiting(io::Loop& loop) : woken(loop) {}
  io::Signal woken;
  std::optional<Result<Done>> answer;
  bool gone = false;

  ModelHost::DoneCallback callback() {
    return [this](Result<Done> result) {
      answer = std::move(result);
      woken.notify();
    };
  }
  void watch(io::HttpServerConnection& connection) {
    connection.watch_peer([this] {
      gone = true;
      woken.notify();
    });
  }
};

// The answer to a call that succeeded.
std::string describe(const Service& service, const Done& done, std::string message) {
  const auto view = service.host.context().model(done.model, Clock::now());
  api::LifeCycleAnswer answer;
  answer.message = std::move(message);
  answer.model = done.model;
  answer.state = view ? view->residency : Residency::kCold;
  answer.load_time = done.took;
  answer.evicted = done.evicted;
  answer.memory = done.footprint;
  return api::life_cycle_json(answer);
}

io::Task<void> answer_plan(Service& service, Exchange& x, ModelId id) {
  io::Signal inspected(service.loop);
  std::optional<Result<ModelMetadata>> metadata;
  // The answer may come after this coroutine's client has gone, but never after the coroutine: it waits.
  service.catalog.inspect(id, [&](Result<ModelMetadata> result) {
    metadata = std::move(result);
    inspected.notify();
  });
  while (!metadata) co_await inspected.wait();
  if (!*metadata) co_return co_await x.error(metadata->error());
  const auto plan = service.host.context().plan_load(id, (*metadata)->footprint);
  if (!plan) co_return co_await x.error(plan.error());
  const auto view = service.host.context().model(id, Clock::now());
  api::PlanAnswer answer;
  answer.model = id;
  answer.state = view ? view->residency : Residency::kCold;
  answer.plan = *plan;
  co_await x.json(200, api::plan_json(answer));
}

// The same call for a client that wants to see progress: comments while it loads, then one event with the answer.
io::Task<void> stream_progress(Service& service, Exchange& x, Waiting& waiting, std::string_view done_message) {
  io::ResponseHead head;
  head.headers.add("Content-Type", "text/event-stream");
  head.headers.add("Cache-Control", "no-cache");
  head.headers.add("x-request-id", x.request_id);
  x.status = 200;
  bool open = co_await x.connection.start(head);
  while (open && !waiting.answer && !waiting.gone) {
    if (co_await waiting.woken.wait_until(Clock::now() + kProgressInterval)) continue;
    const double progress = service.host.load_progress(x.model);
    const std::string comment = api::sse_comment(fmt::format("loading {:.0f}%", 100 * progress));
    open = co_await x.connection.send(comment);
  }
  if (!waiting.answer) co_return x.connection.abort();
  std::string event;
  if (*waiting.answer) {
    const Done& done = **waiting.answer;
    event = api::sse_data(describe(service, done, done.changed ? std::string(done_message) : "already loaded"));
  } else {
    x.status = error_info(waiting.answer->error().code).http_status;
    event = api::sse_error(waiting.answer->error());
  }
  co_await x.connection.send(event);
  co_await x.connection.finish();
}

// Waits and answers. A client that goes away takes its call back; a load under way goes on.
io::Task<void> answer_when_done(Service& service, Exchange& x, Waiting& waiting, RequestId request,
                                std::string_view done_message, std::string_view unchanged_message) {
  waiting.watch(x.connection);
  const std::string* accept = x.request.headers.find("accept");
  const bool progress = accept != nullptr && accept->find("text/event-stream") != std::string::npos;
  if (progress) {
    co_await stream_progress(service, x, waiting, done_message);
  } else {
    while (!waiting.answer && !waiting.gone) co_await waiting.woken.wait();
  }
  x.connection.unwatch_peer();
  if (!waiting.answer) service.host.cancel(request);
  if (progress) co_return;
  if (!waiting.answer) co_return co_await x.error({ErrorCode::kCancelled, "the client went away"});
  if (!*waiting.answer) co_return co_await x.error(waiting.answer->error());
  const Done& done = **waiting.answer;
  co_await x.json(200, describe(service, done, std::string(done.changed ? done_message : unchanged_message)));
}

// Sets the exchange's model. false: there is none of that name, and that is answered.
io::Task<bool> resolve_model(Service& service, Exchange& x, ModelId id) {
  Result<ModelId> model = co_await service.resolve(std::move(id));
  if (!model) {
    co_await x.error(model.error());
    co_return false;
  }
  x.model = *std::move(model);
  co_return true;
}

api::ModelAnswer model_answer(const Service& service, const ModelSpec& spec) {
  const ModelMetadata* const metadata = service.catalog.metadata(spec.id);
  const auto view = service.host.context().model(spec.id, Clock::now());
  api::ModelAnswer answer;
  answer.id = spec.id;
  answer.created = spec.modified_ns / 1'000'000'000;
  answer.size = spec.size;
  answer.aliases = spec.aliases;
  if (metadata != nullptr && spec.command.argv.empty()) {
    answer.parameters = metadata->parameters;
    answer.quantization = metadata->quantization;
    answer.context_length = metadata->context;
  }
  if (view) {
    answer.state = view->residency;
    answer.failure = view->last_failure;
    if (view->residency == Residency::kLoading) answer.progress = service.host.load_progress(spec.id);
  }
  return answer;
}

}  // namespace

io::Task<void> load_model(Service& service, Exchange& x, ModelId id, bool preload) {
  const Result<std::string> body = co_await x.body(kMaxBody);
  if (!body) co_return co_await x.error(body.error());
  const Result<api::LoadBody> parsed = api::parse_load_body(*body, id);
  if (!parsed) co_return co_await x.error(parsed.error());
  const Result<bool> force = x.query.flag("force", false);
  const Result<bool> wait = x.query.flag("wait", true);
  const Result<bool> dry_run = x.query.flag("dry_run", false);
  for (const Result<bool>* flag : {&force, &wait, &dry_run}) {
    if (!*flag) co_return co_await x.error(flag->error());
  }
  if (parsed->model_path) {
    const bool is_new = service.catalog.find(id) == nullptr;
    const Result<const ModelSpec*> added = service.catalog.add_path(id, *parsed->model_path);
    if (!added) co_return co_await x.error(added.error());
    // Only what is new: telling it again would undo a pin.
    if (is_new) service.host.apply({{**added}, {}});
  }
  if (!co_await resolve_model(service, x, std::move(id))) co_return;
  if (*dry_run) co_return co_await answer_plan(service, x, x.model);

  const TimePoint deadline = x.arrived + service.config.max_wait + service.config.load_timeout;
  const std::string_view done_message = preload ? "preloaded" : "loaded";
  if (!*wait) {
    service.host.load(x.model, preload, *force, deadline, [](const Result<Done>&) {});
    const ModelMetadata* const metadata = service.catalog.metadata(x.model);  // none before it was inspected
    const Done accepted{RequestId{}, x.model, true, {}, {}, metadata == nullptr ? Bytes() : metadata->footprint};
    co_return co_await x.json(202, describe(service, accepted, "loading"));
  }
  Waiting waiting(service.loop);
  const RequestId request = service.host.load(x.model, preload, *force, deadline, waiting.callback());
  co_await answer_when_done(service, x, waiting, request, done_message, "already loaded");
}

io::Task<void> unload_model(Service& service, Exchange& x, ModelId id) {
  const Result<std::string> body = co_await x.body(kMaxBody);
  if (!body) co_return co_await x.error(body.error());
  const Result<bool> force = x.query.flag("force", false);
  if (!force) co_return co_await x.error(force.error());
  if (!co_await resolve_model(service, x, std::move(id))) co_return;
  Waiting waiting(service.loop);
  const RequestId request =
      service.host.unload(x.model, *force, x.arrived + service.config.unload_timeout, waiting.callback());
  co_await answer_when_done(service, x, waiting, request, "unloaded", "not loaded");
}

io::Task<void> pin_model(Service& service, Exchange& x, ModelId id, bool pinned) {
  const Result<std::string> body = co_await x.body(kMaxBody);
  if (!body) co_return co_await x.error(body.error());
  if (!co_await resolve_model(service, x, std::move(id))) co_return;
  Waiting waiting(service.loop);
  const RequestId request = service.host.pin(x.model, pinned, waiting.callback());
  co_await answer_when_done(service, x, waiting, request, pinned ? "pinned" : "unpinned",
                            pinned ? "already pinned" : "not pinned");
}

io::Task<void> model_logs(Service& service, Exchange& x, ModelId id) {
  const Result<unsigned> tail = x.query.number("tail", kDefaultTail, kMaxTail);
  const Result<bool> follow = x.query.flag("follow", false);
  if (!tail) co_return co_await x.error(tail.error());
  if (!follow) co_return co_await x.error(follow.error());
  if (!co_await resolve_model(service, x, std::move(id))) co_return;
  const std::shared_ptr<EngineLog> log = service.host.log(x.model);
  std::string text;
  for (const std::string& line : log->tail(*tail)) text += line + "\n";
  if (!*follow) co_return co_await x.respond(200, "text/plain; charset=utf-8", std::move(text));

  io::Signal woken(service.loop);
  bool gone = false;
  std::deque<std::string> lines;
  const std::shared_ptr<void> following = log->follow([&](std::string_view line) {
    if (lines.size() >= kMaxFollowQueue) lines.pop_front();
    lines.emplace_back(line);
    woken.notify();
  });
  io::ResponseHead head;
  head.headers.add("Content-Type", "text/plain; charset=utf-8");
  head.headers.add("x-request-id", x.request_id);
  x.status = 200;
  x.connection.watch_peer([&] {
    gone = true;
    woken.notify();
  });
  bool open = co_await x.connection.start_with(head, text);
  while (open && !gone && !service.draining) {
    if (lines.empty()) {
      co_await woken.wait_until(Clock::now() + kFollowHeartbeat);
      continue;
    }
    const std::string line = std::move(lines.front()) + "\n";
    lines.pop_front();
    open = co_await x.connection.send(line);
  }
  x.connection.unwatch_peer();
  co_await x.connection.finish();
}

io::Task<void> list_models(Service& service, Exchange& x) {
  co_await service.catalog_watch.refresh_if_changed();
  std::vector<api::ModelAnswer> answers;
  for (const ModelSpec* spec : service.catalog.list()) answers.push_back(model_answer(service, *spec));
  co_await x.json(200, api::models_json(answers));
}

io::Task<void> show_model(Service& service, Exchange& x, ModelId id) {
  if (!co_await resolve_model(service, x, std::move(id))) co_return;
  co_await x.json(200, api::model_json(model_answer(service, *service.catalog.find(x.model))));
}

io::Task<void> show_stats(Service& service, Exchange& x) {
  const ContextManager& context = service.host.context();
  api::StatsAnswer stats;
  stats.loaded = context.loaded_models();
  stats.models = context.models(Clock::now());
  stats.cache = context.cache_stats();
  stats.policy = context.policy_name();
  stats.memory_budget = context.memory_budget();
  stats.reserved_memory = context.reserved_memory();
  stats.memory_pressure = context.has_memory_pressure();
  co_await x.json(200, api::stats_json(stats));
}

}  // namespace minerva
