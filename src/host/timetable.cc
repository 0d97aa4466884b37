#include "host/timetable.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"

namespace minerva {
namespace {

using std::chrono::sys_seconds;

constexpr auto kLongestSleep = std::chrono::minutes(1);
constexpr auto kShortestSleep = std::chrono::milliseconds(1);
constexpr auto kStillDone = std::chrono::minutes(5);

// Why the model is not to be unloaded; empty if it is.
std::string why_it_stays(const ModelView& model) {
  if (model.pinned) return "it is pinned";
  if (model.leases > 0) return "it is in use";
  if (model.waiting > 0) return "requests wait for it";
  switch (model.residency) {
    case Residency::kPreparing:
    case Residency::kLoading:
    case Residency::kWaking:
      return "it is wanted";
    default:
      return {};
  }
}

}  // namespace

Timetable::Timetable(io::Loop& loop, ModelHost& host, std::function<WallTime()> wall_clock)
    : host_(host), wall_clock_(std::move(wall_clock)), timer_(loop), seen_(wall_clock_()) {}

const char* Timetable::name(Kind kind) { return kind == Kind::kPreload ? "preload" : "unload"; }

sys_seconds Timetable::next_of(const CronSchedule& schedule) const {
  return schedule.next(std::chrono::floor<std::chrono::seconds>(seen_), zone_);
}

void Timetable::set(const TimeZone& zone, Duration patience, const std::vector<const ModelSpec*>& models) {
  if (stopped_) return;
  // First does what is due by the old schedules, which were in force until now.
  look();
  const bool same_zone = zone == zone_;
  zone_ = zone;
  patience_ = patience;
  const std::map<Key, Entry> before = std::exchange(entries_, {});
  const auto add = [&](Kind kind, const ModelId& model, const std::optional<CronSchedule>& schedule) {
    if (!schedule) return;
    const Key key(kind, model);
    const auto known = before.find(key);
    if (same_zone && known != before.end() && known->second.schedule == *schedule) {
      entries_.insert(*known);
      return;
    }
    const sys_seconds next = next_of(*schedule);
    entries_.emplace(key, Entry{*schedule, next});
    log::info({{"model", model}}, "the next {} of {} by its schedule is at {}", name(kind), model, zone_.text(next));
  };
  for (const ModelSpec* const spec : models) {
    add(Kind::kPreload, spec->id, spec->preload_at);
    add(Kind::kUnload, spec->id, spec->unload_at);
  }
  arm();
}

void Timetable::stop() {
  stopped_ = true;
  entries_.clear();
  timer_.cancel();
}

Timetable::Next Timetable::next(const ModelId& model) const {
  const auto time_of = [&](Kind kind) -> std::optional<sys_seconds> {
    const auto found = entries_.find(Key(kind, model));
    if (found == entries_.end()) return std::nullopt;
    return found->second.next;
  };
  return {time_of(Kind::kPreload), time_of(Kind::kUnload)};
}

void Timetable::read_clock() {
  const WallTime now = wall_clock_();
  if (now > seen_ - kStillDone) {
    seen_ = std::max(seen_, now);
    return;
  }
  seen_ = now;
  if (entries_.empty()) return;
  log::info("the clock was set back to {}: models' schedules go on from there",
            zone_.text(std::chrono::floor<std::chrono::seconds>(now)));
  for (auto& [key, entry] : entries_) entry.next = next_of(entry.schedule);
}

void Timetable::look() {
  read_clock();
  const sys_seconds now = std::chrono::floor<std::chrono::seconds>(seen_);
  std::vector<std::pair<Key, sys_seconds>> due;
  for (auto& [key, entry] : entries_) {
    if (entry.next > now) continue;
    const sys_seconds oldest = now - kStillDone;
    const sys_seconds recent = entry.next > oldest ? entry.next : entry.schedule.next(oldest, zone_);
    if (recent <= now) {
      due.emplace_back(key, recent);
    } else {
      log::warn("the {} of {} at {} was slept through: it is skipped", name(key.first), key.second,
                zone_.text(entry.next));
    }
    entry.next = next_of(entry.schedule);
  }
  for (const auto& [key, time] : due) carry_out(key, time);
  arm();
}

void Timetable::arm() {
  if (entries_.empty()) {
    timer_.cancel();
    return;
  }
  const auto first = std::min_element(entries_.begin(), entries_.end(),
                                      [](const auto& a, const auto& b) { return a.second.next < b.second.next; });
  const WallTime now = wall_clock_();
  // Compares in seconds first: a time that is centuries away overflows nanoseconds.
  Duration sleep = kLongestSleep;
  if (first->second.next < std::chrono::floor<std::chrono::seconds>(now) + kLongestSleep) {
    sleep = std::clamp<Duration>(first->second.next - now, kShortestSleep, kLongestSleep);
  }
  timer_.arm(Clock::now() + sleep, [this] { look(); });
}

void Timetable::carry_out(const Key& key, sys_seconds due) {
  const auto& [kind, model] = key;
  const auto entry = entries_.find(key);
  log::info({{"model", model}}, "{} of {}, which its schedule has at {}; the next one is at {}", name(kind), model,
            zone_.text(due), entry == entries_.end() ? "no time" : zone_.text(entry->second.next));
  kind == Kind::kPreload ? preload(model) : unload(model);
}

void Timetable::preload(const ModelId& model) {
  host_.load(model, /*preload=*/true, /*force=*/false, Clock::now() + patience_, [model](const Result<Done>& done) {
    if (!done) {
      log::warn("{} was not preloaded as its schedule has it: {}", model, done.error().message);
    } else if (!done->changed) {
      log::info({{"model", model}}, "{} was loaded already", model);
    }
  });
}

void Timetable::unload(const ModelId& model) {
  const std::optional<ModelView> now = host_.context().model(model, Clock::now());
  if (!now || now->residency == Residency::kCold) {
    log::info({{"model", model}}, "{} was not loaded", model);
    return;
  }
  if (const std::string why = why_it_stays(*now); !why.empty()) {
    log::info({{"model", model}}, "{} is not unloaded: {}", model, why);
    return;
  }
  host_.unload_idle(model, Asker::kSchedule, [model](const Result<Done>& done) {
    if (!done) log::warn("{} was not unloaded as its schedule has it: {}", model, done.error().message);
  });
}

}  // namespace minerva
