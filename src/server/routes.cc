#include "server/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <utility>

#include "server/access.h"
#include "server/activity_routes.h"
#include "server/decisions.h"
#include "server/events.h"
#include "server/kept_conversations.h"
#include "server/life_cycle.h"
#include "server/llama_swap_routes.h"
#include "server/metrics.h"
#include "server/ollama_routes.h"
#include "server/page.h"
#include "server/proxy.h"
#include "server/pull_routes.h"
#include "server/removal.h"
#include "server/router_routes.h"
#include "server/sessions.h"
#include "server/show_config.h"
#include "server/show_devices.h"
#include "server/upstream.h"

namespace minerva {
namespace {

struct InferenceRoute {
  std::string_view path;
  Takes takes;
  std::string_view same_as = {};
  std::string_view engine_path = {};  // the engine's path, if it differs
};

// The routes of llama.cpp's server that are routed by the request's model, under all their names: each answers in the
// shape that it has there. Below /v/ are the names that clients of llama-swap use: the engine gets the rest of the
// path. Not routed are /v1/stream*, /tools, /cors-proxy and /slots/{id}, whose effects belong to Minerva. The engine's
// translation of Anthropic's messages drops what asks for several answers.
constexpr InferenceRoute kPostInference[] = {
    {"/v1/chat/completions", Takes::kSlots},
    {"/chat/completions", Takes::kSlots, "/v1/chat/completions"},
    {"/v/chat/completions", Takes::kSlots, "/v1/chat/completions", "/chat/completions"},
    {"/v1/chat/completions/input_tokens", Takes::kNoSlot},
    {"/chat/completions/input_tokens", Takes::kNoSlot, "/v1/chat/completions/input_tokens"},
    {"/v1/completions", Takes::kSlots},
    {"/completion", Takes::kSlots},
    {"/completions", Takes::kSlots, "/completion"},
    {"/v/completions", Takes::kSlots, "/completion", "/completions"},
    {"/v1/embeddings", Takes::kOneSlot},
    {"/embeddings", Takes::kOneSlot},
    {"/embedding", Takes::kOneSlot, "/embeddings"},
    {"/v/embeddings", Takes::kOneSlot, "/embeddings", "/embeddings"},
    {"/v1/rerank", Takes::kOneSlot},
    {"/v1/reranking", Takes::kOneSlot, "/v1/rerank"},
    {"/rerank", Takes::kOneSlot, "/v1/rerank"},
    {"/reranking", Takes::kOneSlot, "/v1/rerank"},
    {"/v/rerank", Takes::kOneSlot, "/v1/rerank", "/rerank"},
    {"/v/reranking", Takes::kOneSlot, "/v1/rerank", "/reranking"},
    {"/v1/responses", Takes::kSlots},
    {"/responses", Takes::kSlots, "/v1/responses"},
    {"/v/responses", Takes::kSlots, "/v1/responses", "/responses"},
    {"/v1/responses/input_tokens", Takes::kNoSlot},
    {"/responses/input_tokens", Takes::kNoSlot, "/v1/responses/input_tokens"},
    {"/v1/messages", Takes::kOneSlot},
    {"/messages", Takes::kOneSlot, "/v1/messages", "/v1/messages"},
    {"/v/messages", Takes::kOneSlot, "/v1/messages", "/v1/messages"},
    {"/v1/messages/count_tokens", Takes::kNoSlot},
    {"/messages/count_tokens", Takes::kNoSlot, "/v1/messages/count_tokens", "/v1/messages/count_tokens"},
    {"/v/messages/count_tokens", Takes::kNoSlot, "/v1/messages/count_tokens", "/v1/messages/count_tokens"},
    {"/v1/audio/transcriptions", Takes::kOneSlot},
    {"/audio/transcriptions", Takes::kOneSlot, "/v1/audio/transcriptions"},
    {"/infill", Takes::kSlots},
    {"/tokenize", Takes::kNoSlot},
    {"/detokenize", Takes::kNoSlot},
    {"/apply-template", Takes::kNoSlot},
    {"/lora-adapters", Takes::kNoSlot},
};
constexpr std::string_view kGetLooks[] = {"/props", "/slots", "/lora-adapters"};
// The routes among them that take files.
constexpr std::string_view kForms[] = {"/v1/audio/transcriptions", "/audio/transcriptions", "/v1/audio/translations",
                                       "/v1/images/edits",         "/v1/images/variations", "/v1/videos"};
// Routes that llama.cpp's server does not have, but command engines may.
constexpr std::string_view kPostCommand[] = {
    "/v1/audio/speech", "/v1/audio/translations", "/v1/audio/voices", "/v1/images/generations",
    "/v1/images/edits", "/v1/images/variations",  "/v1/videos",       "/sdapi/v1/{path}"};
constexpr std::string_view kGetCommand[] = {"/v1/audio/voices", "/sdapi/v1/{path}"};

constexpr std::string_view kId = "{id}";
constexpr std::string_view kPath = "{path}";
constexpr std::string_view kChat = "/chat";

// For a route that nobody knows here.
Takes takes_unless_known(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "DELETE" ? Takes::kNoSlot : Takes::kOneSlot;
}

io::Task<void> health(Service&, Exchange& x, ModelId) { co_await x.json(200, R"({"status":"ok"})"); }

io::Task<void> ready(Service& service, Exchange& x, ModelId) {
  if (!service.draining) co_return co_await x.json(200, R"({"status":"ready"})");
  co_await x.error({ErrorCode::kDraining, "The server is shutting down.", "", 5});
}

io::Task<void> metrics(Service& service, Exchange& x, ModelId) {
  if (x.query.find("model") != nullptr) co_return co_await proxy(service, x);
  const bool of_everybody = service.config.accepted_keys.users().size() <= 1 || is_admin(service.config, x.caller);
  co_await x.respond(200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(service, of_everybody));
}

io::Task<void> infer(Service& service, Exchange& x, ModelId) { return proxy(service, x); }

io::Task<void> upstream(Service& service, Exchange& x, ModelId) { return talk_to_engine(service, x); }

io::Task<void> refuse_props(Service&, Exchange& x, ModelId) {
  co_await x.error({ErrorCode::kNotSupported,
                    "An engine's settings are the config's: set them in [model.NAME] of the config file."});
}

void add_inference(std::vector<Route>& table) {
  const std::size_t first = table.size();
  for (const InferenceRoute& row : kPostInference) {
    table.push_back({.method = "POST",
                     .path = row.path,
                     .meaning = "inference",
                     .handle = infer,
                     .same_as = row.same_as,
                     .engine_path = row.engine_path,
                     .reach = Reach::kUse,
                     .takes = row.takes});
  }
  for (const std::string_view path : kGetLooks) {
    table.push_back({.method = "GET",
                     .path = path,
                     .meaning = "a look at a hot engine: ?model=",
                     .handle = path == "/props" ? router_props : infer,
                     .reach = Reach::kLook});
  }
  table.push_back({.method = "POST",
                   .path = "/v1/chat/completions/control",
                   .meaning = "control of an answer under way",
                   .handle = infer,
                   .reach = Reach::kLook});
  table.push_back({"POST", "/props", "refused: the config has an engine's settings", refuse_props});
  const auto add_command = [&](std::string_view method, std::string_view path) {
    table.push_back({.method = method,
                     .path = path,
                     .meaning = "inference by an engine of the operator's own",
                     .handle = infer,
                     .reach = Reach::kCommand,
                     .takes = takes_unless_known(method)});
  };
  for (const std::string_view path : kPostCommand) add_command("POST", path);
  for (const std::string_view path : kGetCommand) add_command("GET", path);
  for (const std::string_view method : {"GET", "POST", "PUT", "PATCH", "DELETE"}) {
    table.push_back({.method = method,
                     .path = "/upstream/{id}/{path}",
                     .meaning = "an engine by itself",
                     .handle = upstream,
                     .reach = Reach::kEngine});
  }
  for (std::size_t i = first; i < table.size(); ++i) {
    Route& route = table[i];
    const bool has_body = route.method != "GET" && route.method != "DELETE";
    route.takes_form = (route.reach == Reach::kEngine && has_body) ||
                       std::find(std::begin(kForms), std::end(kForms), route.path) != std::end(kForms);
    const std::string_view contract = route.same_as.empty() ? route.path : route.same_as;
    if (contract.starts_with("/v1/messages")) route.dialect = api::Dialect::kAnthropic;
  }
}

std::vector<Route> make_routes() {
  std::vector<Route> table = {
      {"GET", "/health", "the process is alive", health, /*open=*/true},
      {.method = "GET",
       .path = "/v1/health",
       .meaning = "the process is alive",
       .handle = health,
       .open = true,
       .same_as = "/health"},
      {"GET", "/ready", "it can serve; 503 while draining", ready},
      {.method = "GET",
       .path = "/metrics",
       .meaning = "Prometheus metrics; an engine's own with ?model=",
       .handle = metrics,
       .reach = Reach::kLook},
      {"GET", "/v1/models", "the catalog", [](Service& s, Exchange& x, ModelId) { return list_models(s, x); }},
      {.method = "GET",
       .path = "/models",
       .meaning = "the catalog",
       .handle = [](Service& s, Exchange& x, ModelId) { return list_models(s, x); },
       .same_as = "/v1/models"},
      {"GET", "/v1/models/stats", "cache statistics and memory",
       [](Service& s, Exchange& x, ModelId) { return show_stats(s, x); }},
      {"GET", "/v1/decisions", "why things are as they are",
       [](Service& s, Exchange& x, ModelId) { return show_decisions(s, x); }},
      {"GET", "/v1/config", "what it runs with, without secrets",
       [](Service& s, Exchange& x, ModelId) { return show_config(s, x); }},
      {"GET", "/v1/devices", "the devices (GPUs) that engines see",
       [](Service& s, Exchange& x, ModelId) { return show_devices(s, x); }},
      {"POST", "/v1/cache/clear", "forget statistics, history, images or metadata",
       [](Service& s, Exchange& x, ModelId) { return clear_cache(s, x); }},
      {"GET", "/v1/events", "what happens, as it happens",
       [](Service& s, Exchange& x, ModelId) { return show_events(s, x); }},
      {"GET", "/v1/models/{id}", "one model", show_model},
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
      {"DELETE", "/v1/models/{id}", "unload it", unload_model},
  };
  add_inference(table);
  add_pull_routes(table);
  add_activity_routes(table);
  add_conversation_routes(table);
  add_removal_routes(table);
  add_router_routes(table);
  add_llama_swap_routes(table);
  add_ollama_routes(table);
  add_session_routes(table);
  add_page_routes(table);
  return table;
}

using Methods = std::map<std::string_view, const Route*>;

// Routes whose paths begin alike, up to their "{id}" or "{path}".
struct Family {
  std::map<std::string_view, Methods> by_action;  // routes "{id}" and "{id}/action", by the action
  std::vector<std::string_view> actions;
  Methods any;  // the route that ends in "{path}"
};

struct RouteIndex {
  std::map<std::string_view, Methods> by_path;
  std::map<std::string_view, Family> families;  // by the beginning of their paths

