#include "server/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "server/access.h"
#include "server/decisions.h"
#include "server/events.h"
#include "server/life_cycle.h"
#include "server/metrics.h"
#include "server/ollama_routes.h"
#include "server/proxy.h"
#include "server/show_config.h"

namespace minerva {
namespace {

// What llama.cpp's server offers and is routed by the request's model. Not routed: /v1/stream*, /tools, /cors-proxy and
// /slots/{id}, whose effects are Minerva's own.
constexpr std::array<std::string_view, 17> kPostInference = {"/v1/chat/completions",
                                                             "/v1/completions",
                                                             "/v1/embeddings",
                                                             "/v1/rerank",
                                                             "/v1/responses",
                                                             "/v1/messages",
                                                             "/v1/messages/count_tokens",
                                                             "/v1/chat/completions/input_tokens",
                                                             "/v1/responses/input_tokens",
                                                             "/v1/audio/transcriptions",
                                                             "/infill",
                                                             "/tokenize",
                                                             "/detokenize",
                                                             "/apply-template",
                                                             "/completion",
                                                             "/props",
                                                             "/lora-adapters"};
constexpr std::array<std::string_view, 3> kGetInference = {"/props", "/slots", "/lora-adapters"};

constexpr std::string_view kModelPath = "/v1/models/{id}";

io::Task<void> health(Service&, Exchange& x, ModelId) { co_await x.json(200, R"({"status":"ok"})"); }

io::Task<void> ready(Service& service, Exchange& x, ModelId) {
  if (!service.draining) co_return co_await x.json(200, R"({"status":"ready"})");
  co_await x.error({ErrorCode::kDraining, "The server is shutting down.", "", 5});
}

io::Task<void> metrics(Service& service, Exchange& x, ModelId) {
  co_await x.respond(200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(service));
}

io::Task<void> infer(Service& service, Exchange& x, ModelId) { return proxy(service, x); }

std::vector<Route> make_routes() {
  std::vector<Route> table = {
      {"GET", "/health", "the process is alive", health, /*open=*/true},
      {"GET", "/ready", "it can serve; 503 while draining", ready},
      {"GET", "/metrics", "Prometheus metrics", metrics},
      {"GET", "/v1/models", "the catalog", [](Service& s, Exchange& x, ModelId) { return list_models(s, x); }},
      {"GET", "/v1/models/stats", "cache statistics and memory",
       [](Service& s, Exchange& x, ModelId) { return show_stats(s, x); }},
      {"GET", "/v1/decisions", "why things are as they are",
       [](Service& s, Exchange& x, ModelId) { return show_decisions(s, x); }},
      {"GET", "/v1/config", "what it runs with, without secrets",
       [](Service& s, Exchange& x, ModelId) { return show_config(s, x); }},
      {"POST", "/v1/cache/clear", "forget statistics, history, images or metadata",
       [](Service& s, Exchange& x, ModelId) { return clear_cache(s, x); }},
      {"GET", "/v1/events", "what happens, as it happens",
       [](Service& s, Exchange& x, ModelId) { return show_events(s, x); }},
      {"GET", kModelPath, "one model", show_model},
      {"GET", "/v1/models/{id}/logs", "its engine's log", model_logs},
      {"POST", "/v1/models/{id}/load", "load it",
       [](Service& s, Exchange& x, ModelId id) { return load_model(s, x, std::move(id), /*preload=*/false); }},
      {"POST", "/v1/models/{id}/preload", "load it without counting that as use",
       [](Service& s, Exchange& x, ModelId id) { return load_model(s, x, std::move(id), /*preload=*/true); }},
      {"POST", "/v1/models/{id}/park", "out of memory, with its conversations on disk", park_model},
      {"POST", "/v1/models/{id}/pin", "never evict it",
       [](Service& s, Exchange& x, ModelId id) { return pin_model(s, x, std::move(id), /*pinned=*/true); }},
      {"POST", "/v1/models/{id}/unpin", "it may be evicted again",
       [](Service& s, Exchange& x, ModelId id) { return pin_model(s, x, std::move(id), /*pinned=*/false); }},
      {"POST", "/v1/models/{id}/unload", "unload it", unload_model},
      {"DELETE", kModelPath, "unload it", unload_model},
  };
  for (const std::string_view path : kPostInference) table.push_back({"POST", path, "inference", infer});
  for (Route& route : table) {
    route.takes_form = route.path == "/v1/audio/transcriptions";
    if (route.path.starts_with("/v1/messages")) route.dialect = api::Dialect::kAnthropic;
  }
  for (const std::string_view path : kGetInference) table.push_back({"GET", path, "inference: ?model=", infer});
  for (const Route& route : ollama_routes()) table.push_back(route);
  return table;
}

// The routes of a path, by method; nothing if there is none.
const std::map<std::string_view, const Route*>* methods_of(std::string_view path) {
  static const auto table = [] {
    std::map<std::string_view, std::map<std::string_view, const Route*>> by_path;
    for (const Route& route : routes()) by_path[route.path][route.method] = &route;
    return by_path;
  }();
  const auto found = table.find(path);
  return found == table.end() ? nullptr : &found->second;
}

// Sets `id` to the path's. Errors: kInvalidArgument, kRouteNotFound, kMethodNotAllowed.
Result<const Route*> find_route(const Exchange& x, ModelId& id) {
  const auto* methods = methods_of(ollama_pattern(x.path));
  if (methods == nullptr) {
    const auto model_path = api::parse_model_path(x.path);
    if (!model_path) return fail(model_path.error());
    if (*model_path) {
      id = (*model_path)->id;
      std::string pattern(kModelPath);
      if (!(*model_path)->action.empty()) pattern += fmt::format("/{}", (*model_path)->action);
      methods = methods_of(pattern);
    }
  }
  if (methods == nullptr) {
    return fail(ErrorCode::kRouteNotFound, fmt::format("There is no route {}.", x.path.substr(0, 200)));
  }
  const auto found = methods->find(x.request.method == "HEAD" ? "GET" : std::string_view(x.request.method));
  if (found != methods->end()) return found->second;
  return fail(ErrorCode::kMethodNotAllowed,
              fmt::format("{} is not allowed for {}.", x.request.method.substr(0, 20), x.path));
}

}  // namespace

const std::vector<Route>& routes() {
  static const std::vector<Route> table = make_routes();
  return table;
}

io::Task<void> dispatch(Service& service, Exchange& x) {
  ModelId id;
  const Result<const Route*> route = find_route(x, id);
  if (route) {
    x.dialect = (*route)->dialect;
  } else if (x.path.starts_with("/api/")) {
    x.dialect = api::Dialect::kOllama;
  }
  if (const auto refused = refuse_foreign(service.config, x.request)) co_return co_await x.error(*refused);
  // Without a key nobody learns which routes there are.
  if (!route || !(*route)->open) {
    const Result<Caller> caller = identify(service.config, x.request);
    if (!caller) co_return co_await x.error(caller.error());
    x.caller = *caller;
  }
  if (!route) co_return co_await x.error(route.error());
  Result<api::Query> query = api::Query::parse(x.raw_query);
  if (!query) co_return co_await x.error(query.error());
  x.query = *std::move(query);
  if (const auto refused = refuse_form(x.request, (*route)->takes_form)) co_return co_await x.error(*refused);
  co_await (*route)->handle(service, x, std::move(id));
}

}  // namespace minerva
