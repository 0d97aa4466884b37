// The history of the core as a document: JSON, whose times are spans before it was made, as the core's clock means
// nothing in another process. The wall clock tells how long ago that was; if it was set back meanwhile, no time passed.
//
// Plain functions; any thread. Reading expects foreign bytes.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "io/state_file.h"
#include "minerva/base/result.h"
#include "minerva/context/history.h"

namespace minerva {

// The same moment on both clocks.
struct Moment {
  TimePoint now;
  std::chrono::system_clock::time_point wall;

  static Moment current() { return {Clock::now(), std::chrono::system_clock::now()}; }
};

inline constexpr io::StateFile::Format kHistoryFormat{"history", 1,
                                                      "statistics begin anew, and no model comes back by itself"};

std::string history_text(const History& history, const Moment& made);
// Errors: kIo, what is wrong with it.
Result<History> parse_history(std::string_view text, const Moment& read);

}  // namespace minerva
