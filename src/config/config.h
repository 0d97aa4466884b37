// Config: all settings of `minerva serve`, from flags, environment, a TOML file and defaults, in that precedence.
//
// One table (config_keys.cc) describes every key: name, type, unit, default, meaning. The file parser, the environment
// (MINERVA_...), the flags of `serve`, and `serve --check` come from that table.
// Threading: plain values. Reading blocks.
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

// A size, or a share. Each setting says of what.
struct BudgetSetting {
  double percent = 80;  // counts if `bytes` is 0
  Bytes bytes;
};

struct Config {
  std::vector<io::Address> listen = {{"127.0.0.1", 3000, ""}, {"::1", 3000, ""}};  // at least one
  std::vector<std::string> models_dirs;  // absolute, ~ expanded; default: ~/models and the Hugging Face cache
  bool models_dirs_are_default = false;  // the config names none: a default folder that does not exist is no problem
  std::string default_model;             // for a request that names no model; empty: such a request is refused
  std::string unknown_model = "refuse";  // or "default": a request for an unknown model gets default_model
  BudgetSetting memory_budget;           // a share is one of what is available, with the cgroup's limit
  std::string fit = "on";                // or "off": a model that does not fit the budget is refused
  unsigned max_models = 0;
  std::string policy = "hazard";
  std::string state_dir;  // mode 0700; default: $XDG_STATE_HOME/minerva
  std::string engine;     // the path of minerva-engine; default: beside this program
  std::string ui_dir;     // the folder of the built web UI, which may be missing; default: beside this program
  std::string sandbox = "auto";
  std::string time_zone;  // empty: the machine's
  TimeZone zone;          // the zone that time_zone names; UTC while no model has a schedule and none is named
  std::string log_format = "text";
  std::string log_level = "info";
  std::vector<std::string> api_keys;  // as hash_api_key() returns them: hashes, never the keys
  std::string api_key_file;
  std::vector<std::string> file_keys;      // not a key of the config: the keys in api_key_file, as api_keys
  std::vector<std::string> admin_keys;     // as api_keys
  ApiKeys administrators;                  // the keys of admin_keys
  ApiKeys accepted_keys;                   // all keys: api_keys, file_keys, admin_keys and those with a priority
  std::vector<std::string> allowed_hosts;  // [limits] allowed_hosts: names for the Host field, beside those of loopback
  // [limits] allowed_origins: "http://localhost:*"; each * matches anything but a /
  std::vector<std::string> allowed_origins;

  bool is_loopback() const;  // whether every address in `listen` is loopback

  // [tls] both or none
  std::string tls_certificate;
  std::string tls_key;

  // [limits]
  io::HttpLimits http;
  Bytes max_body = Bytes::mib(64);
  Bytes max_queued_bytes = Bytes::mib(256);  // for all buffered request bodies together
  unsigned max_connections = 1024;
  unsigned max_connections_per_peer = 0;  // 0: half of max_connections, and no limit for loopback
  Duration request_timeout = std::chrono::hours(1);
  Duration drain_timeout = std::chrono::seconds(30);
  Duration unload_timeout = std::chrono::seconds(30);
  Duration stop_grace = std::chrono::seconds(2);
  Duration stall_timeout = std::chrono::seconds(30);  // 0: an engine that hangs is not killed
  std::optional<Bytes> min_free_memory;               // in the form that MemoryLevel::to_stay_free() takes

  // [queue]
  unsigned max_queue_per_model = 512;
  unsigned max_queue = 2048;
  Duration max_wait = std::chrono::minutes(10);
  Duration min_residency = std::chrono::seconds(2);
  Duration load_timeout = std::chrono::minutes(10);
  Duration head_start = std::chrono::seconds(10);
  unsigned max_switches_per_second = 20;        // 0: no limit
  std::vector<std::string> high_priority_keys;  // as api_keys
  std::vector<std::string> low_priority_keys;

  // [pull]
  std::vector<std::string> pull_hosts = {"huggingface.co", "*.huggingface.co", "hf.co", "*.hf.co"};
  Bytes pull_max_rate;  // per second; 0: no limit
  Duration pull_stall_timeout = std::chrono::seconds(30);
  unsigned pull_parallel = 4;  // how many ranges of one file come at once
  // not a key of the config: the Hugging Face cache if that is a models folder, else the first models folder
  std::string pull_folder;

  // [park]; parking.h says what it means on this machine
  bool park = true;
  BudgetSetting park_memory{25, {}};  // a share is one of the memory budget
  BudgetSetting park_images{50, {}};  // a share is one of the free space on the folder's file system
  std::string park_folder;            // absolute; default: images in state_dir

