#include "config/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "config/config_table.h"
#include "config/toml_text.h"
#include "config/values.h"
#include "engine/processor_level.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;

// Variables of other parts of Minerva.
constexpr std::array<std::string_view, 5> kOtherVariables = {"MINERVA_URL", "MINERVA_CACERT", "MINERVA_CONFIG",
                                                             "MINERVA_CACHE", "MINERVA_LLAMA_SOURCE"};

// Whether a container platform sets this variable for every program beside a service that is called minerva.
bool is_of_platform(std::string_view name) {
  return name == "MINERVA_PORT" || name.starts_with("MINERVA_PORT_") || name.starts_with("MINERVA_SERVICE_");
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> pieces;
  while (true) {
    const std::size_t at = separator == 0 ? std::string_view::npos : text.find(separator);
    if (const auto piece = text.substr(0, at); !piece.empty()) pieces.emplace_back(piece);
    if (at == std::string_view::npos) return pieces;
    text.remove_prefix(at + 1);
  }
}

// Adds a layer. Several values of one key make one setting. A key of this layer replaces what an earlier layer said.
Result<void> add_layer(std::map<std::string, Setting>& settings, const Settings& layer,
                       const std::function<std::string(const ConfigRow&)>& where) {
  std::error_code error;
  const std::string base = fs::current_path(error).string();
  std::map<std::string, Setting> own;
  for (const auto& [name, text] : layer) {
    const ConfigRow* const row = find_config_row(name);
    if (row == nullptr) return fail(ErrorCode::kInvalidArgument, fmt::format("{}: there is no such setting", name));
    Setting& setting = own[name];
    setting.where = where(*row);
    setting.base = base;
    if (!is_list(row->toml)) setting.values.clear();  // the last value counts
    setting.values.push_back(text);
  }
  for (auto& [name, setting] : own) settings[name] = std::move(setting);
  return {};
}

Result<void> set_all(Config& config, const std::map<std::string, Setting>& settings) {
  for (const auto& [name, setting] : settings) {
    const ConfigRow* const row = find_config_row(name);
    if (const auto set = row->set(config, setting.values, setting.base); !set) {
      return fail(Error{ErrorCode::kInvalidArgument, fmt::format("{}: {}", setting.where, set.error().message), name});
    }
  }
  return {};
}

Result<std::string> home_folder(std::string_view tail, std::string_view flag) {
  auto path = expand_path(fmt::format("~/{}", tail), "/");
  if (!path) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("HOME is not set, so there is no default: give {}", flag));
  }
  return path;
}

Result<void> fill_defaults(Config& config) {
  if (config.models_dirs.empty()) {
    auto path = home_folder("models", "--models-dir");
    if (!path) return fail(path.error());
    config.models_dirs = {std::move(*path)};
    if (const auto hub = hub_cache_folder(); hub && *hub != config.models_dirs.front()) {
      config.models_dirs.push_back(*hub);
    }
    config.models_dirs_are_default = true;
  }
  const auto hub = hub_cache_folder();
  const auto& dirs = config.models_dirs;
  config.pull_folder = hub && std::find(dirs.begin(), dirs.end(), *hub) != dirs.end() ? *hub : dirs.front();
  if (config.state_dir.empty()) {
    const char* const state = std::getenv("XDG_STATE_HOME");
    // The specification says to ignore a relative path.
    auto path = state != nullptr && *state == '/' ? expand_path("minerva", state)
                                                  : home_folder(".local/state/minerva", "--state-dir");
    if (!path) return fail(path.error());
    config.state_dir = std::move(*path);
  }
  if (config.park_folder.empty()) config.park_folder = config.state_dir + "/images";
  std::error_code error;
  const fs::path beside = fs::read_symlink("/proc/self/exe", error).parent_path();
  if (config.engine.empty()) config.engine = engine_in(beside, processor_level(processor_features()));
  if (config.ui_dir.empty()) config.ui_dir = (beside / "ui").string();
  return {};
}