  RouteIndex() {
    for (const Route& route : routes()) {
      const std::size_t id = route.path.find(kId);
      if (route.path.ends_with(kPath)) {
        families[route.path.substr(0, route.path.find('{'))].any[route.method] = &route;
      } else if (id == std::string_view::npos) {
        by_path[route.path][route.method] = &route;
      } else {
        Family& family = families[route.path.substr(0, id)];
        const std::string_view rest = route.path.substr(id + kId.size());
        const std::string_view action = rest.substr(std::min<std::size_t>(1, rest.size()));
        if (!action.empty() && !family.by_action.contains(action)) family.actions.push_back(action);
        family.by_action[action][route.method] = &route;
      }
    }
  }
};

// The meaning of a path. `methods`: nullptr if there is no such route.
struct Target {
  const Methods* methods = nullptr;
  bool below_chat = false;  // it is below /chat/, and no route has that path
  ModelId id;
  std::string normalized;
};

// Errors: kInvalidArgument for what cannot be the id of a model.
Result<Target> find_target(std::string_view path) {
  static const RouteIndex index;
  Target target;
  target.normalized = api::normalized_path(path);
  for (const std::string_view exact : {path, std::string_view(target.normalized)}) {
    const auto found = index.by_path.find(exact);
    if (found == index.by_path.end()) continue;
    target.methods = &found->second;
    return target;
  }
  // In reverse order: a longer beginning sorts behind a shorter one, and is tried first.
  for (auto family = index.families.rbegin(); family != index.families.rend(); ++family) {
    if (!path.starts_with(family->first)) continue;
    target.methods = family->second.any.empty() ? nullptr : &family->second.any;
    target.below_chat = family->first == "/chat/";
    if (family->second.by_action.empty()) return target;
    Result<api::ModelPath> named = api::parse_model_path(path.substr(family->first.size()), family->second.actions);
    if (!named) return fail(named.error());
    target.id = std::move(named->id);
    const auto action = family->second.by_action.find(named->action);
    if (action != family->second.by_action.end()) target.methods = &action->second;
    return target;
  }
  return target;
}

// "GET, HEAD, POST".
std::string allow_field(const Methods& methods) {
  std::string text;
  for (const auto& [method, route] : methods) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", method);
    if (method == "GET") text += ", HEAD";
  }
  return text;
}

// Errors: kRouteNotFound, kMethodNotAllowed.
Result<const Route*> find_route(const Exchange& x, const Target& target) {
  if (target.methods == nullptr) {
    return fail(ErrorCode::kRouteNotFound, fmt::format("There is no route {}.", x.path.substr(0, 200)));
  }
  const auto found = target.methods->find(x.request.method == "HEAD" ? "GET" : std::string_view(x.request.method));
  if (found != target.methods->end()) return found->second;
  return fail(ErrorCode::kMethodNotAllowed,
              fmt::format("{} is not allowed for {}; it takes {}.", x.request.method.substr(0, 20), x.path,
                          allow_field(*target.methods)));
}

ForBrowsers what_browsers_may(const Route& route) {
  const bool loads = route.reach != Reach::kNone && route.reach != Reach::kLook;
  return {.acts = route.acts, .linkable = route.method == "GET" && !route.acts && !loads};
}

io::Task<void> grant(Exchange& x, io::Headers headers) {
  io::ResponseHead head;
  head.status = x.status = 204;
  head.headers = std::move(headers);
  head.headers.add("x-request-id", x.request_id);
  co_await x.connection.respond(std::move(head), {});
}

}  // namespace

