#include "api/life_cycle.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <utility>

#include "api/json.h"

namespace minerva::api {
namespace {

std::int64_t rounded_ms(Duration duration) { return std::chrono::round<std::chrono::milliseconds>(duration).count(); }

// Rounded to one decimal, and printed with one: a multiple of 0.1 has a shortest text that reads back as the same
// double.
double one_decimal(double value) { return std::round(value * 10) / 10; }

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

// A string member; nothing if it is absent.
Result<std::optional<std::string>> text_field(const Json& body, const char* name) {
  const auto member = body.find(name);
  if (member == body.end()) return std::optional<std::string>();
  if (!member->is_string()) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" must be a string.", name), name);
  }
  return std::optional<std::string>(member->get<std::string>());
}

Json value_of(const Concession::Value& value) {
  return std::visit([](const auto& v) { return Json(v); }, value);
}

// Adds the members about what gave way, only if something did.
void say_what_gave_way(Json& json, const std::vector<Concession>& list) {
  if (list.empty()) return;
  Json told = Json::array();
  for (const Concession& c : list) {
    told.push_back({{"setting", c.setting}, {"from", value_of(c.from)}, {"to", value_of(c.to)}});
    if (c.setting != "context") continue;
    json["context_length"] = value_of(c.to);
    json["context_shrunk_from"] = value_of(c.from);
  }
  json["gave_way"] = std::move(told);
}

Json status_object(const RouterStatus& status) {
  Json json = {{"value", status.value}};
  if (status.exit_code) {
    json["failed"] = true;
    json["exit_code"] = *status.exit_code;
  }
  return json;
}

Json model_object(const ModelAnswer& model) {
  Json json = {{"id", model.id},
               {"object", "model"},
               {"created", model.created},
               {"owned_by", "minerva"},
               {"state", residency_name(model.state)},
               {"size_bytes", model.size.count()},
               {"parameters", or_null(model.parameters)},
               {"quantization", model.quantization.empty() ? Json(nullptr) : Json(model.quantization)},
               {"context_length", or_null(model.context_length)},
               {"aliases", model.aliases},
               {"status", status_object(model.status)}};
  if (!model.preset_of.empty()) json["preset_of"] = model.preset_of;
  say_what_gave_way(json, model.gave_way);
  json["name"] = model.name.empty() ? model.id : model.name;
  // Clients of llama.cpp's router read these members without asking whether they are there.
  json["architecture"] = {
      {"name", model.architecture.empty() ? Json(nullptr) : Json(model.architecture)},
      {"input_modalities", model.input_modalities.empty() ? Json::array({"text"}) : Json(model.input_modalities)},
      {"output_modalities", Json::array({"text"})}};
  json["companions"] = model.companions;
  json["runs_here"] = or_null(model.runs_here);
  if (!model.why_not.empty()) json["why_not"] = model.why_not;
  if (model.progress) json["progress"] = std::round(*model.progress * 100) / 100;
  if (!model.next_preload.empty()) json["next_preload"] = model.next_preload;
  if (!model.next_unload.empty()) json["next_unload"] = model.next_unload;
  if (model.failure) {
    json["last_error"] = {{"code", error_info(model.failure->code).name}, {"message", model.failure->message}};
  }
  return json;
}

Json pools_array(const std::vector<PoolView>& pools) {
  Json array = Json::array();
  for (const PoolView& pool : pools) {
    array.push_back({{"id", pool.id},
                     {"memory_mb", pool.reserved.rounded_mib()},
                     {"memory_budget_mb", pool.budget.rounded_mib()},
                     {"available_mb", pool.available.rounded_mib()}});
  }
  return array;
}

// The memory that a model holds of each pool, by the pool's name.
Json pools_object(const std::vector<PoolView>& pools, const Footprint& held) {
  Json object = Json::object();
  for (std::size_t pool = 0; pool < pools.size(); ++pool) object[pools[pool].id] = held.of(pool).rounded_mib();
  return object;
}

}  // namespace

std::string cleared_text(const ClearAnswer& answer) {
  std::vector<std::string_view> parts;
  if (answer.stats) parts.emplace_back("statistics");
  if (answer.history) parts.emplace_back("history");
  if (answer.images) parts.emplace_back("images");
  if (answer.conversations) parts.emplace_back("conversations");
  if (answer.metadata) parts.emplace_back("metadata");
  const std::string stopped =
      answer.stopped.empty() ? "" : fmt::format("; stopped {}", fmt::join(answer.stopped, ", "));
  return fmt::format("{}{}", fmt::join(parts, ", "), stopped);
}

std::string clear_json(const ClearAnswer& answer) {
  return dump({{"success", true}, {"message", "cleared: " + cleared_text(answer)}, {"stopped", answer.stopped}});
}