// Checks what only all settings together can show.
Result<void> check_access(Config& config, const std::map<std::string, Setting>& settings) {
  const auto where = [&](const std::string& name) {
    const auto setting = settings.find(name);
    return setting == settings.end() ? name : setting->second.where;
  };
  for (const std::string& hash : config.api_keys) config.accepted_keys.add(hash);
  if (!config.api_key_file.empty()) {
    auto hashes = read_api_key_file(config.api_key_file);
    if (!hashes) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("{}: {}", where("api_key_file"), hashes.error().message),
                  "api_key_file");
    }
    config.file_keys = *std::move(hashes);
    for (const std::string& hash : config.file_keys) config.accepted_keys.add(hash);
  }
  for (const std::string& hash : config.admin_keys) {
    config.accepted_keys.add(hash);
    config.administrators.add(hash);
  }
  for (const std::string& hash : config.low_priority_keys) config.accepted_keys.add(hash, Priority::kLow);
  for (const std::string& hash : config.high_priority_keys) config.accepted_keys.add(hash, Priority::kHigh);
  const auto open = std::find_if(config.listen.begin(), config.listen.end(),
                                 [](const io::Address& address) { return !address.is_loopback(); });
  if (open != config.listen.end() && config.accepted_keys.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{}: {} can be reached from other machines, and without an API key everybody there could "
                            "use this server. Give a key with --api-key, MINERVA_API_KEY or api_key_file, or listen "
                            "on a loopback address such as 127.0.0.1:{}",
                            where("listen"), open->text(), open->port),
                "listen");
  }
  const auto& origins = config.allowed_origins;
  if (config.accepted_keys.empty() && std::find(origins.begin(), origins.end(), "*") != origins.end()) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("{}: with \"*\" every page that somebody here visits could use this server. Name the origins, "
                    "such as \"http://localhost:*\", or give an API key",
                    where("limits.allowed_origins")),
        "limits.allowed_origins");
  }
  if (config.tls_certificate.empty() != config.tls_key.empty()) {
    const std::string given = config.tls_key.empty() ? "tls.certificate" : "tls.key";
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{}: TLS needs both a certificate and its key: tls.certificate and tls.key", where(given)),
                given);
  }
  return {};
}

Result<void> find_zone(Config& config) {
  const auto scheduled = [](const ModelEntry& entry) { return entry.preload_at || entry.unload_at; };
  const auto first = std::find_if(config.models.begin(), config.models.end(), scheduled);
  // If the machine does not tell its zone, that is an error only for a config that needs the zone.
  if (first == config.models.end() || !config.time_zone.empty()) return {};
  const auto zone = TimeZone::of_machine();
  if (!zone) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("time_zone: it is not set, and model.\"{}\" has a schedule: {}", first->id, zone.error().message),
        "time_zone");
  }
  config.zone = *zone;
  return {};
}

// ---- describe_config ----

std::string toml_text(const Values& values, TomlKind kind) {
  if (kind == TomlKind::kInteger || kind == TomlKind::kBoolean) return values.front();
  if (kind == TomlKind::kTable) return toml_value(api::Json::parse(values.front()));
  if (!is_list(kind)) return toml_string(values.front());
  std::vector<std::string> elements;
  std::transform(values.begin(), values.end(), std::back_inserter(elements), toml_string);
  return fmt::format("[{}]", fmt::join(elements, ", "));
}

// "# " and words, in lines of at most 100 columns.
std::string comment(std::string_view text) {
  constexpr std::size_t kWidth = 98;
  std::string result;
  while (text.size() > kWidth) {
    std::size_t at = text.rfind(' ', kWidth);
    if (at == std::string_view::npos) at = std::min(text.find(' '), text.size());
    result += fmt::format("# {}\n", text.substr(0, at));
    text.remove_prefix(std::min(at + 1, text.size()));
  }
  return result + fmt::format("# {}\n", text);
}

