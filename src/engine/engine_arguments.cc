#include "engine/engine_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace minerva {
namespace {

constexpr unsigned kDefaultContext = 8192;

}  // namespace

unsigned conversation_context(const ModelSpec& spec, unsigned trained_context) {
  if (spec.reduction.context) return *spec.reduction.context;
  if (spec.context) return *spec.context;
  return trained_context == 0 ? kDefaultContext : std::min(trained_context, kDefaultContext);
}

bool chooses_devices(const ModelSpec& spec) {
  static constexpr std::array<std::string_view, 13> kArguments = {
      "-dev",         "--device", "-ngl",       "--gpu-layers", "--n-gpu-layers",   "-ts", "--tensor-split", "-sm",
      "--split-mode", "-mg",      "--main-gpu", "-ot",          "--override-tensor"};
  return std::any_of(spec.args.begin(), spec.args.end(), [](const std::string& arg) {
    return std::find(kArguments.begin(), kArguments.end(), std::string_view(arg)) != kArguments.end();
  });
}

std::vector<std::string> engine_arguments(const ModelSpec& spec, const ModelMetadata* metadata,
                                          const EngineDefaults& defaults) {
  const unsigned context = conversation_context(spec, metadata == nullptr ? 0 : metadata->trained_context);
  const unsigned slots = slots_of(spec);
  const std::uint64_t total = std::uint64_t{context} * slots;
  const bool embeds = metadata != nullptr && (metadata->can_embed || metadata->can_rerank);
  // An encoder needs its whole input in one batch. If outputs are pooled, llama.cpp aborts unless its sequences share
  // the batch evenly.
  const unsigned parts = std::max(1U, slots);
  const unsigned batch = embeds ? (std::max(context, defaults.batch) + parts - 1) / parts * parts : defaults.batch;
  const WeightsMode weights = spec.reduction.mapped                ? WeightsMode::kMapped
                              : spec.weights == WeightsMode::kAuto ? defaults.weights
                                                                   : spec.weights;

  // --no-ui is not among them: it becomes `"ui": false` in the engine's /props, and llama.cpp's web UI hides such a
  // model once it is loaded. There is nothing to switch off: minerva-engine is built without the UI's files.
  std::vector<std::string> arguments = {"--offline", "--no-warmup", "-fit", "off"};
  const auto add = [&arguments](std::string_view name, std::string value) {
    arguments.emplace_back(name);
    arguments.push_back(std::move(value));
  };
  add("-c", fmt::to_string(total));
  add("-np", fmt::to_string(slots));
  add("-b", fmt::to_string(batch));
  add("-ub", fmt::to_string(batch));
  add("--cache-ram", fmt::to_string(spec.reduction.prompt_cache.value_or(defaults.prompt_cache).rounded_mib()));
  add("--ctx-checkpoints", fmt::to_string(spec.reduction.checkpoints.value_or(defaults.context_checkpoints)));
  if (defaults.threads != 0) add("-t", fmt::to_string(defaults.threads));
  if (weights == WeightsMode::kMapped) arguments.emplace_back("--no-repack");
  if (!spec.mmproj.empty()) add("--mmproj", spec.mmproj);
  if (metadata != nullptr && metadata->can_rerank) {
    arguments.emplace_back("--reranking");
  } else if (embeds) {
    arguments.emplace_back("--embeddings");
  }
  if (!spec.placement.devices.empty()) {
    add("--device", fmt::format("{}", fmt::join(spec.placement.devices, ",")));
    if (!spec.placement.split.empty()) {
      add("--tensor-split", fmt::format("{}", fmt::join(spec.placement.split, ",")));
    }
    add("-ngl", spec.placement.layers ? fmt::to_string(*spec.placement.layers) : "all");
  }
  // Last, so that they take precedence.
  arguments.insert(arguments.end(), spec.args.begin(), spec.args.end());
  return arguments;
}

}  // namespace minerva
