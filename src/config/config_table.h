// The one table of config keys: every source of settings and every description uses it. Internal to src/config. Plain
// values.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace minerva {

// The types that a key's value may have in a TOML file.
enum class TomlKind { kText, kInteger, kTextOrInteger, kBoolean, kList, kTextOrList, kTable };

inline bool is_list(TomlKind kind) { return kind == TomlKind::kList || kind == TomlKind::kTextOrList; }

// A value as text: one element, except for lists. Booleans are "true" and "false"; tables are JSON.
using Values = std::vector<std::string>;

template <typename Target>
struct KeyRow {
  std::string name;  // "limits.max_body"
  std::string flag;  // empty: none
  std::string type;
  TomlKind toml;
  std::string meaning;
  // Sets the member of the target. Relative paths are relative to `base`. The error has no place yet.
  std::function<Result<void>(Target&, const Values&, const std::string& base)> set;
  // The value in the form that set() takes. Empty: not set (only for models, whose keys have no default value).
  std::function<Values(const Target&)> get;
  std::string default_text = {};  // the default in words, where the value alone does not say it
  char separator = 0;             // between the elements of a list in an environment variable
  bool at_start_only = false;     // a reload cannot change it
  std::string environment = {};   // "models_dir", where the variable has another name than the key
  // What others may know of the value, in the form of get(); empty: nothing. Without this function: everything.
  std::function<Values(const Target&)> tell = {};
};

using ConfigRow = KeyRow<Config>;
using ModelRow = KeyRow<ModelEntry>;
using DeviceRow = KeyRow<Device>;
using PresetRow = KeyRow<api::Preset>;

const std::vector<ConfigRow>& config_rows();
const std::vector<ModelRow>& model_rows();
const std::vector<DeviceRow>& device_rows();
const std::vector<PresetRow>& preset_rows();
// nullptr if there is none.
const ConfigRow* find_config_row(std::string_view name);

std::string environment_name(const ConfigRow& row);  // "MINERVA_LIMITS_MAX_BODY"
std::string flag_text(const ConfigRow& row);         // "--park | --no-park"; empty: none

// The values of one key, where they came from, and the folder that relative paths in them are relative to.
struct Setting {
  Values values;
  std::string where;  // "minerva.toml:12:5", "environment MINERVA_LISTEN", "--listen"
  std::string base;
};

struct ConfigFile {
  std::map<std::string, Setting> settings;  // by key
  std::vector<ModelEntry> models;
  std::vector<Device> devices;
  std::vector<api::Preset> presets;
};
// Checks that each name can be one of a model or a preset. Errors: kInvalidArgument.
Result<void> check_names(const std::vector<std::string>& names);
// The same for the name of a device.
Result<void> check_device_name(const std::string& name);

// Errors: kInvalidArgument; the message starts with the place.
Result<ConfigFile> read_config_file(const std::string& file);
// `name`: stands for the file in errors. Relative paths are relative to the working directory.
Result<ConfigFile> read_config_text(const std::string& name, std::string_view text);

}  // namespace minerva
