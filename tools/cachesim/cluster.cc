#include "cachesim/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <map>
#include <memory>
#include <queue>

#include "cachesim/cluster_node.h"
#include "cachesim/random.h"
#include "minerva/base/check.h"

namespace minerva::cachesim {
namespace {

// Not the beginning of time, which the core takes for "never".
constexpr TimePoint kClusterStart = TimePoint(std::chrono::seconds(1));
constexpr double kHundred = 100;
constexpr double kGigabyte = 1e9;
// Nodes whose times differ by less are alike, and a hash chooses among them.
constexpr double kAlikeS = 0.005;
constexpr double kAlikeShare = 0.1;
// A copy on a further node takes memory there: it has to be so many times as soon as waiting where the model is.
constexpr double kCopyGain = 2;
// What would leave is asked of so many nodes at most, those that a model's hash prefers.
constexpr std::size_t kMostPrices = 16;

// The weight of a node for a key: the node with the highest weight has the key (rendezvous hashing, Thaler and
// Ravishankar 1998).
std::uint64_t weight(std::uint64_t key, std::uint64_t node) {
  std::uint64_t mixed = (key * 0x9E3779B97F4A7C15ULL) ^ ((node + 1) * 0xBF58476D1CE4E5B9ULL);
  mixed ^= mixed >> 30U;
  mixed *= 0x94D049BB133111EBULL;
  return mixed ^ (mixed >> 31U);
}

using Nodes = std::vector<std::unique_ptr<ClusterNode>>;

class ClusterRouter {
 public:
  ClusterRouter(const Trace& trace, const World& world, Nodes& nodes, const ClusterOptions& options)
      : world_(world), nodes_(nodes), options_(options), random_(options.seed) {
    mean_service_s_ = 0;
    for (const TraceRequest& request : trace.requests) mean_service_s_ += in_seconds(request.service);
    mean_service_s_ /= static_cast<double>(std::max<std::size_t>(trace.requests.size(), 1));
  }

  std::size_t round_robin(const TraceRequest&, TimePoint) { return turn_++ % nodes_.size(); }
  std::size_t user_hash(const TraceRequest& request, TimePoint) { return preferred(request.user); }
  std::size_t model_hash(const TraceRequest& request, TimePoint) { return preferred(request.model); }
  std::size_t multiplex(const TraceRequest& request, TimePoint now);
  std::size_t minerva(const TraceRequest& request, TimePoint now);

 private:
  struct Weighed {
    double seconds = 0;
    std::size_t node = 0;
    bool cold = false;
    std::size_t in_flight = 0;
    int victims_age = 0;  // of what would leave: doubles from step to step
  };

  std::size_t preferred(std::uint64_t key) const {
    std::size_t best = 0;
    for (std::size_t node = 1; node < nodes_.size(); ++node) {
      if (weight(key, node) > weight(key, best)) best = node;
    }
    return best;
  }
  std::size_t less_busy_of_two(const std::vector<std::size_t>& among);
  Weighed weigh(std::size_t node, std::uint32_t model, TimePoint now) const;

