// Config: everything `minerva serve` can be told, from flags, environment, a TOML file and defaults, in that
// precedence.
//
// One table (config.cc) describes every key: name, type, unit, default, meaning. The file parser, the environment
// (MINERVA_...), the flags of `serve`, `serve --check` and the reference in the docs all come from it.
// Plain values; reading blocks.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/preset.h"
#include "catalog/catalog.h"
#include "config/api_keys.h"
#include "io/http.h"
#include "io/machine_memory.h"
#include "io/stream.h"
#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"
#include "minerva/base/result.h"
#include "minerva/context/types.h"
#include "schedule/time_zone.h"

namespace minerva {

// A size, or a share of what the setting names.
struct BudgetSetting {
  double percent = 80;  // used when bytes is 0
  Bytes bytes;
};

struct Config {
  std::vector<io::Address> listen = {{"127.0.0.1", 3000, ""}, {"::1", 3000, ""}};  // one at least
  std::vector<std::string> models_dirs;  // absolute, ~ expanded; default: ~/models and the Hugging Face cache
  bool models_dirs_are_default = false;  // nobody named one: those that are not there are no problem
  std::string default_model;             // of a request that names none; empty: it is refused
  std::string unknown_model = "refuse";  // or "default": a request for a model that there is not gets default_model
  BudgetSetting memory_budget;           // a share is of what is available, the cgroup's limit included
  std::string fit = "on";                // or "off": a model that does not fit the budget is refused as it is set
  unsigned max_models = 0;
  std::string policy = "hazard";
  std::string state_dir;  // 0700; default $XDG_STATE_HOME/minerva
  std::string engine;     // path of minerva-engine; default: beside this program
  std::string ui_dir;     // of the built web UI, which need not be there; default: beside this program
  std::string sandbox = "auto";
  std::string time_zone;  // empty: the machine's
  TimeZone zone;          // which that is; UTC while no model has a schedule and none is named
  std::string log_format = "text";
  std::string log_level = "info";
  std::vector<std::string> api_keys;  // as hash_api_key() makes them: never the keys
  std::string api_key_file;
  std::vector<std::string> file_keys;        // no key: those in that file, as api_keys
  std::vector<std::string> admin_keys;       // as api_keys
  ApiKeys administrators;                    // those of admin_keys
  ApiKeys accepted_keys;                     // those of both, of admin_keys and of other priorities
  std::vector<std::string> allowed_hosts;    // [limits] allowed_hosts: Host names beside loopback's own
  std::vector<std::string> allowed_origins;  // [limits] allowed_origins: "http://localhost:*"; each * but a / itself

  bool is_loopback() const;  // whether every address it listens on is

  // [tls] both or none
  std::string tls_certificate;
  std::string tls_key;

  // [limits]
  io::HttpLimits http;
  Bytes max_body = Bytes::mib(64);
  Bytes max_queued_bytes = Bytes::mib(256);  // of buffered request bodies in all
  unsigned max_connections = 1024;
  unsigned max_connections_per_peer = 0;  // 0: half of max_connections, but for loopback
  Duration request_timeout = std::chrono::hours(1);
  Duration drain_timeout = std::chrono::seconds(30);
  Duration unload_timeout = std::chrono::seconds(30);
  Duration stop_grace = std::chrono::seconds(2);
  Duration stall_timeout = std::chrono::seconds(30);  // 0: engines that hang are left alone
  std::optional<Bytes> min_free_memory;               // as MemoryLevel::to_stay_free() takes it

  // [queue]
  unsigned max_queue_per_model = 512;
  unsigned max_queue = 2048;
  Duration max_wait = std::chrono::minutes(10);
  Duration min_residency = std::chrono::seconds(2);
  Duration load_timeout = std::chrono::minutes(10);
  Duration head_start = std::chrono::seconds(10);
  unsigned max_switches_per_second = 20;        // 0: as many as there are
  std::vector<std::string> high_priority_keys;  // as api_keys
  std::vector<std::string> low_priority_keys;

  // [pull]
  std::vector<std::string> pull_hosts = {"huggingface.co", "*.huggingface.co", "hf.co", "*.hf.co"};
  Bytes pull_max_rate;  // per second; 0: no limit
  Duration pull_stall_timeout = std::chrono::seconds(30);
  unsigned pull_parallel = 4;  // ranges of one file at once
  std::string pull_folder;     // no key: the Hugging Face cache if it is a models folder, else the first of these