  // [conversations]
  bool conversations = true;
  BudgetSetting conversations_disk{10, {}};  // a share is one of what is free there, with what conversations take
  Duration conversations_max_age = std::chrono::hours(30 * 24);

  // [restart]
  bool restore = true;

  // [trace]
  bool trace = true;

  PredictionOptions prediction;  // [predict]

  std::vector<ModelEntry> models;
  std::vector<Device> devices;  // in the order of their pools
  std::vector<api::Preset> presets;

  bool may_fit() const { return fit == "on"; }
};

// Keys and their texts, as flags ("--max-models 2" is {"max_models", "2"}) or the environment give them. A repeatable
// key comes once per value.
using Settings = std::vector<std::pair<std::string, std::string>>;

struct EnvironmentSettings {
  Settings settings;
  std::vector<std::string> warnings;  // a sentence for each unknown MINERVA_* variable
};

// The settings in the MINERVA_* variables. MINERVA_API_KEY is one key, which the client uses too. Skips the variables
// of other parts (MINERVA_URL, MINERVA_CONFIG, MINERVA_CACHE, ...), and those that a container platform sets for every
// program beside a service called minerva (MINERVA_SERVICE_*, MINERVA_PORT, MINERVA_PORT_*).
EnvironmentSettings settings_from_environment(const std::vector<std::string>& environment);

// `file`: empty for none. Errors: kInvalidArgument, whose message starts with the place: "minerva.toml:12:5: ...",
// "environment MINERVA_LISTEN: ...", "--listen: ...".
Result<Config> load_config(const std::string& file, const Settings& environment, const Settings& flags);

// The sources of a config, so that it can be read again.
struct ConfigSource {
  std::string file;  // empty: none
  Settings environment;
  Settings flags;
  std::vector<std::string> warnings = {};  // sentences about variables that were skipped

  Result<Config> load() const { return load_config(file, environment, flags); }
};

// The names of what differs between a config and the running one: "max_models", "model.\"a\"".
struct ConfigChanges {
  std::vector<std::string> live;        // these take effect now
  std::vector<std::string> at_restart;  // these take effect at the next start
};
// Compares the two. In `next`, sets what takes effect at the next start back to the running value. A device stays the
// pool that it is: its budget changes now, and a device that is gone goes at the next start.
ConfigChanges compare_configs(const Config& running, Config& next);

// The effective config as TOML with a comment per key (unit, default, meaning): what `serve --check` prints.
std::string describe_config(const Config& config);

// The same for anybody who may use the server: without comments and without secrets. It has no keys and no hashes of
// keys, of a model's command only the program, and no presets. load_told_config() reads it.
std::string tell_config(const Config& config);
// Reads what tell_config() of a server wrote. It has no keys, and it is not checked whether such a config may be
// served. Errors: kInvalidArgument.
Result<Config> load_told_config(const std::string& text);

// One key of the table, for the flags of `serve` and the docs.
struct ConfigKey {
  std::string name;  // "limits.max_body"; a top-level key has no dot
  std::string flag;  // "--max-models"; empty: only in the file and the environment. A boolean also has "--no-..."
  std::string environment;  // "MINERVA_LIMITS_MAX_BODY"
  std::string type;         // "size", "duration", "integer", "boolean", "text", "list of text", "size or percent"
  std::string default_text;
  std::string meaning;
  bool repeatable = false;
  bool at_start_only = false;  // a reload cannot change it
};
const std::vector<ConfigKey>& config_keys();

// The folder where the server records which models are asked for.
std::string trace_folder(const Config& config);
// The folder where huggingface_hub and llama.cpp keep what they fetched. It follows the same variables as they do.
// Errors: kInvalidArgument: neither these nor HOME are set.
Result<std::string> hub_cache_folder();
// The folder for what models have computed from conversations.
std::string conversations_folder(const Config& config);

// The bytes that a setting means, as a share of `whole`.
Bytes share_of(const BudgetSetting& setting, Bytes whole);

// The bytes that a budget setting means. A percentage is one of the lowest limit (the machine's or a cgroup's), whoever
// holds that memory now. So it means the same tomorrow, and after a reload. MemoryPressure deals with what others hold.
Bytes resolve_budget(const BudgetSetting& setting, const io::MachineMemory& memory);

// Why the models could not have the whole budget now, in sentences that say what to do; empty if they can. `held`: the
// part of the taken memory that Minerva's own engines have.
std::string budget_warning(const Config& config, const io::MachineMemory& memory, Bytes held);

}  // namespace minerva
