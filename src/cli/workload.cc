#include "cli/workload.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "catalog/catalog.h"
#include "engine/llama_engine.h"
#include "io/machine_memory.h"

namespace minerva::cli {
namespace {

namespace fs = std::filesystem;
using cachesim::TraceModel;

// A replay takes no longer loads.
constexpr Duration kLongestLoad = std::chrono::hours(1);

// "a", "b" and 3 more.
std::string names(const std::vector<TraceModel>& models, const std::vector<bool>& chosen) {
  constexpr std::size_t kMost = 5;
  std::vector<std::string> shown;
  std::size_t more = 0;
  for (std::size_t i = 0; i < models.size(); ++i) {
    if (!chosen[i]) continue;
    if (shown.size() < kMost) {
      shown.push_back(fmt::format("\"{}\"", models[i].id));
    } else {
      ++more;
    }
  }
  return fmt::format("{}{}", fmt::join(shown, ", "), more == 0 ? "" : fmt::format(" and {} more", more));
}

std::vector<bool> negation(std::vector<bool> flags) {
  flags.flip();
  return flags;
}

// The catalog's models that a trace may be about, with what earlier servers learned about them.
class KnownModels {
 public:
  explicit KnownModels(const Config& config)
      : parks_(config.park),
        driver_(make_llama_driver(loop_, {.engine_path = config.engine, .runtime_dir = {}, .defaults = {}})),
        catalog_(
            {config.models_dirs, config.models, config.state_dir, config.models_dirs_are_default, config.may_fit()},
            *driver_) {
    catalog_.apply(Catalog::scan(catalog_.options()));
  }

  // Fills in what `model` lacks.
  void describe(TraceModel& model) const {
    const ModelSpec* const spec = catalog_.find(model.id);
    if (spec == nullptr) return;
    const ModelMetadata* const metadata = catalog_.metadata(*spec);
    if (!model.size) {
      const Bytes unmeasured = spec->command.argv.empty() ? spec->size : spec->command.memory;
      const Bytes size = metadata != nullptr ? metadata->footprint() : unmeasured;
      model.size = std::max(size, Bytes(1));
    }
    if (model.reload || metadata == nullptr) return;
    model.reload = parks_ && metadata->wake_time ? metadata->wake_time : metadata->load_time;
    if (model.reload) model.reload = std::clamp<Duration>(*model.reload, std::chrono::milliseconds(1), kLongestLoad);
  }

 private:
  bool parks_;
  io::Loop loop_;
  std::unique_ptr<EngineDriver> driver_;
  Catalog catalog_;
};

// Leaves out what cannot be replayed on this machine, and adds notes about that.
void cut_down(Workload& workload) {
  const auto leave_out = [&](auto matches, std::string_view why) {
    const std::vector<TraceModel>& models = workload.trace.models;
    std::vector<bool> out;
    for (const TraceModel& model : models) out.push_back(matches(model));
    if (std::find(out.begin(), out.end(), true) == out.end()) return;
    workload.notes.push_back(fmt::format("Left out, as {}: {}.", why, names(models, out)));
    workload.trace = cachesim::keep_models(workload.trace, negation(out));
  };
  leave_out([](const TraceModel& model) { return !model.size; }, "they are in no models folder any more");
  leave_out([&](const TraceModel& model) { return *model.size > workload.budget; },
            "they take more than the memory budget");
}

void note_what_is_not_measured(Workload& workload) {
  const std::vector<TraceModel>& models = workload.trace.models;
  std::vector<bool> guessed;
  for (const TraceModel& model : models) guessed.push_back(!model.reload);
  if (std::find(guessed.begin(), guessed.end(), true) == guessed.end()) return;
  workload.notes.push_back(
      fmt::format("How long these take to load was not measured yet, and is guessed from their sizes: {}.",
                  names(models, guessed)));
}

}  // namespace

std::vector<std::string> recorded_traces(const Config& config) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator it(trace_folder(config), error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".csv") files.push_back(it->path().string());
  }
  return files;
}

Result<Workload> read_workload(const Config& config, const std::vector<std::string>& files) {
  Result<cachesim::Trace> trace = cachesim::read_trace(files);
  if (!trace) return fail(trace.error());
  Workload workload{.trace = *std::move(trace),
                    .budget = resolve_budget(config.memory_budget, io::read_machine_memory()),
                    .capacity = std::nullopt,
                    .notes = {}};
  const KnownModels known(config);
  for (TraceModel& model : workload.trace.models) known.describe(model);
  const auto has_size = [](const TraceModel& model) { return model.size.has_value(); };
  if (std::none_of(workload.trace.models.begin(), workload.trace.models.end(), has_size)) {
    workload.notes.emplace_back(
        "None of these models is here, so their sizes and load times are drawn, several times.");
    return workload;
  }
  cut_down(workload);
  if (workload.trace.requests.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("no model of the trace fits the memory budget of {}; give a larger one with "
                            "--memory-budget",
                            format_bytes(workload.budget)));
  }
  note_what_is_not_measured(workload);
  if (config.max_models > 0) {
    workload.notes.push_back(
        fmt::format("That at most {} are in memory at once (max_models) is not replayed.", config.max_models));
  }
  constexpr double kPercent = 100;
  Bytes all;
  for (const TraceModel& model : workload.trace.models) all += *model.size;
  const double share = static_cast<double>(workload.budget.count()) / static_cast<double>(all.count());
  workload.capacity = std::min(kPercent, kPercent * share);
  return workload;
}

}  // namespace minerva::cli
