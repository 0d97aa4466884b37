// Long because of two tables: the engine's flags, and those that a user may not set.
#include "engine/user_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace minerva {
namespace {

// ---- the user's arguments: by what follows the name. Of llama.cpp v0.5.0, in the order of its help. ----

// Nothing follows.
constexpr std::string_view kFlags[] = {"--swa-full",
                                       "-kvu",
                                       "--kv-unified",
                                       "-no-kvu",
                                       "--no-kv-unified",
                                       "--cache-idle-slots",
                                       "--no-cache-idle-slots",
                                       "--context-shift",
                                       "--no-context-shift",
                                       "--perf",
                                       "--no-perf",
                                       "-e",
                                       "--escape",
                                       "--no-escape",
                                       "-sp",
                                       "--special",
                                       "--warmup",
                                       "--no-warmup",
                                       "--spm-infill",
                                       "--ignore-eos",
                                       "-bs",
                                       "--backend-sampling",
                                       "-kvo",
                                       "--kv-offload",
                                       "-nkvo",
                                       "--no-kv-offload",
                                       "--no-host",
                                       "-cb",
                                       "--cont-batching",
                                       "-nocb",
                                       "--no-cont-batching",
                                       "--mmproj-offload",
                                       "--no-mmproj-offload",
                                       "-cmoe",
                                       "--cpu-moe",
                                       "--check-tensors",
                                       "--op-offload",
                                       "--no-op-offload",
                                       "--embedding",
                                       "--embeddings",
                                       "--rerank",
                                       "--reranking",
                                       "--cache-prompt",
                                       "--no-cache-prompt",
                                       "--metrics",
                                       "--slots",
                                       "--jinja",
                                       "--no-jinja",
                                       "--reasoning-preserve",
                                       "--no-reasoning-preserve",
                                       "--skip-chat-parsing",
                                       "--no-skip-chat-parsing",
                                       "--prefill-assistant",
                                       "--no-prefill-assistant",
                                       "--lora-init-without-apply",
                                       "-v",
                                       "--verbose",
                                       "--log-verbose",
                                       "--offline",
                                       "--log-prefix",
                                       "--no-log-prefix",
                                       "--log-timestamps",
                                       "--no-log-timestamps",
                                       "--spec-draft-cpu-moe",
                                       "-cmoed",
                                       "--cpu-moe-draft",
                                       "--spec-draft-backend-sampling",
                                       "--no-spec-draft-backend-sampling",
                                       "--spec-default"};

// A value follows that is no file.
constexpr std::string_view kValues[] = {"-t",
                                        "--threads",
                                        "-tb",
                                        "--threads-batch",
                                        "-C",
                                        "--cpu-mask",
                                        "-Cr",
                                        "--cpu-range",
                                        "--cpu-strict",
                                        "--prio",
                                        "--poll",
                                        "-Cb",
                                        "--cpu-mask-batch",
                                        "-Crb",
                                        "--cpu-range-batch",
                                        "--cpu-strict-batch",
                                        "--prio-batch",
                                        "--poll-batch",
                                        "--kv-unified-per-slot",
                                        "-n",
                                        "--predict",
                                        "--n-predict",
                                        "-b",
                                        "--batch-size",
                                        "-ub",
                                        "--ubatch-size",
                                        "--keep",
                                        "-ctxcp",
                                        "--ctx-checkpoints",
                                        "--swa-checkpoints",
                                        "-cms",
                                        "--checkpoint-min-step",
                                        "-cram",
                                        "--cache-ram",
                                        "-fa",
                                        "--flash-attn",
                                        "-r",
                                        "--reverse-prompt",
                                        "--samplers",
                                        "-s",
                                        "--seed",
                                        "--sampler-seq",
                                        "--sampling-seq",
                                        "--temp",
                                        "--temperature",
                                        "--top-k",
                                        "--top-p",
                                        "--min-p",
                                        "--top-nsigma",
                                        "--top-n-sigma",
                                        "--xtc-probability",
                                        "--xtc-threshold",
                                        "--typical",
                                        "--typical-p",
                                        "--repeat-last-n",
                                        "--repeat-penalty",
                                        "--presence-penalty",
                                        "--frequency-penalty",
                                        "--dry-multiplier",
                                        "--dry-base",
                                        "--dry-allowed-length",
                                        "--dry-penalty-last-n",
                                        "--dry-sequence-breaker",
                                        "--adaptive-target",
                                        "--adaptive-decay",
                                        "--dynatemp-range",
                                        "--dynatemp-exp",
                                        "--mirostat",
                                        "--mirostat-lr",
                                        "--mirostat-ent",
                                        "-l",
                                        "--logit-bias",
                                        "--grammar",
                                        "-j",
                                        "--json-schema",
                                        "--pooling",
                                        "--rope-scaling",
                                        "--rope-scale",
                                        "--rope-freq-base",
                                        "--rope-freq-scale",
                                        "--yarn-orig-ctx",
                                        "--yarn-ext-factor",
                                        "--yarn-attn-factor",
                                        "--yarn-beta-slow",
                                        "--yarn-beta-fast",
                                        "-ctk",
                                        "--cache-type-k",
                                        "-ctv",
                                        "--cache-type-v",
                                        "-dt",
                                        "--defrag-thold",
                                        "-mmdev",
                                        "--mmproj-device",
                                        "--image-min-tokens",
                                        "--image-max-tokens",
                                        "--mtmd-batch-max-tokens",
                                        "--video-fps",
                                        "--video-timestamp-interval",
                                        "-lm",
                                        "--load-mode",
                                        "-lzm",
                                        "--lazy-mode",
                                        "--numa",
                                        "-dev",
                                        "--device",
                                        "-ot",
                                        "--override-tensor",
                                        "-ncmoe",
                                        "--n-cpu-moe",
                                        "-ncffn",
                                        "--n-cpu-ffn",
                                        "-ngl",
                                        "--gpu-layers",
                                        "--n-gpu-layers",
                                        "-sm",
                                        "--split-mode",
                                        "-ts",
                                        "--tensor-split",
                                        "-mg",
                                        "--main-gpu",
                                        "--override-kv",
                                        "--tags",
                                        "--embd-normalize",
                                        "--chat-template-kwargs",
                                        "-to",
                                        "--timeout",
                                        "--sse-ping-interval",
                                        "--threads-http",
                                        "--cache-reuse",
                                        "--reasoning-format",
                                        "-rea",
                                        "--reasoning",
                                        "--reasoning-effort",
                                        "--reasoning-budget",
                                        "--reasoning-budget-message",
                                        "--chat-template",
                                        "-sps",
                                        "--slot-prompt-similarity",
                                        "--log-colors",
                                        "-lv",
                                        "--verbosity",
                                        "--log-verbosity",
                                        "--spec-draft-threads",
                                        "-td",
                                        "--threads-draft",
                                        "--spec-draft-threads-batch",
                                        "-tbd",
                                        "--threads-batch-draft",
                                        "--spec-draft-cpu-mask",
                                        "-Cd",
                                        "--cpu-mask-draft",
                                        "--spec-draft-cpu-range",
                                        "-Crd",
                                        "--cpu-range-draft",
                                        "--spec-draft-cpu-strict",
                                        "--cpu-strict-draft",
                                        "--spec-draft-prio",
                                        "--prio-draft",
                                        "--spec-draft-poll",
                                        "--poll-draft",
                                        "--spec-draft-cpu-mask-batch",
                                        "-Cbd",
                                        "--cpu-mask-batch-draft",
                                        "--spec-draft-cpu-strict-batch",
                                        "--cpu-strict-batch-draft",
                                        "--spec-draft-prio-batch",
                                        "--prio-batch-draft",
                                        "--spec-draft-poll-batch",
                                        "--poll-batch-draft",
                                        "--spec-draft-type-k",
                                        "-ctkd",
                                        "--cache-type-k-draft",
                                        "--spec-draft-type-v",
                                        "-ctvd",
                                        "--cache-type-v-draft",
                                        "--spec-draft-override-tensor",
                                        "-otd",
                                        "--override-tensor-draft",
                                        "--spec-draft-n-cpu-moe",
                                        "--spec-draft-ncmoe",
                                        "-ncmoed",
                                        "--n-cpu-moe-draft",
                                        "--spec-draft-n-max",
                                        "--spec-draft-n-min",
                                        "--spec-synth-len",
                                        "--spec-synth-rates",
                                        "--spec-draft-p-split",
                                        "--draft-p-split",
                                        "--spec-draft-p-min",
                                        "--draft-p-min",
                                        "--spec-draft-device",
                                        "-devd",
                                        "--device-draft",
                                        "--spec-draft-ngl",
                                        "-ngld",
                                        "--gpu-layers-draft",
                                        "--n-gpu-layers-draft",
                                        "--spec-type",
                                        "--spec-ngram-mod-n-min",
                                        "--spec-ngram-mod-n-max",
                                        "--spec-ngram-mod-n-match",
                                        "--spec-ngram-simple-size-n",
                                        "--spec-ngram-simple-size-m",
                                        "--spec-ngram-simple-min-hits",
                                        "--spec-ngram-map-k-size-n",
                                        "--spec-ngram-map-k-size-m",
                                        "--spec-ngram-map-k-min-hits",
                                        "--spec-ngram-map-k4v-size-n",
                                        "--spec-ngram-map-k4v-size-m",
                                        "--spec-ngram-map-k4v-min-hits"};

// Two values follow.
constexpr std::string_view kPairs[] = {"--control-vector-layer-range"};

// A file follows.
constexpr std::string_view kFiles[] = {"-lcs",
                                       "--lookup-cache-static",
                                       "--grammar-file",
                                       "-jf",
                                       "--json-schema-file",
                                       "--chat-template-file",
                                       "--spec-draft-model",
                                       "-md",
                                       "--model-draft"};

// Files follow, with commas between them.
constexpr std::string_view kFileLists[] = {"--lora", "--control-vector"};

// Files follow, each with a colon and a number, with commas between them.
constexpr std::string_view kScaledFileLists[] = {"--lora-scaled", "--control-vector-scaled"};

// ---- Minerva's arguments. A user's argument that starts like one of these is still the user's. ----

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
constexpr std::string_view kRemoved = "llama.cpp has replaced it (--spec-draft-n-max and its like)";
constexpr std::string_view kOwnLog = "Minerva keeps the engine's log (minerva logs)";

constexpr std::array kDenied = {
    Denied{"--host", Match::kPrefix, kOwnAddress},
    Denied{"--port", Match::kPrefix, kOwnAddress},
    Denied{"--reuse-port", Match::kExact, kOwnAddress},
    Denied{"--path", Match::kExact, kOwnDoor},
    Denied{"--props", Match::kExact, kOwnDoor},
    Denied{"--no-ui", Match::kPrefix, kOwnDoor},
    Denied{"--no-webui", Match::kPrefix, kOwnDoor},
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
    Denied{"--no-agent", Match::kExact, kNoTools},
    Denied{"-no-ag", Match::kExact, kNoTools},
    Denied{"--video-ffmpeg-dir", Match::kExact, kNoTools},
    Denied{"-hf", Match::kPrefix, kNoDownloads},
    Denied{"--hf", Match::kPrefix, kNoDownloads},
    Denied{"--spec-draft-hf", Match::kPrefix, kNoDownloads},
    Denied{"--fim-qwen", Match::kPrefix, kNoDownloads},
    Denied{"--gpt-oss", Match::kPrefix, kNoDownloads},
    Denied{"--vision-gemma", Match::kPrefix, kNoDownloads},
    Denied{"--embd-gemma", Match::kPrefix, kNoDownloads},
    Denied{"--docker", Match::kPrefix, kNoDownloads},
    Denied{"-dr", Match::kExact, kNoDownloads},
    Denied{"--model-url", Match::kPrefix, kNoDownloads},
    Denied{"-mu", Match::kExact, kNoDownloads},
    Denied{"-m", Match::kExact, kPathKey},
    Denied{"--model", Match::kExact, kPathKey},
    Denied{"--no-models", Match::kPrefix, "one engine runs one model; Minerva chooses among them"},
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
    Denied{"--no-log-jsonl", Match::kExact, kOwnLog},
    Denied{"-lcd", Match::kExact, "engines write no files"},
    Denied{"--lookup-cache-dynamic", Match::kExact, "engines write no files"},
    Denied{"--draft", Match::kExact, kRemoved},
    Denied{"--draft-n", Match::kExact, kRemoved},
    Denied{"--draft-max", Match::kExact, kRemoved},
    Denied{"--draft-min", Match::kExact, kRemoved},
    Denied{"--draft-n-min", Match::kExact, kRemoved},
    Denied{"--spec-ngram-size-n", Match::kExact, kRemoved},
    Denied{"--spec-ngram-size-m", Match::kExact, kRemoved},
    Denied{"--spec-ngram-min-hits", Match::kExact, kRemoved},
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

// ---- reading ----

enum class Kind { kFlag, kValue, kPair, kFile, kFileList, kScaledFileList };

std::size_t value_count(Kind kind) { return kind == Kind::kFlag ? 0 : kind == Kind::kPair ? 2 : 1; }

std::optional<Kind> kind_of(std::string_view name) {
  const auto holds = [name](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  if (holds(kFlags)) return Kind::kFlag;
  if (holds(kValues)) return Kind::kValue;
  if (holds(kPairs)) return Kind::kPair;
  if (holds(kFiles)) return Kind::kFile;
  if (holds(kFileLists)) return Kind::kFileList;
  if (holds(kScaledFileLists)) return Kind::kScaledFileList;
  return std::nullopt;
}

const Denied* find_denied(std::string_view name) {
  const auto it = std::find_if(kDenied.begin(), kDenied.end(), [name](const Denied& denied) {
    return denied.match == Match::kPrefix ? name.starts_with(denied.name) : name == denied.name;
  });
  return it == kDenied.end() ? nullptr : &*it;
}

// llama.cpp takes "--ctx_size" for "--ctx-size".
std::string normalized(std::string_view argument) {
  std::string name(argument);
  if (name.starts_with("--")) std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

Failure refused(std::string_view argument, std::string_view reason) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not allowed: {}", argument, reason));
}

// Why `argument`, which a user may not set, is refused.
Failure refusal(const std::string& argument, const std::string& name) {
  const std::size_t equals = argument.find('=');
  const std::string before = name.substr(0, equals);
  if (equals != std::string::npos && kind_of(before)) {
    return refused(argument, "write the argument and its value as two elements of the list");
  }
  if (const Denied* const denied = find_denied(before); denied != nullptr) return refused(argument, denied->instead);
  if (!argument.starts_with('-')) return refused(argument, "it is no argument, and no argument before it takes it");
  return refused(argument, "it is not among the arguments of llama.cpp's server that Minerva knows");
}

// Calls `take(kind, name, first value's index)` for each argument. Stops at the first failure, its own or `take`'s.
template <typename Take>
Result<void> walk(const std::vector<std::string>& args, const Take& take) {
  for (std::size_t i = 0; i < args.size();) {
    const std::string name = normalized(args[i]);
    const std::optional<Kind> kind = kind_of(name);
    if (!kind) return refusal(args[i], name);
    const std::size_t values = value_count(*kind);
    if (args.size() - i <= values) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("\"{}\" lacks its {}", args[i], values == 1 ? "value" : "two values"));
    }
    if (Result<void> taken = take(*kind, args[i], i + 1); !taken) return taken;
    i += 1 + values;
  }
  return {};
}

// ---- files in values ----

struct FileInList {
  std::string file;
  std::string suffix;  // ":0.5"
};

Result<std::vector<FileInList>> split_list(std::string_view value, bool scaled) {
  std::vector<FileInList> files;
  while (true) {
    const std::size_t comma = value.find(',');
    const std::string_view item = value.substr(0, comma);
    const std::size_t colon = scaled ? item.rfind(':') : std::string_view::npos;
    if (scaled && colon == std::string_view::npos) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" lacks its scale (FILE:SCALE)", item));
    }
    files.push_back(
        {std::string(item.substr(0, colon)), colon == std::string_view::npos ? "" : std::string(item.substr(colon))});
    if (comma == std::string_view::npos) return files;
    value.remove_prefix(comma + 1);
  }
}

