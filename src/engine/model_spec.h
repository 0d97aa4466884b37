// ModelSpec: what the catalog and the config say about one model. ModelMetadata: what the inspection of its file says.
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

// How weights are kept in memory (docs/adr/0005-engine-defaults.md).
enum class WeightsMode { kAuto, kRepacked, kMapped };

// A program that serves a model in place of llama.cpp's server (engine/command_engine.h).
struct CommandSpec {
  // The program and its arguments. In here and in the environment, "${PORT}" or "${SOCKET}" becomes the address to
  // listen on.
  std::vector<std::string> argv;         // empty: there is none
  std::vector<std::string> environment;  // "NAME=value", beside what every engine inherits
  std::string health = "/health";        // the path that it answers with 2xx once it can serve
  Bytes memory;                          // all memory that it will take: only the operator knows that ahead

  bool operator==(const CommandSpec&) const = default;
};

// What gave way, among the settings that nobody chose, so that the model fits the memory budget. Unset: that setting
// has its default (docs/adr/0027-fit.md).
struct Reduction {
  std::optional<Bytes> prompt_cache = {};    // whole MiB
  std::optional<unsigned> checkpoints = {};  // per conversation
  bool mapped = false;                       // the weights are mapped instead of repacked
  std::optional<unsigned> parallel = {};     // conversations at once
  std::optional<unsigned> context = {};      // tokens per conversation

  bool operator==(const Reduction&) const = default;
};

// Where a model's layers are: on devices, or in the host's memory alone (docs/adr/0029-devices.md).
struct Placement {
  std::vector<std::string> devices = {};  // their names; empty: the host
  std::vector<unsigned> split = {};       // of several devices: how much of the layers each gets, in any unit
  std::optional<unsigned> layers = {};    // how many of the last layers; unset: all of them

  bool operator==(const Placement&) const = default;
};

// Bytes on devices, by name.
using DeviceBytes = std::map<std::string, Bytes>;

struct ModelSpec {
  ModelId id;
  std::vector<ModelId> aliases;
  CommandSpec command;                  // replaces the file, and everything about files
  std::string name;                     // the stem of its file's name, in any script
  std::string place;                    // where a scan found it (catalog/file_book.h); empty: no scan did
  std::string repo;                     // "org/repo" in the Hugging Face cache; empty: it is in no repository
  std::vector<std::string> companions;  // absolute: files that belong to it, used or not; its projector too
  std::string path;                     // absolute, symlinks resolved; the first shard of several
  std::string mmproj;                   // absolute; empty if the model has no projector
  std::vector<std::string> more_files;  // absolute: its other parts, and what `args` name
  Bytes size;                           // of the model and its projector
  std::int64_t modified_ns = 0;         // of the newest of all these files, since 1970
  std::string identity;                 // of all these files: differs when any of them was replaced or written to

  bool fit = true;  // settings below that are unset give way if the model does not fit the memory budget
  std::optional<unsigned> context;   // tokens per conversation; unset: the smaller of trained and 8192
  bool context_may_shrink = false;   // the context gives way even if it is set, and further than an unset one
  std::optional<unsigned> parallel;  // conversations at once; unset: kDefaultParallel
  bool pinned = false;
  PreloadStrategy preload = PreloadStrategy::kLazy;
  std::optional<CronSchedule> preload_at;  // of kScheduled
  std::optional<CronSchedule> unload_at;   // not if somebody uses it then
  Duration ttl{};                          // an idle model is parked after this time; 0: never
  Duration unload_ttl{};                   // an idle model is stopped after this time; 0: never
  WeightsMode weights = WeightsMode::kAuto;
  std::vector<std::string> args;  // more arguments for the engine
  // Names of devices, separated by commas: the model is placed on one of these, or on all. "host": on none. Empty: on
  // those that there are, if it fits.
  std::string device;
  // While it is parked, what a wake reads is to be in the page cache, as long as memory is not short.
  bool keeps_pages = false;
  // These are set in an engine's spec; the catalog's own specs have none.
  Reduction reduction;
  Placement placement;
  std::string conversations;  // the folder of its conversations; empty: it keeps none on disk

  bool operator==(const ModelSpec&) const = default;
};

inline constexpr unsigned kDefaultParallel = 2;

// How many requests an engine of `spec` answers at once.
inline unsigned slots_of(const ModelSpec& spec) {
  return spec.reduction.parallel.value_or(spec.parallel.value_or(kDefaultParallel));
}

// Whether an engine that was started for `a` can serve `b` too, whatever gave way.
inline bool same_engine(const ModelSpec& a, const ModelSpec& b) {
  return a.command == b.command && a.path == b.path && a.mmproj == b.mmproj && a.identity == b.identity &&
         a.context == b.context && a.parallel == b.parallel && a.weights == b.weights && a.args == b.args &&
         a.device == b.device;
}

// What a GGUF file says it is. Only a model can be loaded by itself; the others belong to a model.
enum class FileKind : std::uint8_t { kModel, kProjector, kDraft, kAdapter, kImportanceMatrix, kOther };

using MetadataValue = std::variant<bool, std::int64_t, double, std::string>;

struct ModelMetadata {
  FileKind kind = FileKind::kModel;  // the catalog returns metadata of models only
  std::string name;                  // general.name: the name that its makers gave it
  std::string architecture;
  std::string quantization;      // "Q4_K_M"
  std::uint64_t parameters = 0;  // count
  unsigned trained_context = 0;  // tokens
  unsigned context = 0;          // tokens per conversation with which it will run
  bool can_generate = false;
  bool can_embed = false;
  bool can_rerank = false;
  bool can_infill = false;  // it has the tokens that mark the text before, after and between
  bool has_chat_template = false;
  bool multimodal = false;
  std::string chat_template;                  // its text; also empty if that is longer than 64 KiB
  bool supports_tools = false;                // the chat template can describe tools
  bool supports_thinking = false;             // the chat template can ask for thinking
  std::vector<std::string> input_modalities;  // "text", "image", "audio"
  // The file's single values, without long texts: "general.file_type", "llama.context_length", ...
  std::map<std::string, MetadataValue> file_values;

  unsigned layers = 0;               // of the model; 0: unknown
  DeviceBytes predicted_on_devices;  // with the arguments of the engine
  DeviceBytes measured_on_devices;   // the most; empty: nothing was measured there
  // The predicted memory of the host with the arguments of the engine; and the parts of it that are for conversations
  // outside of slots, which come and go, and for the repacked copy of the weights beside their mapped file.
  Bytes predicted;
  Bytes prompt_cache;
  Bytes checkpoints;
  Bytes repacked;
  // The most that an engine with these arguments held while it served, and what one kept in memory at its last park.
  std::optional<Bytes> measured;
  std::optional<Bytes> residue;
  // How long such an engine took lately until it could serve, after a start and after a wake.
  std::optional<Duration> load_time;
  std::optional<Duration> wake_time;

  // The best known figure.
  Bytes footprint() const { return measured.value_or(predicted); }
  const DeviceBytes& on_devices() const {
    return measured_on_devices.empty() ? predicted_on_devices : measured_on_devices;
  }
  Bytes conversations() const { return prompt_cache + checkpoints; }

  bool operator==(const ModelMetadata&) const = default;
};

}  // namespace minerva