  const World& world_;
  Nodes& nodes_;
  const ClusterOptions& options_;
  Random random_;
  std::size_t turn_ = 0;
  double mean_service_s_ = 0;
};

std::size_t ClusterRouter::less_busy_of_two(const std::vector<std::size_t>& among) {
  const std::size_t one = among[random_.below(among.size())];
  const std::size_t other = among[random_.below(among.size())];
  return nodes_[one]->in_flight() <= nodes_[other]->in_flight() ? one : other;
}

std::size_t ClusterRouter::multiplex(const TraceRequest& request, TimePoint) {
  std::vector<std::size_t> among;
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    if (nodes_[node]->asked_lately(request.model)) among.push_back(node);
  }
  if (among.empty()) {
    std::size_t fewest = SIZE_MAX;
    for (const auto& node : nodes_) fewest = std::min(fewest, node->models_lately());
    for (std::size_t node = 0; node < nodes_.size(); ++node) {
      if (nodes_[node]->models_lately() == fewest) among.push_back(node);
    }
  }
  return less_busy_of_two(among);
}

ClusterRouter::Weighed ClusterRouter::weigh(std::size_t node, std::uint32_t model, TimePoint now) const {
  const ClusterNode::View view = nodes_[node]->view(model, now);
  const bool hot = view.residency == Residency::kHot;
  // Its load is under way, or begins as soon as there is room.
  const bool coming = !hot && view.in_flight > 0;
  Weighed weighed{.node = node, .cold = !hot && !coming, .in_flight = view.in_flight};
  if (!hot) weighed.seconds = in_seconds(world_.models[model].reload);
  if (weighed.cold) weighed.seconds += nodes_[node]->loading_s();
  const double line = static_cast<double>(view.in_flight) + 1 - options_.slots;
  if (line > 0) weighed.seconds += line * mean_service_s_ / options_.slots;
  return weighed;
}

std::size_t ClusterRouter::minerva(const TraceRequest& request, TimePoint now) {
  std::vector<Weighed> all;
  for (std::size_t node = 0; node < nodes_.size(); ++node) all.push_back(weigh(node, request.model, now));
  // The nodes that the model's hash prefers come first; the price of a load is asked of the first of the cold ones.
  std::sort(all.begin(), all.end(), [&](const Weighed& a, const Weighed& b) {
    return weight(request.model, a.node) > weight(request.model, b.node);
  });
  std::size_t prices = 0;
  double least_there = kForeverS;
  double least_elsewhere = kForeverS;
  for (Weighed& one : all) {
    if (one.cold && prices++ < kMostPrices) {
      const ClusterNode::Price price = nodes_[one.node]->price(request.model, now);
      one.seconds += price.seconds;
      one.victims_age = std::ilogb(std::max(price.idle_s, 1.0));
    } else if (one.cold) {
      one.seconds += in_seconds(world_.models[request.model].reload);
    }
    double& least = one.cold ? least_elsewhere : least_there;
    least = std::min(least, one.seconds);
  }
  const bool stays = least_there <= std::max(least_elsewhere * kCopyGain, kAlikeS);
  std::erase_if(all, [&](const Weighed& one) { return one.cold == stays; });
  const double least = stays ? least_there : least_elsewhere;
  const double most = least + std::max(kAlikeS, least * kAlikeShare);
  const Weighed* best = nullptr;
  const std::uint64_t conversation = (std::uint64_t{request.user} << 32U) | request.model;
  for (const Weighed& one : all) {
    if (one.seconds > most) continue;
    if (best == nullptr) {
      best = &one;
    } else if (one.cold) {
      // Where nothing leaves, or what nobody has used for longest; else the node that the model's hash prefers.
      if (one.victims_age > best->victims_age) best = &one;
    } else if (best->in_flight != one.in_flight ? one.in_flight < best->in_flight
                                                : weight(conversation, one.node) > weight(conversation, best->node)) {
      best = &one;
    }
  }
  return best->node;
}

struct Choice {
  std::string_view name;
  std::size_t (ClusterRouter::*choose)(const TraceRequest& request, TimePoint now);
};
constexpr std::array kRouters = {
    Choice{"round-robin", &ClusterRouter::round_robin}, Choice{"user-hash", &ClusterRouter::user_hash},
    Choice{"model-hash", &ClusterRouter::model_hash},   Choice{"multiplex", &ClusterRouter::multiplex},
    Choice{"minerva", &ClusterRouter::minerva},
};

class Play {
 public:
  Play(const Trace& trace, const World& world, const Choice& choice, const ClusterOptions& options);
  ClusterRow row();

 private:
  static constexpr std::size_t kArrival = SIZE_MAX;
  struct Due {
    TimePoint at;
    std::uint64_t order;
    std::size_t node;  // kArrival: the next request arrives
    Event event;
  };
  struct Later {
    bool operator()(const Due& a, const Due& b) const { return a.at != b.at ? a.at > b.at : a.order > b.order; }
  };

  void plan(TimePoint at, std::size_t node, Event event) { agenda_.push({at, planned_++, node, std::move(event)}); }
  void plan_arrival();
  void plan_timer(std::size_t node);
  void arrive();
  void run();

  const Trace& trace_;
  const Choice& choice_;
  const ClusterOptions& options_;
  Nodes nodes_;
  ClusterRouter router_;
  TimePoint now_ = kClusterStart;
  std::priority_queue<Due, std::vector<Due>, Later> agenda_;
  std::uint64_t planned_ = 0;
  std::size_t issued_ = 0;
  std::vector<TimePoint> timers_;  // of each node: planned for
  std::vector<double> waits_s_;
  std::vector<double> served_s_;                                              // by each node
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::size_t> last_node_;  // by user and model
  std::size_t could_return_ = 0;
  std::size_t returned_ = 0;
};

Play::Play(const Trace& trace, const World& world, const Choice& choice, const ClusterOptions& options)
    : trace_(trace), choice_(choice), options_(options), router_(trace, world, nodes_, options) {
  check(options.memory >= world.largest, "a node's memory is less than the largest model");
  // As many as fit on average: what somebody would set who counts models and not bytes.
  const double mean = static_cast<double>(world.all.count()) / static_cast<double>(trace.models.size());
  const auto fit = static_cast<std::size_t>(static_cast<double>(options.memory.count()) / mean);
  timers_.resize(options.nodes, TimePoint::max());
  served_s_.resize(options.nodes);
  for (std::size_t number = 0; number < options.nodes; ++number) {
    const auto later = [this, number](Duration after, const Event& event) { plan(now_ + after, number, event); };
    const auto granted = [this](std::uint32_t, Duration waited) { waits_s_.push_back(in_seconds(waited)); };
    nodes_.push_back(std::make_unique<ClusterNode>(
        options.memory, trace.requests.size(),
        ClusterNode::Surroundings{
            .trace = trace, .world = world, .slots = options.slots, .later = later, .granted = granted}));
    nodes_.back()->most_lately = std::max<std::size_t>(fit, 1);
  }
}

void Play::plan_arrival() {
  if (issued_ == trace_.requests.size()) return;
  const double at_s = in_seconds(trace_.requests[issued_].arrival) / options_.speed;
  const TimePoint at = kClusterStart + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(at_s));
  plan(std::max(at, now_), kArrival, TimerFired{});
}

