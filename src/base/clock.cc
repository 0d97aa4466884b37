#include "minerva/base/clock.h"

#include <fmt/format.h>

namespace minerva {

std::string in_words(Duration span) {
  using std::chrono::duration_cast;
  using std::chrono::hours;
  using std::chrono::milliseconds;
  using std::chrono::minutes;
  using std::chrono::seconds;
  if (span < seconds(1)) return fmt::format("{} ms", duration_cast<milliseconds>(span).count());
  if (span < minutes(10)) return fmt::format("{} s", duration_cast<seconds>(span).count());
  if (span < hours(2)) return fmt::format("{} min", duration_cast<minutes>(span).count());
  if (span < hours(48)) return fmt::format("{} h", duration_cast<hours>(span).count());
  return fmt::format("{} days", duration_cast<hours>(span).count() / 24);
}

}  // namespace minerva