Result<LoadBody> parse_load_body(std::string_view body, const ModelId& path_id) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) return LoadBody{};
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return fail(ErrorCode::kInvalidArgument, "The body must be a JSON object, or empty.");
  }
  const Result<std::optional<std::string>> model_id = text_field(json, "model_id");
  if (!model_id) return fail(model_id.error());
  if (*model_id && **model_id != path_id) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("\"model_id\" is \"{}\" but the address names \"{}\"; leave it out or make them equal.",
                            **model_id, path_id),
                "model_id");
  }
  Result<std::optional<std::string>> model_path = text_field(json, "model_path");
  if (!model_path) return fail(model_path.error());
  if (*model_path && ((*model_path)->empty() || (*model_path)->find('\0') != std::string::npos)) {
    return fail(ErrorCode::kInvalidArgument, "\"model_path\" must be the path of a file.", "model_path");
  }
  return LoadBody{*std::move(model_path)};
}

std::string life_cycle_json(const LifeCycleAnswer& answer) {
  Json json = {{"success", true},
               {"message", answer.message},
               {"model_id", answer.model},
               {"state", residency_name(answer.state)},
               {"load_ms", rounded_ms(answer.load_time)},
               {"evicted", answer.evicted},
               {"estimated_memory_mb", answer.memory.rounded_mib()}};
  say_what_gave_way(json, answer.gave_way);
  return dump(json);
}

std::string plan_json(const PlanAnswer& answer) {
  const LoadPlan& plan = answer.plan;
  Json expected = nullptr;
  if (plan.expected_load_time) expected = rounded_ms(*plan.expected_load_time);
  Json json = {{"success", true},
               {"message", plan.reason},
               {"model_id", answer.model},
               {"state", residency_name(answer.state)},
               {"dry_run", true},
               {"possible", plan.possible},
               {"would_evict", plan.evict},
               {"expected_load_ms", expected},
               {"cost_ms", rounded_ms(plan.cost)},
               {"confidence", confidence_name(plan.confidence)},
               {"estimated_memory_mb", plan.footprint.rounded_mib()},
               {"free_memory_mb", plan.free.rounded_mib()}};
  say_what_gave_way(json, answer.gave_way);
  return dump(json);
}

std::string stats_json(const StatsAnswer& stats) {
  const bool has_devices = stats.pools.size() > 1;
  Json models = Json::array();
  for (const ModelView& model : stats.models) {
    if (model.residency == Residency::kCold && model.breaker == BreakerState::kClosed) continue;
    Json last_used = nullptr;
    if (model.since_last_use) {
      last_used = one_decimal(std::chrono::duration<double>(*model.since_last_use).count());
    }
    Json tried_again = nullptr;
    if (model.tried_again_in) tried_again = one_decimal(std::chrono::duration<double>(*model.tried_again_in).count());
    models.push_back({{"id", model.id},
                      {"state", residency_name(model.residency)},
                      {"memory_mb", model.memory.rounded_mib()},
                      {"image_mb", model.image.rounded_mib()},
                      {"cached_mb", model.cached.rounded_mib()},
                      {"can_park", model.can_park},
                      {"parks", model.parks},
                      {"wakes", model.wakes},
                      {"leases", model.leases},
                      {"slots", model.slots > 0 ? Json(model.slots) : Json(nullptr)},
                      {"slots_taken", model.slots_taken},
                      {"waiting", model.waiting},
                      {"access_count", model.access_count},
                      {"last_used_s", last_used},
                      {"pinned", model.pinned},
                      {"preloaded", model.preloaded},
                      {"breaker", breaker_state_name(model.breaker)},
                      {"tried_again_in_s", tried_again}});
    const auto found = stats.gave_way.find(model.id);
    if (found != stats.gave_way.end()) say_what_gave_way(models.back(), found->second);
    if (has_devices) models.back()["pools_mb"] = pools_object(stats.pools, model.by_pool);
  }
  Json json = {{"loaded_models", stats.loaded},
               {"total_loaded", stats.loaded.size()},
               {"estimated_memory_mb", stats.reserved_memory.rounded_mib()},
               {"memory_budget_mb", stats.memory_budget.rounded_mib()},
               {"memory_pressure", stats.memory_pressure},
               {"cache",
                {{"policy", stats.policy},
                 {"hits", stats.cache.hits},
                 {"misses", stats.cache.misses},
                 {"hit_rate", one_decimal(stats.cache.hit_rate())},
                 {"evictions", stats.cache.evictions},
                 {"preloads", stats.cache.preloads}}},
               {"models", models}};
  if (has_devices) json["pools"] = pools_array(stats.pools);
  return dump(json);
}

std::string model_json(const ModelAnswer& model) { return dump(model_object(model)); }

std::string models_json(const std::vector<ModelAnswer>& models, const std::vector<std::string>& problems) {
  Json data = Json::array();
  for (const ModelAnswer& model : models) data.push_back(model_object(model));
  return dump({{"object", "list"}, {"data", data}, {"problems", problems}});
}

}  // namespace minerva::api