// Describes the tables of one kind, one for each entry of the config.
template <typename Row, typename Entry>
std::string describe_entries(std::string_view kind, const std::vector<Row>& rows, const std::vector<Entry>& entries) {
  std::string text;
  for (const Row& row : rows) {
    text += comment(fmt::format("  {}: {} ({}; default: {})", row.name, row.meaning, row.type, row.default_text));
  }
  for (const Entry& entry : entries) {
    text += fmt::format("\n[{}.{}]\n", kind, toml_string(entry.id));
    for (const Row& row : rows) {
      if (const Values values = row.get(entry); !values.empty()) {
        text += fmt::format("{} = {}\n", row.name, toml_text(values, row.toml));
      }
    }
  }
  return text;
}

// The names of the entries that differ, and of those that are in `next` or `running` only.
template <typename Entry>
std::vector<std::string> changed_entries(std::string_view kind, const std::vector<Entry>& running,
                                         const std::vector<Entry>& next) {
  const auto find = [](const std::vector<Entry>& entries, const ModelId& id) {
    return std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.id == id; });
  };
  std::vector<std::string> names;
  for (const Entry& entry : next) {
    const auto before = find(running, entry.id);
    if (before == running.end() || *before != entry) names.push_back(fmt::format("{}.\"{}\"", kind, entry.id));
  }
  for (const Entry& entry : running) {
    if (find(next, entry.id) == next.end()) names.push_back(fmt::format("{}.\"{}\"", kind, entry.id));
  }
  return names;
}

// A pool is known by its place, and what engines hold of it is counted there. So in `next` each running device gets its
// place back, also one that is gone, and new devices come behind.
void compare_devices(const std::vector<Device>& running, std::vector<Device>& next, ConfigChanges& changes) {
  std::vector<Device> merged = running;
  for (Device& device : merged) {
    const auto found = std::find_if(next.begin(), next.end(), [&](const Device& d) { return d.id == device.id; });
    if (found == next.end()) {
      changes.at_restart.push_back(fmt::format("device.\"{}\"", device.id));
      continue;
    }
    if (*found != device) changes.live.push_back(fmt::format("device.\"{}\"", device.id));
    device = *found;
    next.erase(found);
  }
  for (const Device& device : next) {
    const bool has_room = merged.size() < Footprint::kMostDevices;
    (has_room ? changes.live : changes.at_restart).push_back(fmt::format("device.\"{}\"", device.id));
    if (has_room) merged.push_back(device);
  }
  next = std::move(merged);
}

}  // namespace

Result<std::string> hub_cache_folder() {
  constexpr std::array<std::pair<const char*, const char*>, 5> kPlaces = {{{"LLAMA_CACHE", ""},
                                                                           {"HF_HUB_CACHE", ""},
                                                                           {"HUGGINGFACE_HUB_CACHE", ""},
                                                                           {"HF_HOME", "/hub"},
                                                                           {"XDG_CACHE_HOME", "/huggingface/hub"}}};
  for (const auto& [variable, below] : kPlaces) {
    const char* const value = std::getenv(variable);
    if (value != nullptr && *value != 0) return expand_path(std::string(value) + below, "/");
  }
  return expand_path("~/.cache/huggingface/hub", "/");
}

EnvironmentSettings settings_from_environment(const std::vector<std::string>& environment) {
  EnvironmentSettings result;
  Settings& settings = result.settings;
  for (const std::string& variable : environment) {
    const std::size_t at = variable.find('=');
    if (!variable.starts_with("MINERVA_") || at == std::string::npos) continue;
    const std::string_view name = std::string_view(variable).substr(0, at);
    const std::string_view text = std::string_view(variable).substr(at + 1);
    if (name == "MINERVA_API_KEY") {
      if (!text.empty()) settings.emplace_back("api_keys", text);
      continue;
    }
    const auto& rows = config_rows();
    const auto row =
        std::find_if(rows.begin(), rows.end(), [name](const ConfigRow& r) { return environment_name(r) == name; });
    if (row == rows.end()) {
      const bool others = std::find(kOtherVariables.begin(), kOtherVariables.end(), name) != kOtherVariables.end();
      if (others || is_of_platform(name)) continue;
      result.warnings.push_back(fmt::format(
          "The variable {} names no setting, so nothing is made of it: `minerva serve --check` lists those there are.",
          name));
      continue;
    }
    if (text.empty()) continue;  // an empty variable counts as not set
    for (std::string& piece : split(text, row->separator)) settings.emplace_back(row->name, std::move(piece));
  }
  return result;
}

