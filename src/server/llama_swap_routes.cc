#include "server/llama_swap_routes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <list>

#include "llama_swap/answers.h"
#include "server/access.h"
#include "server/engine_logs.h"
#include "server/life_cycle.h"
#include "server/waiting.h"

namespace minerva {
namespace {

constexpr std::size_t kTail = 200;  // how many lines of each model

NamedLogs all_logs(const Service& service) {
  NamedLogs logs;
  for (const ModelSpec* spec : service.catalog.list()) {
    logs.emplace_back(fmt::format("[{}] ", spec->id), service.host.log(spec->id));
  }
  return logs;
}

// GET /running.
io::Task<void> swap_running(Service& service, Exchange& x, ModelId) {
  std::vector<llama_swap::Running> models;
  for (const ModelView& view : service.host.context().models(Clock::now())) {
    llama_swap::Running running;
    running.model = view.id;
    running.state = view.residency;
    if (const ModelSpec* const spec = service.catalog.find(view.id)) {
      running.command = fmt::format("{}", fmt::join(spec->command.argv, " "));
      running.ttl = spec->ttl;
    }
    models.push_back(std::move(running));
  }
  co_await x.json(200, llama_swap::running_json(models));
}

// GET /unload and POST /api/models/unload: all models leave, as with POST /v1/models/{id}/unload.
io::Task<void> swap_unload_all(Service& service, Exchange& x, ModelId) {
  const TimePoint deadline = x.arrived + service.config.unload_timeout;
  std::list<Waiting> calls;  // a list, so that none of them moves
  for (const ModelView& model : service.host.context().models(Clock::now())) {
    if (!model.engine) continue;
    calls.emplace_back(service.loop);
    service.host.unload(model.id, /*force=*/false, deadline, calls.back().callback());
  }
  std::optional<Error> failed;
  for (Waiting& call : calls) {
    // Waits even if the client has gone: the calls write their answers into this coroutine.
    while (!call.answer) co_await call.woken.wait();
    if (!*call.answer) failed = call.answer->error();
  }
  if (failed) co_return co_await x.error(*failed);
  if (x.request.method == "POST") co_return co_await x.json(200, llama_swap::unloaded_json());
  co_await x.respond(200, "text/plain; charset=utf-8", "OK");
}

// POST /api/models/unload/{id}.
io::Task<void> swap_unload(Service& service, Exchange& x, ModelId id) {
  Result<ModelId> model = co_await service.resolve(std::move(id));
  if (!model) co_return co_await x.error(model.error());
  x.model = *std::move(model);
  const Result<Done> done = co_await unload_and_wait(service, x, x.model);
  if (!done) co_return co_await x.error(done.error());
  co_await x.respond(200, "text/plain; charset=utf-8", "OK");
}

// GET /logs: the newest lines of all engines.
io::Task<void> swap_logs(Service& service, Exchange& x, ModelId) {
  if (const auto refused = refuse_among_several(service.config, x.caller, "see the logs of all"))
    co_return co_await x.error(*refused);
  co_await x.respond(200, "text/plain; charset=utf-8", log_text(all_logs(service), kTail));
}

// GET /logs/stream: the newest lines, and then each new line, of the models that exist now. /logs/stream/{id}: of one
// model.
io::Task<void> swap_follow_logs(Service& service, Exchange& x, ModelId id) {
  if (const auto refused = refuse_among_several(service.config, x.caller, "see the logs of all"))
    co_return co_await x.error(*refused);
  NamedLogs logs;
  // "proxy" and "upstream": llama-swap's names for its own log and for the log of all engines.
  if (id.empty() || ((id == "proxy" || id == "upstream") && service.catalog.find(id) == nullptr)) {
    logs = all_logs(service);
  } else {
    Result<ModelId> model = co_await service.resolve(std::move(id));
    if (!model) co_return co_await x.error(model.error());
    x.model = *std::move(model);
    logs.emplace_back("", service.host.log(x.model));
  }
  co_await follow_logs(service, x, logs, x.raw_query.starts_with("no-history") ? 0 : kTail);
}

}  // namespace

void add_llama_swap_routes(std::vector<Route>& table) {
  const auto add = [&](std::string_view method, std::string_view path, std::string_view meaning,
                       Route::Handler handle) {
    table.push_back({.method = method, .path = path, .meaning = meaning, .handle = handle});
  };
  add("GET", "/running", "llama-swap: models in memory", swap_running);
  add("POST", "/api/models/unload", "llama-swap: unload all models", swap_unload_all);
  add("POST", "/api/models/unload/{id}", "llama-swap: unload a model", swap_unload);
  add("GET", "/unload", "llama-swap: unload all models", swap_unload_all);
  table.back().acts = true;
  add("GET", "/logs", "llama-swap: what engines printed last", swap_logs);
  add("GET", "/logs/stream", "llama-swap: what engines print", swap_follow_logs);
  add("GET", "/logs/stream/{id}", "llama-swap: what a model's engine prints", swap_follow_logs);
}

}  // namespace minerva
