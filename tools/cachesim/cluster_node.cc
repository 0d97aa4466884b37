#include "cachesim/cluster_node.h"

#include <algorithm>

#include "minerva/base/check.h"
#include "minerva/cache/eviction_policy.h"

namespace minerva::cachesim {
namespace {

// A model that was idle for this long comes back with even chance.
constexpr double kHorizonS = 60;

ContextOptions context_options(Bytes memory, std::size_t most_requests) {
  return {.max_models = 0,
          .memory_budget = memory,
          .parking = {.enabled = false},
          .prediction = {.preload = false},
          .max_queue_per_model = most_requests + 1,
          .max_queue = most_requests + 1,
          .load_timeout = Duration::max(),
          .kept_decisions = 1};
}

}  // namespace

ClusterNode::ClusterNode(Bytes memory, std::size_t most_requests, Surroundings around)
    : around_(std::move(around)), manager_(context_options(memory, most_requests), make_policy("lru").value()) {}

template <typename Other>
void ClusterNode::carry_out(const Other&) {
  check(false, "the node was told to do what it gave no reason for");
}

void ClusterNode::know(std::uint32_t model, TimePoint now) {
  const ModelId& id = around_.trace.models[model].id;
  if (indexes_.try_emplace(id, model).second) deliver(ModelAdded{.model = id, .slots = around_.slots}, now);
}

void ClusterNode::remember(std::uint32_t model) {
  const auto known = lately_where_.find(model);
  if (known != lately_where_.end()) lately_.erase(known->second);
  lately_.push_back(model);
  lately_where_[model] = std::prev(lately_.end());
  if (lately_.size() > most_lately) {
    lately_where_.erase(lately_.front());
    lately_.pop_front();
  }
}

void ClusterNode::request(std::uint32_t number, TimePoint now) {
  const TraceRequest& request = around_.trace.requests[number];
  know(request.model, now);
  remember(request.model);
  ++in_flight_;
  ++asked_[request.model];
  deliver(LeaseRequested{.request = RequestId{number},
                         .model = around_.trace.models[request.model].id,
                         .deadline = TimePoint::max(),
                         .caller = {.user = UserId{request.user + 1}}},
          now);
}

void ClusterNode::deliver(const Event& event, TimePoint now) {
  if (const auto* released = std::get_if<LeaseReleased>(&event)) {
    const std::uint32_t model = around_.trace.requests[static_cast<std::size_t>(released->request)].model;
    --in_flight_;
    if (--asked_[model] == 0) asked_.erase(model);
  }
  if (const auto* ready = std::get_if<EngineReady>(&event)) {
    loading_s_ = std::max(0.0, loading_s_ - loads_[ready->engine]);
    loads_.erase(ready->engine);
  }
  for (const Action& action : manager_.step(now, event)) {
    std::visit([this](const auto& a) { carry_out(a); }, action);
  }
}

void ClusterNode::carry_out(const Inspect& action) {
  const Bytes size = around_.world.models[indexes_.at(action.model)].size;
  around_.later(Duration::zero(), Inspected{action.model, action.ticket, size});
}

void ClusterNode::carry_out(const Spawn& action) {
  const WorldModel& facts = around_.world.models[indexes_.at(action.model)];
  cold_wait_s_ += in_seconds(facts.reload);
  loaded_ += facts.size;
  loads_[action.engine] = in_seconds(facts.reload);
  loading_s_ += in_seconds(facts.reload);
  around_.later(facts.reload, EngineReady{.engine = action.engine, .can_park = false});
}

void ClusterNode::carry_out(const Stop& action) {
  around_.later(Duration::zero(), EngineExited{action.engine, {ErrorCode::kCancelled, "it was stopped"}});
}

void ClusterNode::carry_out(const Grant& action) {
  const auto number = static_cast<std::uint32_t>(action.request);
  around_.granted(number, action.waited);
  around_.later(around_.trace.requests[number].service, LeaseReleased{action.request});
}

ClusterNode::View ClusterNode::view(std::uint32_t model, TimePoint now) const {
  const auto asked = asked_.find(model);
  const std::size_t in_flight = asked == asked_.end() ? 0 : asked->second;
  const ModelId& id = around_.trace.models[model].id;
  return {indexes_.contains(id) ? manager_.residency(id, now) : Residency::kCold, in_flight};
}

ClusterNode::Price ClusterNode::price(std::uint32_t model, TimePoint now) {
  const WorldModel& facts = around_.world.models[model];
  if (facts.size <= free()) return {};
  know(model, now);
  const auto plan = manager_.plan_load(around_.trace.models[model].id, facts.size, now);
  if (!plan) return {};
  Price price;
  if (!plan->possible) price.seconds = in_seconds(facts.reload);
  for (const ModelId& victim : plan->evict) {
    const auto view = manager_.model(victim, now);
    const double idle_s = view && view->since_last_use ? in_seconds(*view->since_last_use) : 0;
    price.seconds += in_seconds(around_.world.models[indexes_.at(victim)].reload) / (1 + idle_s / kHorizonS);
    price.idle_s = std::min(price.idle_s, idle_s);
  }
  return price;
}

}  // namespace minerva::cachesim
