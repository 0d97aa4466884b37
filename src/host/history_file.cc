#include "host/history_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

namespace minerva {
namespace {

using nlohmann::json;
using Milliseconds = std::chrono::duration<double, std::milli>;

// ten years: a longer span, added to another one, would overflow the clock
constexpr double kLongestMs = 10.0 * 365 * 24 * 3600 * 1000;
constexpr double kMostLearned = 1e15;
constexpr std::uint64_t kMostCounted = std::uint64_t{1} << 62U;
constexpr std::size_t kMostModels = 10'000;
constexpr std::size_t kMostValues = 64;

struct Damaged : std::runtime_error {
  using runtime_error::runtime_error;
};

double clamped_ms(Duration span) { return std::clamp(Milliseconds(span).count(), 0.0, kLongestMs); }

// ---- writing ----

json to_json(const CacheStats& stats) {
  return {{"hits", stats.hits}, {"misses", stats.misses}, {"evictions", stats.evictions}, {"preloads", stats.preloads}};
}

json to_json(const Learned& learned, TimePoint now) {
  return {{"age_ms", clamped_ms(now - learned.when)}, {"values", learned.values}};
}

json to_json(const CacheEntry& entry, TimePoint now) {
  json object = {{"access_count", entry.access_count},
                 {"insert_tick", entry.insert_tick},
                 {"inserted_ms_ago", clamped_ms(now - entry.inserted)},
                 {"last_use_tick", entry.last_use_tick}};
  if (entry.last_use_tick > 0) object["used_ms_ago"] = clamped_ms(now - entry.last_used);
  return object;
}

json to_json(const ModelHistory& model, TimePoint now) {
  json object = {{"id", model.id}};
  if (model.resident) object["resident"] = to_json(*model.resident, now);
  if (model.pinned) object["pinned"] = *model.pinned;
  if (model.load_time) object["load_ms"] = clamped_ms(*model.load_time);
  if (model.wake_time) object["wake_ms"] = clamped_ms(*model.wake_time);
  if (model.service_time) object["service_ms"] = clamped_ms(*model.service_time);
  if (model.learned) object["learned"] = to_json(*model.learned, now);
  return object;
}

// ---- reading; each throws json::exception or Damaged ----

std::uint64_t count_of(const json& object, const char* name) {
  const json& value = object.at(name);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > kMostCounted) {
    throw Damaged(fmt::format("{} is out of range", name));
  }
  return value.get<std::uint64_t>();
}

double number_of(const json& value, double most, const char* name) {
  const double number = value.is_number() ? value.get<double>() : -1;
  // Written so that NaN is refused too.
  if (!(number >= 0 && number <= most)) throw Damaged(fmt::format("{} is out of range", name));
  return number;
}

Duration span_of(const json& object, const char* name) {
  return std::chrono::duration_cast<Duration>(Milliseconds(number_of(object.at(name), kLongestMs, name)));
}

std::optional<Duration> span_if_any(const json& object, const char* name) {
  return object.contains(name) ? std::optional(span_of(object, name)) : std::nullopt;
}

CacheStats stats_of(const json& object) {
  return {.hits = count_of(object, "hits"),
          .misses = count_of(object, "misses"),
          .evictions = count_of(object, "evictions"),
          .preloads = count_of(object, "preloads")};
}

Learned learned_of(const json& object, TimePoint made) {
  Learned learned{.when = made - span_of(object, "age_ms")};
  const json& values = object.at("values");
  if (!values.is_array() || values.size() > kMostValues) throw Damaged("values is no list of a few numbers");
  for (const json& value : values) learned.values.push_back(number_of(value, kMostLearned, "a value"));
  return learned;
}

CacheEntry entry_of(const json& object, const ModelId& id, TimePoint made) {
  CacheEntry entry;
  entry.id = id;
  entry.access_count = count_of(object, "access_count");
  entry.insert_tick = count_of(object, "insert_tick");
  entry.inserted = made - span_of(object, "inserted_ms_ago");
  entry.last_use_tick = count_of(object, "last_use_tick");
  if (entry.last_use_tick > 0) entry.last_used = made - span_of(object, "used_ms_ago");
  return entry;
}

ModelHistory model_of(const json& object, TimePoint made) {
  ModelHistory model{.id = object.at("id").get<std::string>()};
  if (!is_model_id(model.id)) throw Damaged("a model's id is none");
  if (object.contains("resident")) model.resident = entry_of(object.at("resident"), model.id, made);
  if (object.contains("pinned")) model.pinned = object.at("pinned").get<bool>();
  model.load_time = span_if_any(object, "load_ms");
  model.wake_time = span_if_any(object, "wake_ms");
  model.service_time = span_if_any(object, "service_ms");
  if (object.contains("learned")) model.learned = learned_of(object.at("learned"), made);
  return model;
}

History history_of(const json& data, const Moment& read) {
  // In floating point, since a hostile value in the file must not overflow the clock.
  const double wall_ms = Milliseconds(read.wall.time_since_epoch()).count();
  const double away_ms =
      wall_ms - number_of(data.at("made_unix_ms"), std::numeric_limits<double>::max(), "made_unix_ms");
  const auto away = std::chrono::duration_cast<Duration>(Milliseconds(std::clamp(away_ms, 0.0, kLongestMs)));
  const TimePoint made = read.now - away;
  History history{.stats = stats_of(data.at("cache"))};
  history.policy = data.at("policy").get<std::string>();
  if (data.contains("learned")) history.learned = learned_of(data.at("learned"), made);
  history.load_time_of_any = span_if_any(data, "load_ms_of_any");
  std::set<ModelId> ids;
  std::set<std::uint64_t> insert_ticks;
  for (const json& object : data.at("models")) {
    if (history.models.size() >= kMostModels) throw Damaged("there are too many models");
    ModelHistory model = model_of(object, made);
    if (!ids.insert(model.id).second) throw Damaged("a model is there twice");
    const bool strict = !model.resident || insert_ticks.insert(model.resident->insert_tick).second;
    if (!strict || insert_ticks.contains(0)) throw Damaged("the order of insertion is none");
    history.models.push_back(std::move(model));
  }
  return history;
}

}  // namespace

std::string history_text(const History& history, const Moment& made) {
  json data = {{"made_unix_ms", Milliseconds(made.wall.time_since_epoch()).count()},
               {"cache", to_json(history.stats)},
               {"policy", history.policy},
               {"models", json::array()}};
  if (history.learned) data["learned"] = to_json(*history.learned, made.now);
  if (history.load_time_of_any) data["load_ms_of_any"] = clamped_ms(*history.load_time_of_any);
  for (const ModelHistory& model : history.models) {
    if (data["models"].size() < kMostModels) data["models"].push_back(to_json(model, made.now));
  }
  return data.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
}

Result<History> parse_history(std::string_view text, const Moment& read) {
  try {
    return history_of(json::parse(text), read);
  } catch (const std::exception& damaged) {
    return fail(ErrorCode::kIo, fmt::format("it is damaged ({})", damaged.what()));
  }
}

}  // namespace minerva
