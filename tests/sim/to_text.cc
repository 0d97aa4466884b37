// Writes events and actions as the lines of a replay.
#include <fmt/format.h>

#include "sim/referee.h"

namespace minerva::sim {
namespace {

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

std::uint64_t n(RequestId id) { return static_cast<std::uint64_t>(id); }
std::uint64_t n(EngineId id) { return static_cast<std::uint64_t>(id); }
std::uint64_t n(UserId id) { return static_cast<std::uint64_t>(id); }

std::string until(TimePoint deadline) {
  if (deadline == TimePoint::max()) return "-";
  return fmt::format("{} ms",
                     std::chrono::duration_cast<std::chrono::milliseconds>(deadline.time_since_epoch()).count());
}

std::string span(Duration d) {
  return fmt::format("{} ms", std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
}

std::string_view if_set(bool set, std::string_view word) { return set ? word : std::string_view(); }

std::string names(const std::vector<ModelId>& ids) {
  std::string text;
  for (const ModelId& id : ids) text += (text.empty() ? "" : ",") + id;
  return text;
}

std::string in_pools(const Footprint& footprint) {
  std::string text = format_bytes(footprint.host());
  for (std::size_t pool = 1; pool < Footprint::kPools; ++pool) {
    if (footprint.of(pool) > Bytes()) text += fmt::format(" + {} of device {}", format_bytes(footprint.of(pool)), pool);
  }
  return text;
}

}  // namespace

// Long because it has a case for each event.
std::string to_text(const Event& event) {
  return std::visit(
      Overloaded{
          [](const ModelAdded& e) {
            return fmt::format("ModelAdded {}{}{}{}", e.model, if_set(e.pinned, " pinned"),
                               if_set(e.preload == PreloadStrategy::kEager, " eager"),
                               if_set(e.outdated, " outdated")) +
                   (e.ttl + e.unload_ttl > Duration::zero()
                        ? fmt::format(" ttl {}, unload_ttl {}", span(e.ttl), span(e.unload_ttl))
                        : "");
          },
          [](const HistoryRestored& e) {
            std::vector<ModelId> resident;
            for (const ModelHistory& model : e.history.models) {
              if (model.resident) resident.push_back(model.id);
            }
            return fmt::format("HistoryRestored {}{}", names(resident), if_set(e.bring_back, " bring back"));
          },
          [](const ClearRequested& e) {
            return fmt::format("ClearRequested{}{}{}", if_set(e.stats, " stats"), if_set(e.history, " history"),
                               if_set(e.images, " images"));
          },
          [](const ModelRemoved& e) { return fmt::format("ModelRemoved {}", e.model); },
          [](const LeaseRequested& e) {
            return fmt::format("LeaseRequested #{} {} of user {} for {} slots until {}{}", n(e.request), e.model,
                               n(e.caller.user), e.slots, until(e.deadline), if_set(e.looking, " looking"));
          },
          [](const LoadRequested& e) {
            return fmt::format("LoadRequested #{} {} until {}{}{}", n(e.request), e.model, until(e.deadline),
                               if_set(e.preload, " preload"), if_set(e.force, " force"));
          },
          [](const UnloadRequested& e) {
            return fmt::format("UnloadRequested #{} {} until {}{}", n(e.request), e.model, until(e.deadline),
                               if_set(e.force, " force"));
          },
          [](const PinRequested& e) {
            return fmt::format("PinRequested #{} {} {}", n(e.request), e.model, e.pinned ? "pin" : "unpin");
          },
          [](const RequestCancelled& e) { return fmt::format("RequestCancelled #{}", n(e.request)); },
          [](const LeaseReleased& e) {
            return fmt::format("LeaseReleased #{} {}", n(e.request),
                               e.end == LeaseEnd::kCompleted ? "completed"
                               : e.end == LeaseEnd::kFailed  ? "failed"
                                                             : "cancelled");
          },
          [](const LeaseLost& e) { return fmt::format("LeaseLost #{} until {}", n(e.request), until(e.deadline)); },
          [](const Inspected& e) {
            return fmt::format("Inspected {} ticket {}: {}{}", e.model, e.ticket,
                               e.footprint ? in_pools(*e.footprint) : e.footprint.error().message,
                               e.slots > 0 ? fmt::format(", {} slots", e.slots) : "");
          },
          [](const EngineReady& e) {
            return fmt::format("EngineReady e{}{}", n(e.engine), if_set(e.can_park, " can park"));
          },
          [](const ParkRequested& e) {
            return fmt::format("ParkRequested #{} {} until {}{}", n(e.request), e.model, until(e.deadline),
                               if_set(e.force, " force"));
          },
          [](const EngineParked& e) {
            return fmt::format("EngineParked e{} keeps {}, image {}, cached {}", n(e.engine), in_pools(e.residue),
                               format_bytes(e.image), format_bytes(e.cached));
          },
          [](const ParkRefused& e) {
            return fmt::format("ParkRefused e{}: {} (image {})", n(e.engine), e.reason.message,
                               format_bytes(e.image_wanted));
          },
          [](const EngineWoken& e) {
            return fmt::format("EngineWoken e{} cached {}, missing {}, displaces {} of {}", n(e.engine),
                               format_bytes(e.cached), format_bytes(e.missing), format_bytes(e.displaced),
                               format_bytes(e.page_cache));
          },
          [](const WakeRefused& e) { return fmt::format("WakeRefused e{}: {}", n(e.engine), e.reason.message); },
          [](const FootprintMeasured& e) {
            return fmt::format("FootprintMeasured e{} {}", n(e.engine), in_pools(e.footprint));
          },
          [](const PressureChanged& e) {
            return fmt::format("PressureChanged {}, short by {}", e.under_pressure, format_bytes(e.short_by));
          },
          [](const DevicesChanged& e) { return fmt::format("DevicesChanged {}", in_pools(e.available)); },
          [](const EngineExited& e) { return fmt::format("EngineExited e{}: {}", n(e.engine), e.reason.message); },
          [](const EngineStalled& e) { return fmt::format("EngineStalled e{}", n(e.engine)); },
          [](const OptionsChanged& e) {
            const ContextOptions& o = e.options;
            return fmt::format(
                "OptionsChanged budget {}, max_models {}, parking {} in {} and {} on disk, queues {} a model and {} in "
                "all, load_timeout {}, min_residency {}, head_start {}, {} switches/s{}{}",
                format_bytes(o.memory_budget), o.max_models, o.parking.enabled, format_bytes(o.parking.memory),
                format_bytes(o.parking.images), o.max_queue_per_model, o.max_queue, span(o.load_timeout),
                span(o.min_residency), span(o.head_start), o.max_switches_per_second,
                if_set(o.prediction.preload, ", preload"), if_set(o.prediction.read_ahead, ", read_ahead"));
          },
          [](const DrainRequested& e) { return fmt::format("DrainRequested until {}", until(e.deadline)); },
          [](const TimerFired&) { return std::string("TimerFired"); },
      },
      event);
}

std::string to_text(const Action& action) {
  return std::visit(
      Overloaded{
          [](const Inspect& a) { return fmt::format("Inspect {} ticket {}", a.model, a.ticket); },
          [](const Spawn& a) { return fmt::format("Spawn e{} {} ({})", n(a.engine), a.model, in_pools(a.footprint)); },
          [](const Park& a) {
            return fmt::format("Park e{} {} in at most {}: {}", n(a.engine), a.model, format_bytes(a.max_image),
                               a.reason);
          },
          [](const Wake& a) { return fmt::format("Wake e{} {}", n(a.engine), a.model); },
          [](const DropPages& a) {
            return fmt::format("DropPages e{} {} {}", n(a.engine), a.model, format_bytes(a.bytes));
          },
          [](const ReadAhead& a) { return fmt::format("ReadAhead {}{}", a.model, if_set(a.likely, " (likely)")); },
          [](const Stop& a) { return fmt::format("Stop e{} {}: {}", n(a.engine), a.model, a.reason); },
          [](const Kill& a) { return fmt::format("Kill e{} {}", n(a.engine), a.model); },
          [](const Grant& a) {
            return fmt::format("Grant #{} {} e{} {}", n(a.request), a.model, n(a.engine),
                               a.outcome == CacheOutcome::kHit      ? "hit"
                               : a.outcome == CacheOutcome::kParked ? "parked"
                                                                    : "miss");
          },
          [](const Done& a) {
            return fmt::format("Done #{} {}{}{}{}", n(a.request), a.model, if_set(!a.changed, " unchanged"),
                               if_set(!a.evicted.empty(), " evicted "), names(a.evicted));
          },
          [](const Reject& a) {
            return fmt::format("Reject #{} {}: {}", n(a.request), error_info(a.error.code).name, a.error.message);
          },
          [](const Abort& a) { return fmt::format("Abort #{}: {}", n(a.request), a.error.message); },
      },
      action);
}

}  // namespace minerva::sim
