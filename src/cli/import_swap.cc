// Imports llama-swap's config. Only this file knows yaml-cpp; its exceptions end here.
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "cli/import.h"
#include "config/toml_text.h"

namespace minerva::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostNodes = 10'000;  // of one value: one alias of YAML may stand for many nodes
constexpr unsigned kMostDepth = 32;
// How many maps "<<" may merge into one, and how deep: a few lines of YAML can stand for any number of them.
constexpr std::size_t kMostMerged = 16;
constexpr unsigned kMostMergeDepth = 4;

using Macros = std::map<std::string, YAML::Node>;

// ---- YAML of any kind ----

std::vector<YAML::Node> elements_of(const YAML::Node& node) {
  std::vector<YAML::Node> elements;
  if (!node.IsDefined() || !node.IsSequence()) return elements;
  for (const auto& element : node) elements.push_back(element);
  return elements;
}

// The members of a map, with those of the maps that "<<" merges in, where the map has none of that name. yaml-cpp
// leaves this to its callers.
std::vector<std::pair<std::string, YAML::Node>> members_of(const YAML::Node& node, unsigned depth = 0) {
  std::vector<std::pair<std::string, YAML::Node>> members;
  if (!node.IsDefined() || !node.IsMap() || depth > kMostMergeDepth) return members;
  std::vector<YAML::Node> merged;
  for (const auto& member : node) {
    if (member.first.Scalar() != "<<") {
      members.emplace_back(member.first.Scalar(), member.second);
    } else if (member.second.IsSequence()) {
      merged = elements_of(member.second);
    } else {
      merged = {member.second};
    }
  }
  merged.resize(std::min(merged.size(), kMostMerged));
  for (const YAML::Node& map : merged) {
    for (auto& member : members_of(map, depth + 1)) {
      const bool is_there =
          std::any_of(members.begin(), members.end(), [&](const auto& other) { return other.first == member.first; });
      if (!is_there && members.size() < kMostNodes) members.push_back(std::move(member));
    }
  }
  return members;
}

// The member of that name; an undefined node if there is none.
YAML::Node at(const YAML::Node& node, const std::string& name) {
  for (auto& [its_name, value] : members_of(node)) {
    if (its_name == name && value.IsDefined()) return value;
  }
  return YAML::Node(YAML::NodeType::Undefined);
}

// Replaces the macro. To assign to its node would change that node everywhere.
void define(Macros& macros, const std::string& name, const YAML::Node& value) {
  macros.erase(name);
  macros.emplace(name, value);
}

// The value of a plain scalar, by YAML's rules.
api::Json plain(const std::string& text) {
  if (text.empty() || text == "~" || text == "null") return nullptr;
  if (text == "true" || text == "false") return text == "true";
  std::int64_t whole = 0;
  const char* const end = text.data() + text.size();
  if (const auto read = std::from_chars(text.data(), end, whole); read.ec == std::errc() && read.ptr == end)
    return whole;
  double number = 0;
  const bool is_number = text.find_first_not_of("0123456789+-.eE") == std::string::npos;
  if (const auto read = std::from_chars(text.data(), end, number);
      is_number && read.ec == std::errc() && read.ptr == end && std::isfinite(number)) {
    return number;
  }
  return text;
}

// Removes the lines that begin with #. This comes before macros are replaced, which may have several lines.
std::string without_comments(std::string_view command) {
  std::string result;
  while (!command.empty()) {
    const std::size_t end = std::min(command.find('\n'), command.size());
    const std::string_view line = command.substr(0, end);
    command.remove_prefix(std::min(end + 1, command.size()));
    const std::size_t begin = line.find_first_not_of(" \t");
    if (begin != std::string_view::npos && line[begin] == '#') continue;
    result += line;
    result += '\n';
  }
  return result;
}

