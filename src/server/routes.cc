#include "server/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "server/life_cycle.h"
#include "server/metrics.h"
#include "server/proxy.h"

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

std::vector<Route> make_routes() {
  std::vector<Route> table = {
      {"GET", "/health", false, "the process is alive"},
      {"GET", "/ready", false, "it can serve; 503 while draining"},
      {"GET", "/metrics", false, "Prometheus metrics"},
      {"GET", "/v1/models", false, "the catalog"},
      {"GET", "/v1/models/stats", false, "cache statistics and memory"},
      {"GET", "/v1/models/{id}", false, "one model"},
      {"GET", "/v1/models/{id}/logs", false, "its engine's log"},
      {"POST", "/v1/models/{id}/load", true, "load it"},
      {"POST", "/v1/models/{id}/preload", true, "load it without counting that as use"},
      {"POST", "/v1/models/{id}/pin", true, "never evict it"},
      {"POST", "/v1/models/{id}/unpin", true, "it may be evicted again"},
      {"POST", "/v1/models/{id}/unload", true, "unload it"},
      {"DELETE", "/v1/models/{id}", true, "unload it"},
  };
  for (const std::string_view path : kPostInference) table.push_back({"POST", path, true, "inference"});
  for (const std::string_view path : kGetInference) table.push_back({"GET", path, false, "inference: ?model="});
  return table;
}

// The host of "name:port", "[::1]:port" or "name".
std::string_view host_name(std::string_view authority) {
  if (authority.starts_with('[')) return authority.substr(0, std::min(authority.find(']') + 1, authority.size()));
  return authority.substr(0, authority.find(':'));
}

bool host_allowed(const Config& config, std::string_view authority) {
  const std::string name(host_name(authority));
  if (name.empty()) return false;
  const std::string bare = name.front() == '[' ? name.substr(1, name.size() - 2) : name;
  if (io::equal_ignoring_case(bare, "localhost")) return true;
  if (io::Address{bare, 0, ""}.is_loopback()) return true;
  return std::any_of(config.allowed_hosts.begin(), config.allowed_hosts.end(),
                     [&](const std::string& allowed) { return io::equal_ignoring_case(allowed, bare); });
}

// A page of another origin must not reach the server through its visitor's browser, and a name that somebody rebinds to
// this address must not either. Programs send no Origin.
std::optional<Error> refuse_foreign(const Config& config, const io::RequestHead& request) {
  if (request.headers.count("host") != 1) {
    return Error{ErrorCode::kInvalidArgument, "The request needs exactly one Host header."};
  }
  const std::string& host = *request.headers.find("host");
  if (!host_allowed(config, host)) {
    return Error{ErrorCode::kForbidden,
                 "The Host header names a host this server does not answer for. Use localhost, or add the name to "
                 "limits.allowed_hosts."};
  }
  const std::string* origin = request.headers.find("origin");
  if (origin == nullptr) return std::nullopt;
  const std::size_t scheme = origin->find("://");
  const bool same =
      scheme != std::string::npos && io::equal_ignoring_case(std::string_view(*origin).substr(scheme + 3), host);
  if (same) return std::nullopt;
  return Error{ErrorCode::kForbidden, "Pages of another origin may not use this server."};
}

// Calls the handler of a path below /v1/models/. false: no such route for this method.
io::Task<bool> dispatch_model(Service& service, Exchange& x, api::ModelPath path) {
  const std::string& method = x.request.method;
  const std::string_view action = path.action;
  if (method == "GET" && action.empty()) {
    co_await show_model(service, x, path.id);
  } else if (method == "GET" && action == "logs") {
    co_await model_logs(service, x, path.id);
  } else if (method == "POST" && (action == "load" || action == "preload")) {
    co_await load_model(service, x, path.id, action == "preload");
  } else if (method == "POST" && (action == "pin" || action == "unpin")) {
    co_await pin_model(service, x, path.id, action == "pin");
  } else if ((method == "POST" && action == "unload") || (method == "DELETE" && action.empty())) {
    co_await unload_model(service, x, path.id);
  } else {
    co_return false;
  }
  co_return true;
}

template <std::size_t n>
bool contains(const std::array<std::string_view, n>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

}  // namespace

const std::vector<Route>& routes() {
  static const std::vector<Route> table = make_routes();
  return table;
}

io::Task<void> dispatch(Service& service, Exchange& x) {
  if (const auto refused = refuse_foreign(service.config, x.request)) co_return co_await x.error(*refused);
  const bool get = x.request.method == "GET" || x.request.method == "HEAD";
  const bool post = x.request.method == "POST";
  const std::string& path = x.path;
  if (get && path == "/health") co_return co_await x.json(200, R"({"status":"ok"})");
  if (get && path == "/ready") {
    if (!service.draining) co_return co_await x.json(200, R"({"status":"ready"})");
    co_return co_await x.error({ErrorCode::kDraining, "The server is shutting down.", "", 5});
  }
  if (get && path == "/metrics") {
    co_return co_await x.respond(200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(service));
  }
  if (get && path == "/v1/models") co_return co_await list_models(service, x);
  if (get && path == "/v1/models/stats") co_return co_await show_stats(service, x);
  if ((post && contains(kPostInference, path)) || (get && contains(kGetInference, path))) {
    co_return co_await proxy(service, x);
  }
  if (const auto model_path = api::parse_model_path(path); !model_path) {
    co_return co_await x.error(model_path.error());
  } else if (*model_path && co_await dispatch_model(service, x, **model_path)) {
    co_return;
  } else if (*model_path && (*model_path)->action != "park") {
    co_return co_await x.error(
        {ErrorCode::kMethodNotAllowed, fmt::format("{} is not allowed for {}.", x.request.method.substr(0, 20), path)});
  }
  const bool known =
      std::any_of(routes().begin(), routes().end(), [&](const Route& route) { return route.path == path; });
  if (known) {
    co_return co_await x.error(
        {ErrorCode::kMethodNotAllowed, fmt::format("{} is not allowed for {}.", x.request.method.substr(0, 20), path)});
  }
  co_await x.error({ErrorCode::kRouteNotFound, fmt::format("There is no route {}.", path.substr(0, 200))});
}

}  // namespace minerva
