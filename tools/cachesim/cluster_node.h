// ClusterNode: one node of the simulated cluster. Carries out what its ContextManager says, with ideal engines.
//
// Threading: plain values, one thread. A node learns of a model when the model is first asked for there, so that a
// thousand nodes with ten thousand models fit a machine.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <unordered_map>
#include <variant>
#include <vector>

#include "cachesim/trace.h"
#include "cachesim/world.h"
#include "minerva/context/context_manager.h"

namespace minerva::cachesim {

inline constexpr double kForeverS = 1e18;

class ClusterNode {
 public:
  struct Surroundings {
    const Trace& trace;
    const World& world;
    unsigned slots = 1;
    // Delivers an event to this node later.
    std::function<void(Duration after, const Event& event)> later;
    std::function<void(std::uint32_t request, Duration waited)> granted;
  };

  ClusterNode(Bytes memory, std::size_t most_requests, Surroundings around);

  void request(std::uint32_t number, TimePoint now);
  void deliver(const Event& event, TimePoint now);
  // Must be delivered at this time, unless another event comes before.
  std::optional<TimePoint> next_timer() const { return manager_.next_timer(); }

  // ---- what a router may ask ----
  struct View {
    Residency residency = Residency::kCold;
    std::size_t in_flight = 0;  // for the model
  };
  View view(std::uint32_t model, TimePoint now) const;
  std::size_t in_flight() const { return in_flight_; }
  Bytes free() const { return manager_.memory_budget() - manager_.reserved_memory(); }
  // Seconds until all that is being loaded is there, one after the other.
  double loading_s() const { return loading_s_; }
  struct Price {
    double seconds = 0;         // until what leaves for the model is back, weighted with the chance that it is wanted
    double idle_s = kForeverS;  // since the latest use of what leaves; for ever if nothing does
  };
  Price price(std::uint32_t model, TimePoint now);
  // The models that were asked for last, at most `most`.
  bool asked_lately(std::uint32_t model) const { return lately_where_.contains(model); }
  std::size_t models_lately() const { return lately_.size(); }

  Bytes loaded() const { return loaded_; }
  double cold_wait_s() const { return cold_wait_s_; }
  const CacheStats& cache_stats() const { return manager_.cache_stats(); }

  std::size_t most_lately = SIZE_MAX;

 private:
  void know(std::uint32_t model, TimePoint now);
  void remember(std::uint32_t model);
  void carry_out(const Inspect& action);
  void carry_out(const Spawn& action);
  void carry_out(const Stop& action);
  void carry_out(const Grant& action);
  void carry_out(const ReadAhead&) {}
  template <typename Other>
  void carry_out(const Other&);

  Surroundings around_;
  ContextManager manager_;
  std::unordered_map<ModelId, std::uint32_t> indexes_;    // of the models that this node knows
  std::unordered_map<std::uint32_t, std::size_t> asked_;  // requests in flight by model
  std::unordered_map<EngineId, double> loads_;            // seconds that each load under way takes
  std::list<std::uint32_t> lately_;
  std::unordered_map<std::uint32_t, std::list<std::uint32_t>::iterator> lately_where_;
  std::size_t in_flight_ = 0;
  double loading_s_ = 0;
  double cold_wait_s_ = 0;
  Bytes loaded_;
};

}  // namespace minerva::cachesim