const std::vector<Route>& routes() {
  static const std::vector<Route> table = make_routes();
  return table;
}

Takes takes_of(std::string_view method, std::string_view engine_path) {
  using MethodAndPath = std::pair<std::string_view, std::string_view>;  // method, path of the engine
  static const std::map<MethodAndPath, Takes> known = [] {
    std::map<MethodAndPath, Takes> rows;
    for (const Route& route : routes()) {
      if (route.reach == Reach::kNone || route.reach == Reach::kEngine) continue;
      rows.emplace(MethodAndPath{route.method, route.engine_path.empty() ? route.path : route.engine_path},
                   route.takes);
    }
    return rows;
  }();
  const auto found = known.find({method, engine_path});
  return found == known.end() ? takes_unless_known(method) : found->second;
}

io::Task<void> dispatch(Service& service, Exchange& x) {
  Result<Target> target = find_target(x.path);
  // A path below /chat/ that is no file of the web UI is a request that the UI makes to its server.
  if (target && target->below_chat && !service.web_ui.has(x.path)) {
    x.path.erase(0, kChat.size());
    target = find_target(x.path);
  }
  const Result<const Route*> route = target ? find_route(x, *target) : Result<const Route*>(fail(target.error()));
  if (route) {
    x.route = *route;
    x.dialect = x.route->dialect;
  } else if (x.path.starts_with("/api/")) {
    x.dialect = api::Dialect::kOllama;
  } else if (x.path.starts_with("/v1/messages") || x.path.starts_with("/messages")) {
    x.dialect = api::Dialect::kAnthropic;
  }
  const ForBrowsers for_browsers = x.route == nullptr ? ForBrowsers{} : what_browsers_may(*x.route);
  if (const auto refused = refuse_foreign(service.config, x.request, for_browsers)) {
    co_return co_await x.error(*refused);
  }
  for (const io::HeaderField& field : cors_headers(service.config, x.request)) {
    x.connection.add_to_answer(field.name, field.value);
  }
  if (is_preflight(service.config, x.request)) co_return co_await grant(x, preflight_headers(x.request));
  // Without a key nobody learns which routes exist.
  if (!route || !x.route->open) {
    // The cookie of the page counts for requests of the page itself. It also counts for looks without an Origin, which
    // a browser sends when somebody follows a link.
    const bool looks = for_browsers.linkable && x.request.headers.find("origin") == nullptr;
    const bool may_use_session = looks || is_own_page(x.request);
    const auto session = may_use_session ? session_user(service.sessions, x.request, Clock::now()) : std::nullopt;
    const Result<Caller> caller = identify(service.config, x.request, session);
    if (!caller) co_return co_await x.error(caller.error());
    x.caller = *caller;
    const std::string peer = x.connection.peer_name();
    const auto number = static_cast<std::uint32_t>(service.key_numbers.size() + 1);
    x.caller_name = caller_name(service.config, x.caller,
                                service.key_numbers.try_emplace(x.caller.user, number).first->second, peer);
    if (service.config.accepted_keys.empty()) x.caller.user = peer_user(peer);
  }
  if (!route) {
    if (target && target->methods != nullptr) x.connection.add_to_answer("Allow", allow_field(*target->methods));
    co_return co_await x.error(route.error());
  }
  Result<api::Query> query = api::Query::parse(x.raw_query);
  if (!query) co_return co_await x.error(query.error());
  x.query = *std::move(query);
  if (const auto refused = refuse_form(x.request, x.route->takes_form)) co_return co_await x.error(*refused);
  if (!x.route->engine_path.empty()) {
    x.path = x.route->engine_path;
  } else if (!x.route->path.ends_with(kPath)) {
    x.path = std::move(target->normalized);
  }
  co_await x.route->handle(service, x, std::move(target->id));
}

}  // namespace minerva