// Splits a command as a shell does, but replaces nothing.
std::vector<std::string> split_words(std::string_view command) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else if (c == '\\' && quote == '"' && i + 1 < command.size()) {
        word += command[++i];
      } else {
        word += c;
      }
      continue;
    }
    const bool is_break = c == '\\' && i + 1 < command.size() && (command[i + 1] == '\n' || command[i + 1] == '\r');
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || is_break) {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
      continue;
    }
    in_word = true;
    if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '\\' && i + 1 < command.size()) {
      word += command[++i];
    } else {
      word += c;
    }
  }
  if (in_word) words.push_back(word);
  return words;
}

// The changes that a model's filters make in its requests.
struct Filters {
  std::vector<std::string> strip;
  std::vector<std::pair<std::string, api::Json>> set;
  std::vector<std::pair<std::string, std::vector<std::pair<std::string, api::Json>>>> set_by_id;
};

class SwapImport {
 public:
  SwapImport(const YAML::Node& root, Imported& into) : root_(root), into_(into) {}

  Result<void> run() {
    if (!at(root_, "models").IsMap()) {
      return fail(ErrorCode::kInvalidArgument,
                  "it has no models; a config of llama-swap has \"models:\" with one each");
    }
    for (const auto& [name, value] : members_of(at(root_, "macros"))) define(macros_, name, value);
    settings();
    for (const auto& [name, node] : members_of(at(root_, "models"))) read_model(name, node);
    groups(at(root_, "groups"));
    groups(at(at(at(at(root_, "routing"), "router"), "settings"), "groups"));
    for (const YAML::Node& name : elements_of(at(at(at(root_, "hooks"), "on_startup"), "preload"))) {
      ImportedModel* const model = find(name.Scalar());
      if (model != nullptr) {
        model->eager = true;
      } else {
        into_.notes.push_back(fmt::format("hooks.on_startup.preload: there is no model \"{}\" here.", name.Scalar()));
      }
    }
    return {};
  }

 private:
  // ---- text ----

  std::string text_of(const YAML::Node& node, const Macros& macros) {
    return node.IsDefined() && node.IsScalar() ? expanded(node.Scalar(), macros, 0) : "";
  }

  std::string command_of(const YAML::Node& node, const Macros& macros) {
    return node.IsDefined() && node.IsScalar() ? expanded(without_comments(node.Scalar()), macros, 0) : "";
  }

  std::string expanded(std::string_view text, const Macros& macros, unsigned depth) {
    std::string result;
    while (!text.empty()) {
      const std::size_t begin = std::min(text.find("${"), text.size());
      const std::size_t end = text.find('}', begin);
      if (end == std::string_view::npos || depth > kMostDepth) return result += text;
      result += text.substr(0, begin);
      const std::string name(text.substr(begin + 2, end - begin - 2));
      const auto macro = macros.find(name);
      if (macro != macros.end() && macro->second.IsScalar()) {
        result += expanded(macro->second.Scalar(), macros, depth + 1);
      } else if (const char* const value = name.starts_with("env.") ? std::getenv(name.c_str() + 4) : nullptr) {
        result += value;
      } else {
        result += text.substr(begin, end + 1 - begin);  // ${PORT}, and macros that are not defined
      }
      text.remove_prefix(end + 1);
    }
    return result;
  }

  api::Json json_of(const YAML::Node& node, const Macros& macros, std::size_t& nodes, unsigned depth = 0) {
    if (++nodes > kMostNodes || depth > kMostDepth) return nullptr;
    if (node.IsSequence()) {
      api::Json list = api::Json::array();
      for (const YAML::Node& element : elements_of(node)) list.push_back(json_of(element, macros, nodes, depth + 1));
      return list;
    }
    if (node.IsMap()) {
      api::Json object = api::Json::object();
      for (const auto& [name, value] : members_of(node)) {
        object[expanded(name, macros, 0)] = json_of(value, macros, nodes, depth + 1);
      }
      return object;
    }
    if (!node.IsScalar()) return nullptr;
    const std::string& text = node.Scalar();
    const bool is_one_macro = text.starts_with("${") && text.find('}') == text.size() - 1;
    if (is_one_macro) {
      // The value keeps the type of the macro.
      const auto macro = macros.find(text.substr(2, text.size() - 3));
      if (macro != macros.end()) return json_of(macro->second, macros, nodes, depth + 1);
    }
    const std::string meaning = expanded(text, macros, 0);
    return node.Tag() == "!" ? api::Json(meaning) : plain(meaning);
  }

