// ModelSpec: what the catalog and the config say about one model. ModelMetadata: what inspecting its file says.
//
// Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"
#include "minerva/base/ids.h"
#include "minerva/context/types.h"
#include "schedule/cron.h"

namespace minerva {

// How weights are held (docs/adr/0005-engine-defaults.md).
enum class WeightsMode { kAuto, kRepacked, kMapped };

// A program of the operator's that serves a model, in the place of llama.cpp's server (engine/command_engine.h).
struct CommandSpec {
  // The program and its arguments. "${PORT}" or "${SOCKET}", in here or in the environment, becomes where it listens.
  std::vector<std::string> argv;         // empty: there is none
  std::vector<std::string> environment;  // "NAME=value", beside what every engine inherits
  std::string health = "/health";        // answers 2xx once it can serve
  Bytes memory;                          // all it will take: nobody can tell ahead but the operator

  bool operator==(const CommandSpec&) const = default;
};

// What gave way, of the settings that nobody chose, so that a model fits the memory budget. Unset: that setting has its
// default (docs/adr/0027-fit.md).
struct Reduction {
  std::optional<Bytes> prompt_cache = {};    // whole MiB
  std::optional<unsigned> checkpoints = {};  // per conversation
  bool mapped = false;                       // the weights are mapped instead of repacked
  std::optional<unsigned> parallel = {};     // conversations at once
  std::optional<unsigned> context = {};      // tokens per conversation

  bool operator==(const Reduction&) const = default;
};

struct ModelSpec {
  ModelId id;
  std::vector<ModelId> aliases;
  CommandSpec command;                  // instead of a file, and of all that is about files
  std::string name;                     // its file's stem, in any script
  std::string place;                    // where a scan found it (catalog/file_book.h); empty: it did not
  std::string repo;                     // "org/repo", of the Hugging Face cache; empty: it is of none
  std::vector<std::string> companions;  // absolute: files that go with it, used or not; its projector too
  std::string path;                     // absolute, symlinks resolved; the first shard of several
  std::string mmproj;                   // absolute; empty if the model has no projector
  std::vector<std::string> more_files;  // absolute: its other parts, and what `args` name
  Bytes size;                           // of the model and its projector
  std::int64_t modified_ns = 0;         // the newest of all these files, since the epoch
  std::string identity;                 // of all these files: another one when any of them was replaced or written to

  bool fit = true;                   // what is unset below gives way if the model does not fit the memory budget
  std::optional<unsigned> context;   // tokens per conversation; unset: the smaller of trained and 8192
  bool context_may_shrink = false;   // the context gives way although it is set, and further than an unset one
  std::optional<unsigned> parallel;  // conversations at once; unset: kDefaultParallel
  bool pinned = false;
  PreloadStrategy preload = PreloadStrategy::kLazy;
  std::optional<CronSchedule> preload_at;  // of kScheduled
  std::optional<CronSchedule> unload_at;   // if nobody uses it then
  Duration ttl{};                          // idle for so long it is parked; 0: never
  Duration unload_ttl{};                   // and stopped; 0: never
  WeightsMode weights = WeightsMode::kAuto;
  std::vector<std::string> args;  // extra engine arguments
  Reduction reduction;            // of an engine's spec; the catalog's own specs have none

  bool operator==(const ModelSpec&) const = default;
};

inline constexpr unsigned kDefaultParallel = 2;

// How many requests an engine of `spec` answers at once: its slots.
inline unsigned slots_of(const ModelSpec& spec) {
  return spec.reduction.parallel.value_or(spec.parallel.value_or(kDefaultParallel));
}

// Whether an engine started for `a` is one for `b` too, whatever gave way.
inline bool same_engine(const ModelSpec& a, const ModelSpec& b) {
  return a.command == b.command && a.path == b.path && a.mmproj == b.mmproj && a.identity == b.identity &&
         a.context == b.context && a.parallel == b.parallel && a.weights == b.weights && a.args == b.args;
}

// What a GGUF file says it is. Only a model can be loaded by itself; the others go with one.
enum class FileKind : std::uint8_t { kModel, kProjector, kDraft, kAdapter, kImportanceMatrix, kOther };

using MetadataValue = std::variant<bool, std::int64_t, double, std::string>;

struct ModelMetadata {
  FileKind kind = FileKind::kModel;  // the catalog answers with models only
  std::string name;                  // general.name: what its makers call it
  std::string architecture;
  std::string quantization;      // "Q4_K_M"
  std::uint64_t parameters = 0;  // count
  unsigned trained_context = 0;  // tokens
  unsigned context = 0;          // tokens per conversation it will be run with
  bool can_generate = false;
  bool can_embed = false;
  bool can_rerank = false;
  bool can_infill = false;  // has the tokens that mark text before, after and between
  bool has_chat_template = false;
  bool multimodal = false;
  std::string chat_template;                  // its text; empty also where that is longer than 64 KiB
  bool supports_tools = false;                // the chat template can tell of tools
  bool supports_thinking = false;             // the chat template can ask for it
  std::vector<std::string> input_modalities;  // "text", "image", "audio"
  // The file's own single values, but for texts that are long: "general.file_type", "llama.context_length", ...
  std::map<std::string, MetadataValue> file_values;

  // All memory it will take with the arguments it is run with, as told ahead. Of that: what is for conversations
  // outside of slots, which come and go; and the repacked copy of the weights, beside their mapped file.
  Bytes predicted;
  Bytes prompt_cache;
  Bytes checkpoints;
  Bytes repacked;
  // What an engine that served with these arguments holds at most, and what one kept in memory when it was parked last.
  std::optional<Bytes> measured;
  std::optional<Bytes> residue;
  // How long such an engine took lately until it could serve, started and woken.
  std::optional<Duration> load_time;
  std::optional<Duration> wake_time;

  // As well as it is known.
  Bytes footprint() const { return measured.value_or(predicted); }
  Bytes conversations() const { return prompt_cache + checkpoints; }

  bool operator==(const ModelMetadata&) const = default;
};

}  // namespace minerva
