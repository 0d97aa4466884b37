#include "server/llama_swap_routes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <list>

#include "llama_swap/answers.h"
#include "server/engine_logs.h"
#include "server/life_cycle.h"
#include "server/waiting.h"

namespace minerva {
namespace {

constexpr std::size_t kTail = 200;  // lines of each model

NamedLogs all_logs(const Service& service) {
  NamedLogs logs;
  for (const ModelSpec* spec : service.catalog.list()) {
    logs.emplace_back(fmt::format("[{}] ", spec->id), service.host.log(spec->id));
  }
  return logs;
}

}  // namespace

io::Task<void> swap_running(Service& service, Exchange& x, ModelId) {
  std::vector<llama_swap::Running> models;
  for (const ModelView& view : service.host.context().models(Clock::now())) {
    llama_swap::Running running{.model = view.id, .state = view.residency};
    if (const ModelSpec* const spec = service.catalog.find(view.id)) {
      running.command = fmt::format("{}", fmt::join(spec->command.argv, " "));
      running.ttl = spec->ttl;
    }
    models.push_back(std::move(running));
  }
  co_await x.json(200, llama_swap::running_json(models));
}

io::Task<void> swap_unload_all(Service& service, Exchange& x, ModelId) {
  const TimePoint deadline = x.arrived + service.config.unload_timeout;
  std::list<Waiting> calls;  // each stays where it is
  for (const ModelView& model : service.host.context().models(Clock::now())) {
    if (!model.engine) continue;
    calls.emplace_back(service.loop);
    service.host.unload(model.id, /*force=*/false, deadline, calls.back().callback());
  }
  std::optional<Error> failed;
  for (Waiting& call : calls) {
    // Also where the client has gone: the calls answer into this coroutine.
    while (!call.answer) co_await call.woken.wait();
    if (!*call.answer) failed = call.answer->error();
  }
  if (failed) co_return co_await x.error(*failed);
  if (x.request.method == "POST") co_return co_await x.json(200, llama_swap::unloaded_json());
  co_await x.respond(200, "text/plain; charset=utf-8", "OK");
}

io::Task<void> swap_unload(Service& service, Exchange& x, ModelId id) {
  Result<ModelId> model = co_await service.resolve(std::move(id));
  if (!model) co_return co_await x.error(model.error());
  x.model = *std::move(model);
  const Result<Done> done = co_await unload_and_wait(service, x, x.model);
  if (!done) co_return co_await x.error(done.error());
  co_await x.respond(200, "text/plain; charset=utf-8", "OK");
}

io::Task<void> swap_logs(Service& service, Exchange& x, ModelId) {
  co_await x.respond(200, "text/plain; charset=utf-8", log_text(all_logs(service), kTail));
}

io::Task<void> swap_follow_logs(Service& service, Exchange& x, ModelId id) {
  NamedLogs logs;
  // What llama-swap calls its own log and all engines' log.
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

}  // namespace minerva