  // Values that TOML or a preset cannot have are left out, with a note.
  std::vector<std::pair<std::string, api::Json>> parameters(const YAML::Node& node, const Macros& macros,
                                                            std::vector<std::string>& notes) {
    std::vector<std::pair<std::string, api::Json>> result;
    for (const auto& [key, node_of_value] : members_of(node)) {
      const std::string name = expanded(key, macros, 0);
      std::size_t nodes = 0;
      api::Json value = json_of(node_of_value, macros, nodes);
      const std::string text = api::dump({{name, value}});
      const auto allowed = api::parse_preset_values(text);
      if (!allowed || has_null(value)) {
        notes.push_back(fmt::format("No counterpart: the parameter {} ({}).", text,
                                    allowed ? "TOML has no null" : allowed.error().message));
      } else {
        result.emplace_back(name, std::move(value));
      }
    }
    return result;
  }

  static bool has_null(const api::Json& json) {
    return json.is_null() || (json.is_structured() && std::any_of(json.begin(), json.end(), has_null));
  }

  // ---- the whole config ----

  void settings() {
    if (const std::string level = text_of(at(root_, "logLevel"), macros_);
        level == "debug" || level == "info" || level == "warn" || level == "error") {
      into_.settings.push_back(fmt::format("log_level = {}", toml_string(level)));
    }
    std::vector<std::string> keys;
    for (const YAML::Node& key : elements_of(at(root_, "apiKeys"))) {
      const std::string text = text_of(key, macros_);
      if (text.empty() || text.find("${") != std::string::npos) {
        into_.notes.push_back(fmt::format("An API key that is not set here: {}", text));
      } else {
        keys.push_back(text);
      }
    }
    if (!keys.empty()) into_.settings.push_back(fmt::format("api_keys = {}", toml_value(api::Json(keys))));
    if (const auto seconds = seconds_of(at(root_, "healthCheckTimeout")); seconds && *seconds > 0) {
      into_.sections.push_back(
          fmt::format("[queue]\nload_timeout = \"{}s\"\n", std::min<std::int64_t>(*seconds, 86'400)));
    }
    note_others(
        root_,
        {"models", "macros", "logLevel", "apiKeys", "healthCheckTimeout", "groups", "routing", "hooks", "globalTTL"},
        into_.notes);
    if (at(at(at(at(root_, "routing"), "router"), "settings"), "matrix").IsDefined()) {
      into_.notes.emplace_back(
          "No counterpart: matrix. Which models are in memory together follows from memory_budget.");
    }
    if (at(at(at(root_, "hooks"), "on_startup"), "profile").IsDefined())
      into_.notes.emplace_back("No counterpart: profile");
  }

  static void note_others(const YAML::Node& map, std::initializer_list<std::string_view> known,
                          std::vector<std::string>& notes) {
    std::vector<std::string> names;
    for (const auto& [name, value] : members_of(map)) {
      if (std::find(known.begin(), known.end(), name) == known.end()) names.push_back(name);
    }
    if (!names.empty()) notes.push_back(fmt::format("No counterpart: {}", fmt::join(names, ", ")));
  }

  std::optional<std::int64_t> seconds_of(const YAML::Node& node, const Macros& macros) {
    const api::Json value = plain(text_of(node, macros));
    return value.is_number_integer() ? std::optional(value.get<std::int64_t>()) : std::nullopt;
  }
  std::optional<std::int64_t> seconds_of(const YAML::Node& node) { return seconds_of(node, macros_); }

  void groups(const YAML::Node& groups) {
    for (const auto& [name, group] : members_of(groups)) {
      const bool persistent = text_of(at(group, "persistent"), macros_) == "true";
      for (const YAML::Node& member : elements_of(at(group, "members"))) {
        ImportedModel* const model = persistent ? find(member.Scalar()) : nullptr;
        if (model != nullptr) model->pinned = true;
      }
      into_.notes.push_back(fmt::format(
          "No counterpart: the group \"{}\". Which models are in memory together follows from memory_budget{}.", name,
          persistent ? ", and its members are pinned" : ""));
    }
  }

  ImportedModel* find(const std::string& name) {
    const auto known = ids_.find(name);
    const auto model = std::find_if(into_.models.begin(), into_.models.end(), [&](const ImportedModel& m) {
      if (known != ids_.end()) return m.id == known->second;
      return std::find(m.aliases.begin(), m.aliases.end(), name) != m.aliases.end();
    });
    return model == into_.models.end() ? nullptr : &*model;
  }

  // ---- one model ----

  void read_model(const std::string& name, const YAML::Node& node) {
    Macros macros = macros_;
    for (const auto& [macro, value] : members_of(at(node, "macros"))) define(macros, macro, value);
    define(macros, "MODEL_ID", YAML::Node(name));

    std::vector<std::string> notes;
    const Filters filters = filters_of(at(node, "filters"), macros, notes);
    const std::string engines_name = text_of(at(node, "useModelName"), macros);
    const std::vector<std::string> words = split_words(command_of(at(node, "cmd"), macros));
    if (words.empty()) {
      into_.notes.push_back(fmt::format("The model \"{}\" has no cmd.", name));
      return;
    }
    const bool is_server = fs::path(words[0]).filename().string().find("llama-server") != std::string::npos;
    ServerArguments arguments;
    arguments.take_line({words.begin() + 1, words.end()});
    const bool is_file = is_server && arguments.names_a_model();
    const bool has_own = has_own_preset(name, filters) || (!is_file && !engines_name.empty() && engines_name != name);

    // If the model has changes of its own, its name goes to a preset, and the model gets the name that its engine uses.
    const std::string model_name = !has_own ? name : !is_file && !engines_name.empty() ? engines_name : name + ":model";
    std::optional<ImportedModel> model =
        is_file ? arguments.model(into_, model_name) : command_model(model_name, words, node, macros);
    if (!model) return;
    model->notes.insert(model->notes.end(), notes.begin(), notes.end());
    if (is_file && at(node, "env").IsDefined()) {
      model->notes.emplace_back("No counterpart: env. Set it for the server, or write a command.");
    }
    auto ttl = seconds_of(at(node, "ttl"), macros);
    if (!ttl || *ttl < 0) ttl = seconds_of(at(root_, "globalTTL"));
    if (ttl && *ttl > 0) model->ttl = std::chrono::seconds(*ttl);
    note_others(node, {"cmd", "macros", "aliases", "ttl", "env", "filters", "useModelName", "proxy", "checkEndpoint"},
                model->notes);
    std::vector<std::string> aliases;
    for (const YAML::Node& alias : elements_of(at(node, "aliases"))) aliases.push_back(text_of(alias, macros));
    if (!has_own) take_aliases(into_, aliases, model->aliases, model->notes);
    ids_[name] = model->id;
    into_.models.push_back(*std::move(model));
    if (has_own) add_preset(name, ids_[name], filters, own_set(name, filters), aliases);
    for (const auto& [id, set] : filters.set_by_id) {
      if (id != name) add_preset(id, ids_[name], filters, set, {});
    }
  }

  std::optional<ImportedModel> command_model(const std::string& name, std::vector<std::string> words,
                                             const YAML::Node& node, const Macros& macros) {
    ImportedModel model;
    std::vector<std::string> environment;
    for (const YAML::Node& variable : elements_of(at(node, "env"))) environment.push_back(text_of(variable, macros));
    const auto says_port = [](const std::string& word) { return word.find("${PORT}") != std::string::npos; };
    if (std::none_of(words.begin(), words.end(), says_port) &&
        std::none_of(environment.begin(), environment.end(), says_port)) {
      const std::string proxy = text_of(at(node, "proxy"), macros);
      const std::string port = proxy.substr(std::min(proxy.rfind(':') + 1, proxy.size()));
      const std::string digits = port.substr(0, port.find_first_not_of("0123456789"));
      const auto word = std::find_if(words.begin(), words.end(), [&](const std::string& w) {
        return !digits.empty() && w.find(digits) != std::string::npos;
      });
      if (word == words.end()) {
        into_.notes.push_back(fmt::format("Not taken over: the model \"{}\", whose cmd does not say ${{PORT}}: {}",
                                          name, fmt::join(words, " ")));
        return std::nullopt;
      }
      word->replace(word->find(digits), digits.size(), "${PORT}");
      model.notes.push_back(fmt::format("Minerva chooses the port; it was {}.", digits));
    }
    model.id = take_name(into_, name, model.notes);
    if (words[0].find('/') != std::string::npos) {
      std::error_code error;
      words[0] = fs::absolute(words[0], error).lexically_normal().string();
    }
    model.command = std::move(words);
    for (const std::string& variable : environment) {
      if (variable.find('=') != std::string::npos && !variable.starts_with('=')) model.environment.push_back(variable);
    }
    const std::string health = text_of(at(node, "checkEndpoint"), macros);
    if (health.starts_with('/') && health.find_first_of(" \t\r\n") == std::string::npos) {
      model.health = health;
    } else if (!health.empty()) {
      model.notes.push_back(
          fmt::format("No counterpart: checkEndpoint: {}. A path is asked until it answers.", health));
    }
    return model;
  }

  // ---- presets ----

  Filters filters_of(const YAML::Node& node, const Macros& macros, std::vector<std::string>& notes) {
    Filters filters;
    for (const char* const key : {"stripParams", "strip_params"}) {
      std::string text = text_of(at(node, key), macros);
      std::replace(text.begin(), text.end(), ',', ' ');
      for (const std::string& name : split_words(text)) {
        const auto allowed = api::check_strip({name});
        if (allowed) filters.strip.push_back(name);
        if (!allowed) notes.push_back(fmt::format("No counterpart: stripParams ({}).", allowed.error().message));
      }
    }
    filters.set = parameters(at(node, "setParams"), macros, notes);
    for (const auto& [id, set] : members_of(at(node, "setParamsByID"))) {
      filters.set_by_id.emplace_back(expanded(id, macros, 0), parameters(set, macros, notes));
    }
    note_others(node, {"stripParams", "strip_params", "setParams", "setParamsByID"}, notes);
    return filters;
  }

  static std::vector<std::pair<std::string, api::Json>> own_set(const std::string& name, const Filters& filters) {
    const auto own = std::find_if(filters.set_by_id.begin(), filters.set_by_id.end(),
                                  [&](const auto& by_id) { return by_id.first == name; });
    return own == filters.set_by_id.end() ? decltype(own->second)() : own->second;
  }
  static bool has_own_preset(const std::string& name, const Filters& filters) {
    return !filters.strip.empty() || !filters.set.empty() || !own_set(name, filters).empty();
  }

  void add_preset(const std::string& name, const ModelId& model, const Filters& filters,
                  const std::vector<std::pair<std::string, api::Json>>& own, const std::vector<std::string>& aliases) {
    ImportedPreset imported;
    imported.preset.id = take_name(into_, name, imported.notes);
    imported.preset.model = model;
    imported.preset.strip = filters.strip;
    api::Json set = api::Json::object();
    for (const auto& [key, value] : filters.set) set[key] = value;
    for (const auto& [key, value] : own) set[key] = value;
    auto values = api::parse_preset_values(api::dump(set));
    if (values) {
      imported.preset.set = *std::move(values);
    } else {
      imported.notes.push_back(fmt::format("No counterpart: {} ({}).", api::dump(set), values.error().message));
    }
    take_aliases(into_, aliases, imported.preset.aliases, imported.notes);
    into_.presets.push_back(std::move(imported));
  }

  const YAML::Node root_;
  Imported& into_;
  Macros macros_;
  std::map<std::string, ModelId> ids_;  // by llama-swap's name
};

}  // namespace

Result<void> import_llama_swap(std::string_view text, Imported& into) {
  try {
    return SwapImport(YAML::Load(std::string(text)), into).run();
  } catch (const YAML::Exception& error) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("line {}: {}", error.mark.line + 1, error.msg));
  }
}

}  // namespace minerva::cli