void Play::plan_timer(std::size_t node) {
  const TimePoint wanted = nodes_[node]->next_timer().value_or(TimePoint::max());
  if (wanted >= timers_[node]) return;
  timers_[node] = wanted;
  plan(std::max(wanted, now_), node, TimerFired{});
}

void Play::arrive() {
  const auto number = static_cast<std::uint32_t>(issued_++);
  const TraceRequest& request = trace_.requests[number];
  const std::size_t node = (router_.*choice_.choose)(request, now_);
  const auto [last, is_first] = last_node_.try_emplace({request.user, request.model}, node);
  if (!is_first) {
    ++could_return_;
    if (last->second == node) ++returned_;
    last->second = node;
  }
  served_s_[node] += in_seconds(request.service);
  nodes_[node]->request(number, now_);
  plan_timer(node);
  plan_arrival();
}

void Play::run() {
  plan_arrival();
  while (!agenda_.empty()) {
    const Due due = agenda_.top();
    agenda_.pop();
    now_ = due.at;
    if (due.node == kArrival) {
      arrive();
      continue;
    }
    if (std::holds_alternative<TimerFired>(due.event)) {
      if (timers_[due.node] > now_) continue;  // another event came before, and moved it
      timers_[due.node] = TimePoint::max();
    }
    nodes_[due.node]->deliver(due.event, now_);
    plan_timer(due.node);
  }
  check(waits_s_.size() == trace_.requests.size(), "the cluster ended before each request was served");
}

ClusterRow Play::row() {
  run();
  ClusterRow row{.router = std::string(choice_.name)};
  std::uint64_t hits = 0;
  for (const auto& node : nodes_) {
    row.loaded_gb += static_cast<double>(node->loaded().count()) / kGigabyte;
    row.cold_wait_s += node->cold_wait_s();
    hits += node->cache_stats().hits;
  }
  std::sort(waits_s_.begin(), waits_s_.end());
  const auto count = static_cast<double>(waits_s_.size());
  const auto wait_at = [&](double share) { return waits_s_[static_cast<std::size_t>(share * (count - 1))]; };
  double all_s = 0;
  for (const double wait_s : waits_s_) row.mean_wait_s += wait_s / count;
  for (const double served_s : served_s_) all_s += served_s;
  row.hit_rate = kHundred * static_cast<double>(hits) / count;
  row.p50_wait_s = wait_at(0.5);
  row.p99_wait_s = wait_at(0.99);
  row.balance = *std::max_element(served_s_.begin(), served_s_.end()) / std::max(all_s, 1e-9) *
                static_cast<double>(nodes_.size());
  row.returned =
      kHundred * static_cast<double>(returned_) / static_cast<double>(std::max<std::size_t>(could_return_, 1));
  return row;
}

}  // namespace

std::vector<std::string_view> router_names() {
  std::vector<std::string_view> names;
  for (const Choice& choice : kRouters) names.push_back(choice.name);
  return names;
}

ClusterRow play_cluster(const Trace& trace, const World& world, std::string_view router,
                        const ClusterOptions& options) {
  const auto* const choice =
      std::find_if(kRouters.begin(), kRouters.end(), [&](const Choice& c) { return c.name == router; });
  check(choice != kRouters.end(), "there is no such router");
  check(!trace.requests.empty(), "the trace has no request");
  return Play(trace, world, *choice, options).row();
}

std::string to_text(const std::vector<ClusterRow>& rows) {
  std::string text = fmt::format("{:<12} {:>11} {:>11} {:>7} {:>9} {:>9} {:>9} {:>8} {:>9}\n", "router", "loaded GB",
                                 "cold wait s", "hits %", "mean wait", "p50 wait", "p99 wait", "balance", "returned");
  for (const ClusterRow& row : rows) {
    text += fmt::format("{:<12} {:>11.1f} {:>11.1f} {:>7.2f} {:>7.2f} s {:>7.2f} s {:>7.2f} s {:>8.2f} {:>7.1f} %\n",
                        row.router, row.loaded_gb, row.cold_wait_s, row.hit_rate, row.mean_wait_s, row.p50_wait_s,
                        row.p99_wait_s, row.balance, row.returned);
  }
  return text;
}

}  // namespace minerva::cachesim
