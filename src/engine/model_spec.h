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

  std::optional<unsigned> context;  // tokens per conversation; unset: the smaller of trained and 8192
  bool context_may_shrink = false;  // to what fits the memory budget, instead of being refused
  unsigned parallel = 2;            // conversations at once
  bool pinned = false;
  PreloadStrategy preload = PreloadStrategy::kLazy;
  std::optional<CronSchedule> preload_at;  // of kScheduled
  std::optional<CronSchedule> unload_at;   // if nobody uses it then
  Duration ttl{};                          // idle for so long it is parked; 0: never
  Duration unload_ttl{};                   // and stopped; 0: never
  WeightsMode weights = WeightsMode::kAuto;
  std::vector<std::string> args;  // extra engine arguments

  bool operator==(const ModelSpec&) const = default;
};

// Whether an engine started for `a` is one for `b` too.
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

  // All memory it will take with the arguments it is run with, as told ahead; and what of it is for conversations
  // outside of slots, which come and go.
  Bytes predicted;
  Bytes conversations;
  // What an engine that served with these arguments holds at most, and what one kept in memory when it was parked last.
  std::optional<Bytes> measured;
  std::optional<Bytes> residue;
  // How long such an engine took lately until it could serve, started and woken.
  std::optional<Duration> load_time;
  std::optional<Duration> wake_time;

  // As well as it is known.
  Bytes footprint() const { return measured.value_or(predicted); }

  bool operator==(const ModelMetadata&) const = default;
};

}  // namespace minerva
