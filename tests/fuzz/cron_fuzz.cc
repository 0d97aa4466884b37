// A cron expression. One that is accepted has a next time after any time, and another one after that.
#include <array>

#include "fuzz/input.h"
#include "schedule/cron.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

namespace {

TimeZone zone(std::uint8_t steer) {
  static const std::array<TimeZone, 4> kZones = {TimeZone(), TimeZone::find("Europe/Berlin").value(),
                                                 TimeZone::find("America/New_York").value(),
                                                 TimeZone::find("Australia/Lord_Howe").value()};
  return kZones[steer % kZones.size()];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  const auto schedule = CronSchedule::parse(input.text);
  if (!schedule) {
    check(!schedule.error().message.empty(), "a refusal without words");
    return 0;
  }
  check(schedule->text() == input.text, "it is not what was written");
  const auto again = CronSchedule::parse(schedule->text());
  check(again && *again == *schedule, "it means something else the second time");
  const TimeZone where = zone(input.steer);
  std::chrono::sys_seconds at = std::chrono::sys_days(std::chrono::year(2026) / 1 / 1) +
                                std::chrono::hours(input.steer) * 40 + std::chrono::seconds(input.steer);
  for (int i = 0; i < 8; ++i) {
    const std::chrono::sys_seconds next = schedule->next(at, where);
    check(next > at, "a time that is not after");
    check(schedule->next(next - std::chrono::seconds(1), where) == next, "a time that is passed over");
    at = next;
  }
  return 0;
}