Result<Config> load_config(const std::string& file, const Settings& environment, const Settings& flags) {
  Config config;
  std::map<std::string, Setting> settings;
  if (!file.empty()) {
    auto read = read_config_file(file);
    if (!read) return fail(read.error());
    settings = std::move(read->settings);
    config.models = std::move(read->models);
    config.devices = std::move(read->devices);
    config.presets = std::move(read->presets);
  }
  const auto from_environment = [](const ConfigRow& row) { return "environment " + environment_name(row); };
  const auto from_flags = [](const ConfigRow& row) { return row.flag.empty() ? row.name : row.flag; };
  if (const auto added = add_layer(settings, environment, from_environment); !added) return fail(added.error());
  if (const auto added = add_layer(settings, flags, from_flags); !added) return fail(added.error());

  if (const auto set = set_all(config, settings); !set) return fail(set.error());
  if (const auto filled = fill_defaults(config); !filled) return fail(filled.error());
  if (const auto checked = check_access(config, settings); !checked) return fail(checked.error());
  if (const auto found = find_zone(config); !found) return fail(found.error());
  return config;
}

bool Config::is_loopback() const {
  return std::all_of(listen.begin(), listen.end(), [](const io::Address& address) { return address.is_loopback(); });
}

Result<Config> load_told_config(const std::string& text) {
  auto read = read_config_text("the server's config", text);
  if (!read) return fail(read.error());
  Config config;
  config.models = std::move(read->models);
  config.devices = std::move(read->devices);
  if (const auto set = set_all(config, read->settings); !set) return fail(set.error());
  if (const auto filled = fill_defaults(config); !filled) return fail(filled.error());
  return config;
}

ConfigChanges compare_configs(const Config& running, Config& next) {
  ConfigChanges changes;
  for (const ConfigRow& row : config_rows()) {
    const Values was = row.get(running);
    if (row.get(next) == was) continue;
    if (row.at_start_only) {
      changes.at_restart.push_back(row.name);
      static_cast<void>(row.set(next, was, "/"));  // cannot fail: it was accepted before
    } else {
      changes.live.push_back(row.name);
    }
  }
  if (running.api_key_file == next.api_key_file && running.file_keys != next.file_keys) {
    changes.live.emplace_back("api_key_file");  // the content of the file has changed
  }
  // The new config was checked against an address that takes effect at the next start. Until then it must not open the
  // old address without a key.
  if (!next.is_loopback() && next.accepted_keys.empty()) next.accepted_keys = running.accepted_keys;
  for (std::string& name : changed_entries("model", running.models, next.models)) changes.live.push_back(name);
  compare_devices(running.devices, next.devices, changes);
  for (std::string& name : changed_entries("preset", running.presets, next.presets)) changes.live.push_back(name);
  return changes;
}

