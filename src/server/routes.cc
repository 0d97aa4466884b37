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
      {"GET", "/health", "the process is alive", health},
      {"GET", "/ready", "it can serve; 503 while draining", ready},
      {"GET", "/metrics", "Prometheus metrics", metrics},
      {"GET", "/v1/models", "the catalog", [](Service& s, Exchange& x, ModelId) { return list_models(s, x); }},
      {"GET", "/v1/models/stats", "cache statistics and memory",
       [](Service& s, Exchange& x, ModelId) { return show_stats(s, x); }},
      {"GET", kModelPath, "one model", show_model},
      {"GET", "/v1/models/{id}/logs", "its engine's log", model_logs},
      {"POST", "/v1/models/{id}/load", "load it",
       [](Service& s, Exchange& x, ModelId id) { return load_model(s, x, std::move(id), /*preload=*/false); }},
      {"POST", "/v1/models/{id}/preload", "load it without counting that as use",
       [](Service& s, Exchange& x, ModelId id) { return load_model(s, x, std::move(id), /*preload=*/true); }},
      {"POST", "/v1/models/{id}/pin", "never evict it",
       [](Service& s, Exchange& x, ModelId id) { return pin_model(s, x, std::move(id), /*pinned=*/true); }},
      {"POST", "/v1/models/{id}/unpin", "it may be evicted again",
       [](Service& s, Exchange& x, ModelId id) { return pin_model(s, x, std::move(id), /*pinned=*/false); }},
      {"POST", "/v1/models/{id}/unload", "unload it", unload_model},
      {"DELETE", kModelPath, "unload it", unload_model},
  };
  for (const std::string_view path : kPostInference) table.push_back({"POST", path, "inference", infer});
  for (const std::string_view path : kGetInference) table.push_back({"GET", path, "inference: ?model=", infer});
  return table;
}

bool has_path(std::string_view path) {
  return std::any_of(routes().begin(), routes().end(), [&](const Route& route) { return route.path == path; });
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

}  // namespace

const std::vector<Route>& routes() {
  static const std::vector<Route> table = make_routes();
  return table;
}

io::Task<void> dispatch(Service& service, Exchange& x) {
  if (const auto refused = refuse_foreign(service.config, x.request)) co_return co_await x.error(*refused);
  std::string pattern = x.path;
  ModelId id;
  if (!has_path(pattern)) {
    const auto model_path = api::parse_model_path(x.path);
    if (!model_path) co_return co_await x.error(model_path.error());
    if (*model_path) {
      id = (*model_path)->id;
      pattern = kModelPath;
      if (!(*model_path)->action.empty()) pattern += fmt::format("/{}", (*model_path)->action);
    }
    if (!has_path(pattern)) {
      co_return co_await x.error(
          {ErrorCode::kRouteNotFound, fmt::format("There is no route {}.", x.path.substr(0, 200))});
    }
  }
  const std::string_view method = x.request.method == "HEAD" ? "GET" : std::string_view(x.request.method);
  for (const Route& route : routes()) {
    if (route.path == pattern && route.method == method) co_return co_await route.handle(service, x, std::move(id));
  }
  co_await x.error(
      {ErrorCode::kMethodNotAllowed, fmt::format("{} is not allowed for {}.", x.request.method.substr(0, 20), x.path)});
}

}  // namespace minerva
