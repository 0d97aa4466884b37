#include "engine/engine_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace minerva {
namespace {

constexpr unsigned kDefaultContext = 8192;

enum class Match { kExact, kPrefix };

struct Denied {
  std::string_view name;
  Match match;
  std::string_view instead;
};

constexpr std::string_view kOwnAddress = "Minerva gives each engine an address of its own";
constexpr std::string_view kOwnDoor = "clients reach the engine through Minerva only";
constexpr std::string_view kPathKey = "set the model's \"path\"";
constexpr std::string_view kNoDownloads = "engines do not download; put the file into a models folder";
constexpr std::string_view kProjector = "put the projector (mmproj*.gguf) beside the model, in a folder of its own";
constexpr std::string_view kNoTools = "engines may not run tools";
constexpr std::string_view kPrints = "it makes the engine print something and exit";
constexpr std::string_view kOwnLog = "Minerva keeps the engine's log (minerva logs)";

constexpr std::array kDenied = {
    Denied{"--host", Match::kPrefix, kOwnAddress},
    Denied{"--port", Match::kPrefix, kOwnAddress},
    Denied{"--reuse-port", Match::kExact, kOwnAddress},
    Denied{"--path", Match::kExact, kOwnDoor},
    Denied{"--api-prefix", Match::kPrefix, kOwnDoor},
    Denied{"--api-key", Match::kPrefix, kOwnDoor},
    Denied{"--ssl", Match::kPrefix, kOwnDoor},
    Denied{"--cors", Match::kPrefix, kOwnDoor},
    Denied{"--no-cors", Match::kPrefix, kOwnDoor},
    Denied{"--ui", Match::kPrefix, kOwnDoor},
    Denied{"--webui", Match::kPrefix, kOwnDoor},
    Denied{"--media-path", Match::kPrefix, kOwnDoor},
    Denied{"--no-slots", Match::kExact, "Minerva asks the engine which of its slots are busy"},
    Denied{"--slot-save-path", Match::kPrefix, kOwnDoor},
    Denied{"--tools", Match::kPrefix, kNoTools},
    Denied{"--mcp", Match::kPrefix, kNoTools},
    Denied{"--agent", Match::kExact, kNoTools},
    Denied{"-ag", Match::kExact, kNoTools},
    Denied{"-hf", Match::kPrefix, kNoDownloads},
    Denied{"--hf", Match::kPrefix, kNoDownloads},
    Denied{"--spec-draft-hf", Match::kPrefix, kNoDownloads},
    Denied{"--docker", Match::kPrefix, kNoDownloads},
    Denied{"-dr", Match::kExact, kNoDownloads},
    Denied{"--model-url", Match::kPrefix, kNoDownloads},
    Denied{"-mu", Match::kExact, kNoDownloads},
    Denied{"-m", Match::kExact, kPathKey},
    Denied{"--model", Match::kExact, kPathKey},
    Denied{"--models", Match::kPrefix, "one engine runs one model; Minerva chooses among them"},
    Denied{"--mmproj", Match::kPrefix, kProjector},
    Denied{"--no-mmproj", Match::kPrefix, kProjector},
    Denied{"-mm", Match::kExact, kProjector},
    Denied{"-mmu", Match::kExact, kNoDownloads},
    Denied{"-a", Match::kExact, "set the model's \"aliases\""},
    Denied{"--alias", Match::kExact, "set the model's \"aliases\""},
    Denied{"-c", Match::kExact, "set the model's \"context\" (tokens per conversation)"},
    Denied{"--ctx-size", Match::kExact, "set the model's \"context\" (tokens per conversation)"},
    Denied{"-np", Match::kExact, "set the model's \"parallel\""},
    Denied{"--parallel", Match::kExact, "set the model's \"parallel\""},
    Denied{"-nr", Match::kExact, "set the model's \"weights\" to \"mapped\""},
    Denied{"--no-repack", Match::kExact, "set the model's \"weights\" to \"mapped\""},
    Denied{"--repack", Match::kExact, "set the model's \"weights\" to \"repacked\""},
    Denied{"-fit", Match::kPrefix, "Minerva predicts and bounds memory itself"},
    Denied{"--fit", Match::kPrefix, "Minerva predicts and bounds memory itself"},
    Denied{"--sleep-idle-seconds", Match::kExact, "Minerva decides when a model leaves memory"},
    Denied{"--log-file", Match::kExact, kOwnLog},
    Denied{"--log-disable", Match::kExact, kOwnLog},
    Denied{"--log-jsonl", Match::kExact, kOwnLog},
    Denied{"--log-prompts-dir", Match::kExact, "prompts are not written to disk"},
    Denied{"-h", Match::kExact, kPrints},
    Denied{"--help", Match::kExact, kPrints},
    Denied{"--usage", Match::kExact, kPrints},
    Denied{"--version", Match::kExact, kPrints},
    Denied{"--completion-bash", Match::kExact, kPrints},
    Denied{"--list-devices", Match::kExact, kPrints},
    Denied{"-cl", Match::kExact, kPrints},
    Denied{"--cache-list", Match::kExact, kPrints},
};

// llama.cpp takes "--ctx_size" for "--ctx-size".
std::string normalized(std::string_view argument) {
  std::string name(argument.substr(0, argument.find('=')));
  if (name.starts_with("--")) std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

const Denied* find_denied(std::string_view name) {
  const auto it = std::find_if(kDenied.begin(), kDenied.end(), [name](const Denied& denied) {
    return denied.match == Match::kPrefix ? name.starts_with(denied.name) : name == denied.name;
  });
  return it == kDenied.end() ? nullptr : &*it;
}

}  // namespace

unsigned conversation_context(const ModelSpec& spec, unsigned trained_context) {
  if (spec.context) return *spec.context;
  return trained_context == 0 ? kDefaultContext : std::min(trained_context, kDefaultContext);
}

std::vector<std::string> engine_arguments(const ModelSpec& spec, const ModelMetadata* metadata,
                                          const EngineDefaults& defaults) {
  const unsigned context = conversation_context(spec, metadata == nullptr ? 0 : metadata->trained_context);
  const std::uint64_t total = std::uint64_t{context} * spec.parallel;
  const bool embeds = metadata != nullptr && (metadata->can_embed || metadata->can_rerank);
  // An encoder needs its whole input in one batch.
  const unsigned batch = embeds ? std::max(context, defaults.batch) : defaults.batch;
  const WeightsMode weights = spec.weights == WeightsMode::kAuto ? defaults.weights : spec.weights;

  std::vector<std::string> arguments = {"--offline", "--no-ui", "--no-warmup", "-fit", "off"};
  const auto add = [&arguments](std::string_view name, std::string value) {
    arguments.emplace_back(name);
    arguments.push_back(std::move(value));
  };
  add("-c", fmt::to_string(total));
  add("-np", fmt::to_string(spec.parallel));
  add("-b", fmt::to_string(batch));
  add("-ub", fmt::to_string(batch));
  add("--cache-ram", fmt::to_string(defaults.prompt_cache.rounded_mib()));
  add("--ctx-checkpoints", fmt::to_string(defaults.context_checkpoints));
  if (defaults.threads != 0) add("-t", fmt::to_string(defaults.threads));
  if (weights == WeightsMode::kMapped) arguments.emplace_back("--no-repack");
  if (!spec.mmproj.empty()) add("--mmproj", spec.mmproj);
  if (metadata != nullptr && metadata->can_rerank) {
    arguments.emplace_back("--reranking");
  } else if (embeds) {
    arguments.emplace_back("--embeddings");
  }
  // Last, so that they win.
  arguments.insert(arguments.end(), spec.args.begin(), spec.args.end());
  return arguments;
}

Result<void> check_engine_arguments(const std::vector<std::string>& args) {
  for (const std::string& argument : args) {
    if (argument.find('\0') != std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, "an argument must not contain a zero byte");
    }
    if (!argument.starts_with('-')) continue;
    const std::string name = normalized(argument);
    if (const Denied* const denied = find_denied(name); denied != nullptr) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not allowed: {}", argument, denied->instead));
    }
    // "--gpt-oss-20b-default" and its like name a model to download.
    if (name.starts_with("--") && name.ends_with("-default") && name != "--spec-default") {
      return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not allowed: {}", argument, kNoDownloads));
    }
  }
  return {};
}

}  // namespace minerva