std::string describe_config(const Config& config) {
  const auto& keys = config_keys();
  std::string text;
  std::string section;
  for (std::size_t i = 0; i < config_rows().size(); ++i) {
    const ConfigRow& row = config_rows()[i];
    const std::size_t dot = row.name.find('.');
    if (dot != std::string::npos && row.name.substr(0, dot) != section) {
      section = row.name.substr(0, dot);
      text += fmt::format("[{}]\n", section);
    }
    const std::string flag = row.flag.empty() ? "" : flag_text(row) + ", ";
    text += comment(row.meaning);
    text += comment(fmt::format("({}; default: {}; {}{}{})", row.type, keys[i].default_text, flag, keys[i].environment,
                                row.at_start_only ? "; a change needs a restart" : ""));
    const std::string name = dot == std::string::npos ? row.name : row.name.substr(dot + 1);
    text += fmt::format("{} = {}\n\n", name, toml_text(row.get(config), row.toml));
  }

  text += "# [model.\"NAME\"]: one table per model that needs more than its file.\n";
  text += describe_entries("model", model_rows(), config.models);
  text += "\n# [device.\"NAME\"]: one table per device with memory of its own, such as a GPU.\n";
  text += describe_entries("device", device_rows(), config.devices);
  text += "\n# [preset.\"NAME\"]: one table per name under which a model is asked in another way.\n";
  return text + describe_entries("preset", preset_rows(), config.presets);
}

std::string tell_config(const Config& config) {
  const auto line = [](const auto& row, const auto& target, std::string_view name) {
    const Values values = row.tell ? row.tell(target) : row.get(target);
    return values.empty() ? std::string() : fmt::format("{} = {}\n", name, toml_text(values, row.toml));
  };
  std::string text;
  std::string section;
  for (const ConfigRow& row : config_rows()) {
    const std::size_t dot = row.name.find('.');
    if (dot != std::string::npos && row.name.substr(0, dot) != section) {
      section = row.name.substr(0, dot);
      text += fmt::format("[{}]\n", section);
    }
    text += line(row, config, std::string_view(row.name).substr(dot == std::string::npos ? 0 : dot + 1));
  }
  for (const ModelEntry& entry : config.models) {
    text += fmt::format("[model.{}]\n", toml_string(entry.id));
    for (const ModelRow& row : model_rows()) text += line(row, entry, row.name);
  }
  for (const Device& device : config.devices) {
    text += fmt::format("[device.{}]\n", toml_string(device.id));
    for (const DeviceRow& row : device_rows()) text += line(row, device, row.name);
  }
  return text;
}

std::string trace_folder(const Config& config) { return config.state_dir + "/trace"; }

std::string conversations_folder(const Config& config) { return config.state_dir + "/conversations"; }

Bytes share_of(const BudgetSetting& setting, Bytes whole) {
  if (setting.bytes > Bytes(0)) return setting.bytes;
  if (setting.percent >= 100) return whole;  // also keeps the arithmetic below from overflowing
  const double bytes = static_cast<double>(whole.count()) * setting.percent / 100;
  return Bytes(static_cast<std::uint64_t>(bytes + 0.5));
}

Bytes resolve_budget(const BudgetSetting& setting, const io::MachineMemory& memory) {
  return share_of(setting, memory.limit());
}

std::string budget_warning(const Config& config, const io::MachineMemory& memory, Bytes held) {
  const Bytes budget = resolve_budget(config.memory_budget, memory);
  const io::MemoryLevel* tightest = nullptr;
  Bytes most;  // the most that models can have on that level
  for (const io::MemoryLevel& level : memory.levels) {
    if (!level.available) continue;
    const Bytes room = *level.available + held - level.to_stay_free(config.min_free_memory);
    if (tightest != nullptr && room >= most) continue;
    tightest = &level;
    most = room;
  }
  if (tightest == nullptr || budget <= most) return {};
  const std::uint64_t mib = most.count() >> 20;
  return fmt::format(
      "The models may take {} (memory_budget), but other programs leave them {} of {}'s {}, of which {} are to stay "
      "free (limits.min_free_memory). Idle models will be parked or stopped before the budget is reached: end other "
      "programs{}.",
      format_bytes(budget), format_bytes(*tightest->available + held), tightest->name, format_bytes(tightest->limit),
      format_bytes(tightest->to_stay_free(config.min_free_memory)),
      mib == 0 ? "" : fmt::format(", or lower memory_budget to {}MiB", mib));
}

}  // namespace minerva