Result<std::string> place_value(Kind kind, const std::string& value, const PlaceFile& place,
                                std::vector<std::string>& files) {
  if (kind == Kind::kFile) {
    Result<std::string> placed = place(value);
    if (placed) files.push_back(*placed);
    return placed;
  }
  const auto items = split_list(value, kind == Kind::kScaledFileList);
  if (!items) return fail(items.error());
  std::string list;
  for (const FileInList& item : *items) {
    Result<std::string> placed = place(item.file);
    if (!placed) return placed;
    // llama.cpp would not read this path back.
    if (placed->find_first_of(",:\"") != std::string::npos) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("the path {} cannot be part of a list: it holds a comma, a colon or a quote", *placed));
    }
    list += (list.empty() ? "" : ",") + *placed + item.suffix;
    files.push_back(std::move(*placed));
  }
  return list;
}

}  // namespace

Result<void> check_user_arguments(const std::vector<std::string>& args) {
  for (const std::string& argument : args) {
    if (argument.find('\0') != std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, "an argument must not contain a zero byte");
    }
  }
  return walk(args, [](Kind, const std::string&, std::size_t) { return Result<void>(); });
}

Result<PlacedArguments> place_argument_files(const std::vector<std::string>& args, const PlaceFile& place) {
  PlacedArguments placed{args, {}};
  const auto walked = walk(args, [&](Kind kind, const std::string& name, std::size_t at) -> Result<void> {
    if (kind != Kind::kFile && kind != Kind::kFileList && kind != Kind::kScaledFileList) return {};
    Result<std::string> value = place_value(kind, args[at], place, placed.files);
    if (!value) return fail(value.error().code, fmt::format("{} {}: {}", name, args[at], value.error().message));
    placed.args[at] = std::move(*value);
    return {};
  });
  if (!walked) return fail(walked.error());
  return placed;
}

}  // namespace minerva
