#include "server/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <vector>

namespace minerva {
namespace {

using Labels = std::vector<prometheus::ClientMetric::Label>;

// Collects families of metrics. The values are read at scrape time from what the core and the server count anyway.
class Families {
 public:
  void add(prometheus::MetricType type, std::string name, std::string help, double value, const Labels& labels = {}) {
    if (families_.empty() || families_.back().name != name) {
      families_.push_back({std::move(name), std::move(help), type, {}});
    }
    prometheus::ClientMetric metric;
    metric.label = labels;
    (type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    families_.back().metric.push_back(std::move(metric));
  }
  void counter(std::string name, std::string help, std::uint64_t value, const Labels& labels = {}) {
    add(prometheus::MetricType::Counter, std::move(name), std::move(help), static_cast<double>(value), labels);
  }
  void gauge(std::string name, std::string help, double value, const Labels& labels = {}) {
    add(prometheus::MetricType::Gauge, std::move(name), std::move(help), value, labels);
  }
  std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  std::vector<prometheus::MetricFamily> families_;
};

double as_double(Bytes bytes) { return static_cast<double>(bytes.count()); }

// What there is by pool, on a machine with devices.
void add_pools(Families& families, const std::vector<PoolView>& pools, const std::vector<ModelView>& models) {
  for (const PoolView& pool : pools) {
    families.gauge("minerva_pool_budget_bytes", "What all models together may take of the pool.",
                   as_double(pool.budget), {{"pool", pool.id}});
  }
  for (const PoolView& pool : pools) {
    families.gauge("minerva_pool_available_bytes", "What other programs leave of the pool's budget.",
                   as_double(pool.available), {{"pool", pool.id}});
  }
  for (const PoolView& pool : pools) {
    families.gauge("minerva_pool_reserved_bytes", "What resident, loading and stopping models hold of the pool.",
                   as_double(pool.reserved), {{"pool", pool.id}});
  }
  for (const ModelView& model : models) {
    for (std::size_t pool = 0; pool < pools.size(); ++pool) {
      families.gauge("minerva_model_pool_bytes", "Reserved for the model in the pool.",
                     as_double(model.by_pool.of(pool)), {{"model", model.id}, {"pool", pools[pool].id}});
    }
  }
}

void add_conversations(Families& families, const conversations::Store& store) {
  const conversations::Store::Counts& counts = store.counts();
  families.gauge("minerva_conversations_bytes", "What is kept of conversations on disk.", as_double(store.bytes()));
  families.gauge("minerva_conversations_budget_bytes", "The most that may be kept of conversations on disk.",
                 as_double(store.budget()));
  families.gauge("minerva_conversations_segments", "Files with parts of conversations.",
                 static_cast<double>(store.segments()));
  families.counter("minerva_conversations_saved_bytes_total", "Written of conversations.", counts.saved.count());
  families.counter("minerva_conversations_restored_total", "Prompts that went on after tokens from the disk.",
                   counts.restored_prompts);
  families.counter("minerva_conversations_restored_tokens_total", "Tokens that were restored instead of read.",
                   counts.restored_tokens);
  families.add(prometheus::MetricType::Counter, "minerva_conversations_saved_seconds_total",
               "Time that prompts were sooner read as their tokens were restored.",
               std::chrono::duration<double>(counts.time_saved).count());
  families.counter("minerva_conversations_unusable_total", "Files that an engine refused.", counts.unusable);
  families.counter("minerva_conversations_failed_total", "Segments that could not be written.", counts.failed);
}

}  // namespace

// Long because it is one table: a line for each metric.
std::string metrics_text(const Service& service, bool of_everybody) {
  const ContextManager& context = service.host.context();
  const CacheStats& cache = context.cache_stats();
  const TimePoint now = Clock::now();
  Families families;
  families.counter("minerva_cache_hits_total", "Lookups answered by a resident model.", cache.hits);
  families.counter("minerva_cache_misses_total", "Lookups that needed a load.", cache.misses);
  families.counter("minerva_cache_evictions_total", "Models parked or stopped to make room.", cache.evictions);
  families.counter("minerva_cache_preloads_total", "Models that became resident by a preload.", cache.preloads);
  const PredictionStats guesses = context.predictions();
  families.counter("minerva_predictions_total", "Models loaded or woken on a guess: they were likely to be asked for.",
                   guesses.made);
  families.counter("minerva_predictions_used_total", "Models loaded on a guess that somebody then asked for.",
                   guesses.used);
  families.counter("minerva_predictions_wasted_total", "Models loaded on a guess that left unused.", guesses.wasted);
  families.add(prometheus::MetricType::Counter, "minerva_predictions_saved_seconds_total",
               "Waiting that guesses saved their first requests.",
               std::chrono::duration<double>(guesses.saved).count());
  families.counter("minerva_predictions_wasted_bytes_total", "Memory of models loaded on a guess that left unused.",
                   guesses.wasted_bytes.count());
  families.gauge("minerva_predictions_paused", "1 while too few guesses are used.", guesses.paused ? 1 : 0);
  families.counter("minerva_read_ahead_bytes_total",
                   "Read ahead into the page cache, from files of models that were likely to be asked for.",
                   service.host.read_ahead_on_guess().count());
  families.counter("minerva_pages_dropped_bytes_total", "Page cache that parked models gave back.",
                   service.host.pages_dropped().count());
  families.gauge("minerva_memory_budget_bytes", "What all models together may take.",
                 as_double(context.memory_budget()));
  families.gauge("minerva_memory_reserved_bytes", "What resident, loading and stopping models hold.",
                 as_double(context.reserved_memory()));
  families.gauge("minerva_memory_pressure", "1 above 80 % of the budget.", context.has_memory_pressure() ? 1 : 0);
  if (of_everybody) add_conversations(families, service.conversations.store());
  const pull::Downloads::Counts& pulls = service.downloads.counts();
  families.counter("minerva_pull_bytes_total", "Received by pulls of models.", pulls.received);
  for (const pull::JobState state : {pull::JobState::kDone, pull::JobState::kFailed, pull::JobState::kCancelled}) {
    const auto ended = pulls.ended.find(state);
    families.counter("minerva_pulls_ended_total", "Pulls of models that ended, by outcome.",
                     ended == pulls.ended.end() ? 0 : ended->second, {{"outcome", std::string(state_text(state))}});
  }
  const auto downloads = service.downloads.list();
  for (const pull::JobState state : {pull::JobState::kQueued, pull::JobState::kRunning, pull::JobState::kPaused}) {
    const auto count = std::count_if(downloads.begin(), downloads.end(),
                                     [state](const pull::Job* job) { return job->state == state; });
    families.gauge("minerva_pulls_open", "Pulls of models that have not ended.", static_cast<double>(count),
                   {{"state", std::string(state_text(state))}});
  }
  const MemoryWatch& watch = service.memory_watch;
  if (const auto available = watch.memory().available()) {
    families.gauge("minerva_memory_available_bytes",
                   "What processes may still take of the machine's memory, or of a cgroup's limit if that is less.",
                   as_double(*available));
  }
  families.gauge("minerva_memory_short_bytes",
                 "Memory that is missing of what is to stay free; 0: memory is not short.",
                 as_double(watch.pressure().short_by()));
  families.counter("minerva_memory_shortages_total", "How often memory got short.", watch.pressure().shortages());
  if (const auto& levels = watch.memory().levels; !levels.empty() && levels.front().stalled) {
    families.add(prometheus::MetricType::Counter, "minerva_memory_stalled_seconds_total",
                 "For how long some process of the machine has stood still for want of memory.",
                 std::chrono::duration<double>(*levels.front().stalled).count());
  }
  const RequestCounts& requests = context.request_counts();
  families.counter("minerva_requests_accepted_total", "Inference requests that asked for their model.",
                   requests.accepted);
  for (const auto& [outcome, count] : {std::pair("completed", requests.completed), std::pair("failed", requests.failed),
                                       std::pair("shed", requests.shed), std::pair("cancelled", requests.cancelled)}) {
    families.counter("minerva_requests_ended_total", "Accepted requests by how they ended.", count,
                     {{"outcome", outcome}});
  }
  families.gauge("minerva_requests_open", "Accepted requests that wait or run.",
                 static_cast<double>(requests.accepted - requests.ended()));
  families.gauge("minerva_queue_requests", "Requests that wait for a model.", static_cast<double>(context.queued()));
  families.gauge("minerva_connections", "Open client connections.", static_cast<double>(service.connections));
  families.counter("minerva_connections_refused_total", "Connections closed without an answer, over a limit.",
                   service.refused_connections);
  families.gauge("minerva_queued_body_bytes", "Request bodies held in memory.",
                 static_cast<double>(service.queued_bytes));
  families.gauge("minerva_uptime_seconds", "Since the server started.",
                 std::chrono::duration<double>(now - service.started).count());
  for (const auto& [status, count] : service.answers) {
    families.counter("minerva_http_answers_total", "Answers by status; 499: the client went away.", count,
                     {{"status", std::to_string(status)}});
  }
  const std::vector<ModelView> models = context.models(now);
  if (const auto pools = context.pools(); pools.size() > 1) add_pools(families, pools, models);
  for (const ModelView& model : models) {
    families.gauge("minerva_model_memory_bytes", "Reserved for the model.", as_double(model.memory),
                   {{"model", model.id}});
  }
  for (const ModelView& model : models) {
    const ModelMetadata* const known = service.host.metadata(model.id);
    if (known == nullptr || !known->measured) continue;
    families.gauge("minerva_footprint_error_ratio", "The model's predicted memory / its measured memory, less 1.",
                   as_double(known->predicted) / as_double(*known->measured) - 1, {{"model", model.id}});
  }
  for (const ModelView& model : models) {
    families.gauge("minerva_model_image_bytes", "The model's image on disk, from its first park on.",
                   as_double(model.image), {{"model", model.id}});
  }
  for (const ModelView& model : models) {
    families.counter("minerva_parks_total", "How often the model was parked.", model.parks, {{"model", model.id}});
  }
  for (const ModelView& model : models) {
    families.counter("minerva_wakes_total", "How often the model was woken.", model.wakes, {{"model", model.id}});
  }
  for (const ModelView& model : models) {
    families.gauge("minerva_model_leases", "Requests running on the model.", static_cast<double>(model.leases),
                   {{"model", model.id}});
  }
  for (const ModelView& model : models) {
    if (model.slots == 0) continue;
    families.gauge("minerva_model_slots", "Requests that the model's engine answers at once.", model.slots,
                   {{"model", model.id}});
  }
  for (const ModelView& model : models) {
    if (model.slots == 0) continue;
    families.gauge("minerva_model_slots_taken", "Slots that the model's running requests take.", model.slots_taken,
                   {{"model", model.id}});
  }
  for (const ModelView& model : models) {
    families.gauge("minerva_model_waiting", "Requests waiting for the model.", static_cast<double>(model.waiting),
                   {{"model", model.id}});
  }
  for (const ModelView& model : models) {
    families.gauge("minerva_model_state", "1 for the state the model is in.", 1,
                   {{"model", model.id}, {"state", std::string(residency_name(model.residency))}});
  }
  for (const ModelView& model : models) {
    families.gauge("minerva_model_breaker", "1 for the state of the model's breaker.", 1,
                   {{"model", model.id}, {"state", std::string(breaker_state_name(model.breaker))}});
  }
  return families.text();
}

}  // namespace minerva
