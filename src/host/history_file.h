// The core's history as a JSON document. Its times are spans before the moment it was written, since the core's clock
// means nothing in another process. The wall clock tells how long ago that moment was; if it was set back meanwhile,
// the document counts as just written.
//
// Plain functions; any thread. The reader expects bytes from strangers.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "io/state_file.h"
#include "minerva/base/result.h"
#include "minerva/context/history.h"

namespace minerva {

// The same moment on the wall clock and on the core's.
struct Moment {
  TimePoint now;
  std::chrono::system_clock::time_point wall;

  static Moment current() { return {Clock::now(), std::chrono::system_clock::now()}; }
};

inline constexpr io::StateFile::Format kHistoryFormat{"history", 1,
                                                      "statistics begin anew, and no model comes back by itself"};

std::string history_text(const History& history, const Moment& made);
// Errors: kIo, with what is wrong with the text.
Result<History> parse_history(std::string_view text, const Moment& read);

}  // namespace minerva
