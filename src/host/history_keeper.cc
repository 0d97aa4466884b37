#include "host/history_keeper.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "base/log.h"
#include "host/history_file.h"

namespace minerva {
namespace {

// A kill loses what happened in this time at most.
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

// A history that an older program wrote, or a model without measured times, keeps the times that it has.
void take_measured_times(ModelHistory& model, const ModelMetadata* known) {
  if (known == nullptr) return;
  if (known->load_time) model.load_time = known->load_time;
  if (known->wake_time) model.wake_time = known->wake_time;
}

}  // namespace

HistoryKeeper::HistoryKeeper(io::Loop& loop, ModelHost& host, const std::string& file, bool bring_back,
                             io::Files& files)
    : host_(host), saver_(loop, io::StateFile(file, kHistoryFormat, files), kPeriod, [this] { return content(); }) {
  const io::StateFile state(file, kHistoryFormat, files);
  if (const std::optional<std::string> text = state.read()) {
    Result<History> history = parse_history(*text, Moment::current());
    if (history) {
      for (ModelHistory& model : history->models) take_measured_times(model, host_.metadata(model.id));
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
  for (ModelHistory& model : history.models) {
    if (host_.metadata(model.id) == nullptr) continue;
    model.load_time.reset();
    model.wake_time.reset();
  }
  if (given_ == history) return std::nullopt;
  given_ = std::move(history);
  return history_text(*given_, Moment::current());
}

}  // namespace minerva
