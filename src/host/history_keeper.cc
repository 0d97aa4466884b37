#include "host/history_keeper.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "base/log.h"
#include "host/history_file.h"

namespace minerva {
namespace {

// At most so much is lost by a kill.
constexpr Duration kPeriod = std::chrono::seconds(2);

void log_restored(const History& history, bool bring_back) {
  std::vector<ModelId> resident;
  for (const ModelHistory& model : history.models) {
    if (model.resident) resident.push_back(model.id);
  }
  if (resident.empty()) return;
  log::info("in memory before the restart: {}{}", fmt::join(resident, ", "),
            bring_back ? "; those that are left and fit come back in the background"
                       : "; they do not come back, as restart.restore is false");
}

}  // namespace

HistoryKeeper::HistoryKeeper(io::Loop& loop, ModelHost& host, const std::string& file, bool bring_back)
    : host_(host), saver_(loop, io::StateFile(file, kHistoryFormat), kPeriod, [this] { return content(); }) {
  const io::StateFile state(file, kHistoryFormat);
  if (const std::optional<std::string> text = state.read()) {
    const Result<History> history = parse_history(*text, Moment::current());
    if (history) {
      log_restored(*history, bring_back);
      host_.restore(*history, bring_back);
    } else {
      state.set_aside(history.error().message);
    }
  }
  host_.on_change([this] { saver_.changed(); });
}

HistoryKeeper::~HistoryKeeper() { host_.on_change({}); }

std::optional<std::string> HistoryKeeper::content() {
  History history = host_.context().history();
  if (given_ == history) return std::nullopt;
  given_ = std::move(history);
  return history_text(*given_, Moment::current());
}

}  // namespace minerva
