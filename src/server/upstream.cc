#include "server/upstream.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/proxy.h"
#include "server/routes.h"

namespace minerva {
namespace {

constexpr std::string_view kPrefix = "/upstream/";
constexpr std::size_t kMostSegments = 16;  // of a model's name

struct EngineTarget {
  std::string model;  // an id or alias of a model or preset
  std::string path;   // the path for the engine
  bool own = false;   // the model has a command engine
};

// Splits at the longest name that is known, since ids contain slashes. Nothing if none is known.
std::optional<EngineTarget> split(const Service& service, std::string_view rest) {
  std::vector<std::size_t> ends;
  for (std::size_t end = 0; end < rest.size() && ends.size() < kMostSegments; ++end) {
    end = std::min(rest.find('/', end), rest.size());
    ends.push_back(end);
  }
  for (auto end = ends.rbegin(); end != ends.rend(); ++end) {
    const Result<std::string> name = api::percent_decode(rest.substr(0, *end));
    if (!name) continue;
    const api::Preset* const preset = service.find_preset(*name);
    const ModelSpec* const spec = service.catalog.look_up(preset == nullptr ? *name : preset->model);
    if (spec == nullptr) continue;
    const std::string_view path = *end < rest.size() ? rest.substr(*end) : std::string_view("/");
    return EngineTarget{*name, std::string(path), !spec->command.argv.empty()};
  }
  return std::nullopt;
}

// Whether llama.cpp's server may get such a request.
bool is_relayed(std::string_view method, std::string_view path) {
  static const std::set<std::pair<std::string_view, std::string_view>> relayed = [] {
    std::set<std::pair<std::string_view, std::string_view>> rows = {
        {"GET", "/health"}, {"GET", "/v1/health"}, {"GET", "/models"}, {"GET", "/v1/models"}};
    for (const Route& route : routes()) {
      if (route.reach != Reach::kUse && route.reach != Reach::kLook) continue;
      rows.emplace(route.method, route.engine_path.empty() ? route.path : route.engine_path);
    }
    return rows;
  }();
  return relayed.contains({method == "HEAD" ? "GET" : method, path});
}

}  // namespace

io::Task<void> talk_to_engine(Service& service, Exchange& x) {
  if (x.request.headers.find("sec-websocket-key") != nullptr) {
    co_return co_await x.error({ErrorCode::kNotSupported, "WebSockets are not relayed; send plain requests."});
  }
  const std::string rest = x.path.substr(std::min(kPrefix.size(), x.path.size()));
  std::optional<EngineTarget> named = split(service, rest);
  if (!named) {
    co_await service.catalog_watch.refresh_if_changed();
    named = split(service, rest);
  }
  if (!named) {
    co_return co_await x.error({ErrorCode::kModelNotFound,
                                fmt::format("\"{}\" begins with no model's id. GET /v1/models (or `minerva models`) "
                                            "lists what there is.",
                                            rest.substr(0, 200)),
                                "model"});
  }
  x.path_model = std::move(named->model);
  x.path = named->own ? std::move(named->path) : api::normalized_path(named->path);
  x.opaque_body = named->own;
  if (x.path.starts_with("/v1/messages")) x.dialect = api::Dialect::kAnthropic;
  if (!named->own && !is_relayed(x.request.method, x.path)) {
    co_return co_await x.error(
        {ErrorCode::kRouteNotFound,
         fmt::format("{} {} of an engine is not relayed: it has no route of this server, or it would change or read "
                     "what is the server's own.",
                     x.request.method.substr(0, 20), x.path.substr(0, 200))});
  }
  co_await proxy(service, x);
}

}  // namespace minerva