  // [park] what it means on this machine: parking.h
  bool park = true;
  BudgetSetting park_memory{25, {}};  // a share is of the memory budget
  BudgetSetting park_images{50, {}};  // a share is of what is free on the folder's file system
  std::string park_folder;            // absolute; default: images in state_dir

  // [restart]
  bool restore = true;

  // [trace]
  bool trace = true;

  PredictionOptions prediction;  // [predict]

  std::vector<ModelEntry> models;
  std::vector<api::Preset> presets;

  bool may_fit() const { return fit == "on"; }
};

// Key -> text, as given by flags ("--max-models 2" is {"max_models", "2"}) or the environment. A repeatable key appears
// once per value.
using Settings = std::vector<std::pair<std::string, std::string>>;

struct EnvironmentSettings {
  Settings settings;
  std::vector<std::string> warnings;  // a sentence for each MINERVA_* variable that nobody knows
};

// The MINERVA_* variables that name a key, and MINERVA_API_KEY (one key, the client's too). Neither settings nor
// unknown are those of other parts (MINERVA_URL, MINERVA_CONFIG, MINERVA_CACHE, ...), and those that a container
// platform gives every program beside a service called minerva (MINERVA_SERVICE_*, MINERVA_PORT, MINERVA_PORT_*).
EnvironmentSettings settings_from_environment(const std::vector<std::string>& environment);

// `file`: empty for none. Errors: kInvalidArgument whose message starts with where: "minerva.toml:12:5: ...",
// "environment MINERVA_LISTEN: ...", "--listen: ...".
Result<Config> load_config(const std::string& file, const Settings& environment, const Settings& flags);

// Where a config comes from, so that it can be read again.
struct ConfigSource {
  std::string file;  // empty: none
  Settings environment;
  Settings flags;
  std::vector<std::string> warnings = {};  // of what was passed over, in sentences

  Result<Config> load() const { return load_config(file, environment, flags); }
};

// What a config changes of the one that runs, by name: "max_models", "model.\"a\"".
struct ConfigChanges {
  std::vector<std::string> live;        // take effect now
  std::vector<std::string> at_restart;  // count at start only
};
// Sets what counts at start only back in `next` to what runs.
ConfigChanges compare_configs(const Config& running, Config& next);

// The effective config as TOML with a comment per key (unit, default, meaning): what `serve --check` prints.
std::string describe_config(const Config& config);

// The same for whoever may use the server, without the comments and without secrets: no keys, not even their hashes,
// of models' commands the program alone, and no presets. load_told_config() reads it.
std::string tell_config(const Config& config);
// What a server told. It has no keys, and whether it may be served is not asked. Errors: kInvalidArgument.
Result<Config> load_told_config(const std::string& text);

// One per key of the table, for `serve`'s flags and the docs.
struct ConfigKey {
  std::string name;         // "limits.max_body"; a top-level key has no dot
  std::string flag;         // "--max-models"; empty: file and environment only. Of a boolean there is "--no-..." too
  std::string environment;  // "MINERVA_LIMITS_MAX_BODY"
  std::string type;         // "size", "duration", "integer", "boolean", "text", "list of text", "size or percent"
  std::string default_text;
  std::string meaning;
  bool repeatable = false;
  bool at_start_only = false;  // a reload cannot change it
};
const std::vector<ConfigKey>& config_keys();

// Where the server records which models are asked for.
std::string trace_folder(const Config& config);

// What a setting means of so many bytes.
Bytes share_of(const BudgetSetting& setting, Bytes whole);

// The bytes a budget setting means. A percentage is of the lowest limit there is, the machine's or a cgroup's, whoever
// holds that memory now: so it means the same tomorrow, and after a reload. What others hold is MemoryPressure's
// matter.
Bytes resolve_budget(const BudgetSetting& setting, const io::MachineMemory& memory);

// Why models could not have all of the budget as things are, in sentences that say what to do; empty if they can.
// `held`: what Minerva's own engines have of what is taken.
std::string budget_warning(const Config& config, const io::MachineMemory& memory, Bytes held);

}  // namespace minerva
