// Known bugs that a special build can switch on, to prove that the simulator finds them (tests/sim/).
//
// In every other build planted_bug() is a constant false and the bug is not compiled in. Threading: set before any use.
#pragma once

#include <array>
#include <string_view>

namespace minerva {

enum class PlantedBug {
  kNone,
  kReleaseBeforeReap,
  kGrantToCancelled,
  kVictimWithLease,
  kPinIgnored,
  kOldExitClearsNew,
  kWaiterForgotten,
  kEvictBeforeInspect,
  kDeadlineNotArmed,
  kJoinIsNoLookup,
  kBusyNeverDrains,
  kBreakerNeverOpens,
  kProbeLetsAllIn,
  kStallIgnored,
  kStalledIsGranted,
  kRetryWithoutEnd,
  kRetryCountsTwice,
  kExpiredIsGranted,
  kOutdatedIsGranted,
  kOldInspectionKept,
  kQueueLimitIsFixed,
  kParkedHoldsNothing,
  kWakeWithoutRoom,
  kParkedIsGranted,
  kRefusedParkFrees,
  kPressureIgnored,
  kTtlIgnored,
  kGuessGoesLast,
  kGuessNeverYields,
  kHighGoesFirst,
  kSwitchesUnbounded,
  kUnloadedComesBack,
  kComesBackFirst,
  kGivesBackTwice,
  kSlotsUnbounded,
  kSlotsKept,
  kWideInParts,
  kTooWideWaits,
  kVisitTakesSlot,
  kTurnsIgnored,
  kLineProtects,
  kLineKeepsTurn,
  kVisitIsService,
  kDryRunIsAlone,
  kDryRunIgnoresPressure,
  kDevicesUnbounded,
  kDeviceStaysTaken,
  kOtherPoolLeaves,
  kOthersIgnored,
  kRefusedWakeHolds,
  kRefusedWakeRepeats,
  kDeniedForEver,
  kTakenDeviceAwaited,
  kKeptPagesDropped,
};

inline constexpr std::array<std::string_view, 54> kPlantedBugNames = {
    "none",
    "release_before_reap",   // memory counts as free when an engine is told to stop, and not when the engine is gone
    "grant_to_cancelled",    // a request that left the queue is granted all the same
    "victim_with_lease",     // a model that serves a request counts as idle
    "pin_ignored",           // a pinned model counts as idle
    "old_exit_clears_new",   // a late exit of an old engine counts as the exit of its successor
    "waiter_forgotten",      // the requests that wait for a load that failed get no answer
    "evict_before_inspect",  // room is made for a model that may not even run
    "deadline_not_armed",    // no timer for a waiting request
    "join_is_no_lookup",     // a request that joins a load under way is not counted
    "busy_never_drains",     // steady traffic on one model starves another
    "breaker_never_opens",   // a model that fails again and again is tried again at once
    "probe_lets_all_in",     // a half-open breaker lets all requests in
    "stall_ignored",         // an engine that hangs is left alone
    "stalled_is_granted",    // an engine that is being killed gets new requests
    "retry_without_end",     // a request that kills its engines gets one after the other
    "retry_counts_twice",    // a request that is tried again is counted as another
    "expired_is_granted",    // a request is granted although its deadline has passed
    "outdated_is_granted",   // an engine whose settings have changed gets new requests
    "old_inspection_kept",   // what was inspected before the settings changed counts afterwards
    "queue_limit_is_fixed",  // queues are as long as they were at the start
    "parked_holds_nothing",  // what a parked model keeps in memory is not counted
    "wake_without_room",     // a model is woken without its memory being reserved
    "parked_is_granted",     // a request goes to a parked engine
    "refused_park_frees",    // a park that was refused is counted as one
    "pressure_ignored",      // models are loaded although the machine's memory is short
    "ttl_ignored",           // a model that is idle for too long stays
    "guess_goes_last",       // other models leave before a model that only a guess wanted
    "guess_never_yields",    // a load on a guess goes on although a request waits
    "high_goes_first",       // high priority overtakes all other requests, however long they have waited
    "switches_unbounded",    // max_switches_per_second is ignored
    "unloaded_comes_back",   // after a restart, a model comes back that an operator unloaded meanwhile
    "comes_back_first",      // a model that comes back after a restart does not wait for requests
    "gives_back_twice",      // a parked model has to give back page cache that it gave back before
    "slots_unbounded",       // an engine gets more requests at once than it has slots
    "slots_kept",            // a slot stays taken when its request has ended
    "wide_in_parts",         // a request for several slots is granted when one is free
    "too_wide_waits",        // a request for more slots than there are waits for them
    "visit_takes_slot",      // a request that generates nothing waits for a slot
    "turns_ignored",         // one caller's many requests go before another one's single request
    "line_protects",         // a model with a long line does not leave for another one
    "line_keeps_turn",       // a model that left with a long line comes back before the other one is loaded
    "visit_is_service",      // the durations of visits count in a model's mean service time
    "dry_run_is_alone",      // a dry run takes no account of other requests that wait
    "dry_run_ignores_pressure",  // a dry run takes no account of a shortage of the machine's memory
    "devices_unbounded",         // only the host's memory is bounded
    "device_stays_taken",        // the memory of a device that a parked model gave back stays taken
    "other_pool_leaves",         // models leave that free nothing of what is missing
    "others_ignored",            // what other programs have of a device counts as free
    "refused_wake_holds",        // the memory of a model whose wake was refused stays taken
    "refused_wake_repeats",      // a wake that was refused is tried again at once
    "denied_for_ever",           // a device that had no room once never has any again
    "taken_device_awaited",      // a request waits for a device that another program has
    "kept_pages_dropped",        // a parked model that is to keep its pages gives them to one that wakes
};

#ifdef MINERVA_PLANTED_BUGS
inline PlantedBug planted_bug_in_force = PlantedBug::kNone;
inline bool planted_bug(PlantedBug bug) { return bug == planted_bug_in_force; }
#else
constexpr bool planted_bug(PlantedBug /*bug*/) { return false; }
#endif

}  // namespace minerva
