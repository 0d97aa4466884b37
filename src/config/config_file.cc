// Reads the TOML file. Only this file knows toml++.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

// toml++ has assertions that a malformed file can break ("x = [1, }"). Such a file must end the reading, and not the
// program. So this source is compiled without NDEBUG: with NDEBUG the same file would cause undefined behaviour.
namespace {
struct MalformedToml {};
}  // namespace
#define TOML_ASSERT(condition) ((condition) ? void() : throw MalformedToml())
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "api/json.h"
#include "config/config_table.h"
#include "config/values.h"

namespace minerva {
namespace {

constexpr std::size_t kMaxFileBytes = 1 << 20;

std::string_view kind_name(TomlKind kind) {
  switch (kind) {
    case TomlKind::kText:
      return "text in quotes";
    case TomlKind::kInteger:
      return "a whole number";
    case TomlKind::kTextOrInteger:
      return "text in quotes or a whole number";
    case TomlKind::kBoolean:
      return "true or false";
    case TomlKind::kList:
      return "a list of texts in brackets";
    case TomlKind::kTextOrList:
      return "text in quotes or a list of texts in brackets";
    case TomlKind::kTable:
      return "a table of texts, numbers, booleans, lists and tables";
  }
  return {};
}

// Nothing if the node holds something that JSON does not have.
std::optional<api::Json> json_of(const toml::node& node) {
  if (const auto* const text = node.as_string(); text != nullptr) return api::Json(text->get());
  if (const auto* const integer = node.as_integer(); integer != nullptr) return api::Json(integer->get());
  if (const auto* const boolean = node.as_boolean(); boolean != nullptr) return api::Json(boolean->get());
  if (const auto* const number = node.as_floating_point(); number != nullptr && std::isfinite(number->get())) {
    return api::Json(number->get());
  }
  if (const auto* const array = node.as_array(); array != nullptr) {
    api::Json list = api::Json::array();
    for (const toml::node& element : *array) {
      std::optional<api::Json> json = json_of(element);
      if (!json) return std::nullopt;
      list.push_back(*std::move(json));
    }
    return list;
  }
  if (const auto* const table = node.as_table(); table != nullptr) {
    api::Json object = api::Json::object();
    for (const auto& [key, value] : *table) {
      std::optional<api::Json> json = json_of(value);
      if (!json) return std::nullopt;
      object[std::string(key.str())] = *std::move(json);
    }
    return object;
  }
  return std::nullopt;
}

// The node's values; nothing if it has another type.
std::optional<Values> values_of(const toml::node& node, TomlKind kind) {
  const bool takes_text = kind == TomlKind::kText || kind == TomlKind::kTextOrInteger || kind == TomlKind::kTextOrList;
  const bool takes_integer = kind == TomlKind::kInteger || kind == TomlKind::kTextOrInteger;
  if (const auto* const text = node.as_string(); text != nullptr && takes_text) return Values{text->get()};
  if (const auto* const integer = node.as_integer(); integer != nullptr && takes_integer) {
    return Values{fmt::to_string(integer->get())};
  }
  if (const auto* const boolean = node.as_boolean(); boolean != nullptr && kind == TomlKind::kBoolean) {
    return Values{boolean->get() ? "true" : "false"};
  }
  if (const auto* const array = node.as_array(); array != nullptr && is_list(kind)) {
    Values values;
    for (const toml::node& element : *array) {
      if (!element.is_string()) return std::nullopt;
      values.push_back(element.as_string()->get());
    }
    return values;
  }
  if (node.is_table() && kind == TomlKind::kTable) {
    const std::optional<api::Json> json = json_of(node);
    return json ? std::optional(Values{api::dump(*json)}) : std::nullopt;
  }
  return std::nullopt;
}

// Nothing if toml++ gave up on the text (MalformedToml).
std::optional<toml::parse_result> try_parse(std::string_view text) {
  try {
    return toml::parse(text);
  } catch (const MalformedToml&) {
    return std::nullopt;
  }
}

bool is_beyond_ascii(char c) { return static_cast<unsigned char>(c) >= 0x80; }

// A quoted part of the text, from its first quote to behind its last one.
struct Quotation {
  std::size_t end;
  std::size_t stray = std::string_view::npos;  // the position that stray_letter() looks for, inside the quotation
};

Quotation quotation(std::string_view text, std::size_t begin) {
  const char quote = text[begin];
  const std::string three(3, quote);
  const bool has_lines = text.substr(begin).starts_with(three);
  std::size_t at = begin + (has_lines ? 3 : 1);
  while (at < text.size()) {
    if (quote == '"' && text[at] == '\\') {
      ++at;
      const std::size_t next = std::min(text.find_first_not_of(" \t\v\f\r\n", at), text.size());
      if (has_lines && next < text.size() && is_beyond_ascii(text[next])) return {next, next};
      at = std::min(std::max(has_lines ? next : at, at + 1), text.size());
    } else if (has_lines && text.substr(at).starts_with(three)) {
      // Up to two quotes more belong to the text itself.
      const std::size_t last = std::min(text.find_first_not_of(quote, at), text.size());
      return {std::min(last, at + 5)};
    } else if (!has_lines && (text[at] == quote || text[at] == '\n')) {
      return {at + 1};
    } else {
      ++at;
    }
  }
  return {text.size()};
}

// The position of a character that toml++ (3.3 and 3.4) must not see; npos if there is none. toml++ asks whether a
// character is blank, and its table for characters beyond ASCII promises the compiler that every character of a range
// is in the table. That is wrong for most of them ("\u00e9"), so the behaviour is undefined. It asks in two places:
// outside of quotes and comments, where TOML allows no such character; and behind a line's end that a "\" removes,
// where TOML does allow it.
std::size_t stray_letter(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  std::size_t at = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  while (at < text.size()) {
    const char c = text[at];
    if (is_beyond_ascii(c)) return at;
    if (c == '#') {
      at = std::min(text.find('\n', at), text.size());
    } else if (c == '"' || c == '\'') {
      const Quotation found = quotation(text, at);
      if (found.stray != std::string_view::npos) return found.stray;
      at = found.end;
    } else {
      ++at;
    }
  }
  return std::string_view::npos;
}

// The position of byte `at`, counted as toml++ counts: lines and letters from 1.
toml::source_position position_of(std::string_view text, std::size_t at) {
  const std::string_view before = text.substr(0, at);
  const std::size_t line_begin = before.rfind('\n') + 1;  // 0 if this is the first line
  const auto is_letter = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; };
  const auto lines = std::count(before.begin(), before.end(), '\n');
  const auto letters = std::count_if(before.begin() + static_cast<std::ptrdiff_t>(line_begin), before.end(), is_letter);
  return {static_cast<toml::source_index>(lines + 1), static_cast<toml::source_index>(letters + 1)};
}

toml::parse_result parse(std::string_view text) {
  if (const std::size_t stray = stray_letter(text); stray != std::string_view::npos) {
    const toml::source_position place = position_of(text, stray);
    return toml::parse_result{toml::parse_error{
        "a letter that is not ASCII stands where none can: put the name or text into quotes, or write it as \\uXXXX",
        {place, place, nullptr}}};
  }
  if (auto parsed = try_parse(text)) return *std::move(parsed);
  // toml++ did not say where. The place is the last line of the shortest text on which it gives up.
  toml::source_index line = 0;
  for (std::size_t end = 0; end < text.size();) {
    end = std::min(text.find('\n', end), text.size() - 1) + 1;
    ++line;
    if (!try_parse(text.substr(0, end))) break;
  }
  return toml::parse_result{toml::parse_error{"a value is missing or not closed", {{line, 1}, {line, 1}, nullptr}}};
}

class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {
    std::error_code error;
    base_ = std::filesystem::absolute(file_, error).parent_path().string();
  }

  Result<ConfigFile> read() {
    std::ifstream in(file_, std::ios::binary);
    if (!in) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("{}: cannot be read: {}", file_, std::strerror(errno)));
    }
    std::string text(kMaxFileBytes + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.bad() || (in.gcount() == 0 && !in.eof())) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("{}: cannot be read", file_));
    }
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMaxFileBytes) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("{}: is larger than a config file can be (1 MiB)", file_));
    }
    return read(text);
  }

  Result<ConfigFile> read(std::string_view text) {
    const toml::parse_result parsed = parse(text);
    if (!parsed) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{}: {}", place(parsed.error().source()), parsed.error().description()));
    }
    if (const auto done = read_top(parsed.table()); !done) return fail(done.error());
    if (const auto done = check_names(); !done) return fail(done.error());
    return std::move(result_);
  }

 private:
  std::string place(const toml::source_region& source) const {
    return fmt::format("{}:{}:{}", file_, source.begin.line, source.begin.column);
  }

  Failure error_at(const toml::source_region& source, std::string_view message) const {
    return fail(ErrorCode::kInvalidArgument, fmt::format("{}: {}", place(source), message));
  }

  Failure unknown(const toml::key& key, const std::vector<std::string>& known) const {
    return error_at(key.source(), fmt::format("unknown key \"{}\"; known here: {}", key.str(), fmt::join(known, ", ")));
  }

  Failure wrong_type(const toml::node& node, std::string_view name, TomlKind kind) const {
    return error_at(node.source(), fmt::format("\"{}\" must be {}", name, kind_name(kind)));
  }

  // The keys in `section` ("" or "limits."); at the top level also the sections.
  static std::vector<std::string> known_in(const std::string& section) {
    std::vector<std::string> names;
    for (const ConfigRow& row : config_rows()) {
      if (!row.name.starts_with(section)) continue;
      const std::string rest = row.name.substr(section.size());
      const std::string name = rest.substr(0, rest.find('.'));
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    if (section.empty()) names.insert(names.end(), {"model", "device", "preset"});
    return names;
  }

  Result<void> read_top(const toml::table& table) {
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      const auto known = known_in("");
      const bool has_entries = name == "model" || name == "device" || name == "preset";
      const bool is_section = find_config_row(name) == nullptr && !has_entries &&
                              std::find(known.begin(), known.end(), name) != known.end();
      Result<void> done;
      if (has_entries || is_section) {
        const toml::table* const inner = node.as_table();
        if (inner == nullptr) {
          return error_at(node.source(),
                          fmt::format("\"{}\" must be a table: [{}{}]", name, name, has_entries ? ".\"NAME\"" : ""));
        }
        done = name == "model"    ? read_models(*inner)
               : name == "device" ? read_devices(*inner)
               : name == "preset" ? read_presets(*inner)
                                  : read_section(*inner, name + ".");
      } else {
        done = read_key(key, node, "");
      }
      if (!done) return done;
    }
    return {};
  }

  Result<void> read_section(const toml::table& table, const std::string& section) {
    for (const auto& [key, node] : table) {
      if (const auto done = read_key(key, node, section); !done) return done;
    }
    return {};
  }

  Result<void> read_key(const toml::key& key, const toml::node& node, const std::string& section) {
    const std::string name = section + std::string(key.str());
    const ConfigRow* const row = find_config_row(name);
    if (row == nullptr) return unknown(key, known_in(section));
    auto values = values_of(node, row->toml);
    if (!values) return wrong_type(node, key.str(), row->toml);
    result_.settings[name] = {std::move(*values), fmt::format("{}: {}", place(node.source()), name), base_};
    return {};
  }

  Result<void> read_models(const toml::table& table) {
    for (const auto& [key, node] : table) {
      if (const auto named = check_name(key); !named) return named;
      const auto entry = read_entry<ModelEntry>("model", key, node, model_rows());
      if (!entry) return fail(entry.error());
      if (const auto done = check_command(*entry, *node.as_table()); !done) return done;
      if (const auto done = check_idle_times(*entry, *node.as_table()); !done) return done;
      result_.models.push_back(*entry);
    }
    return {};
  }

  Result<void> read_devices(const toml::table& table) {
    for (const auto& [key, node] : table) {
      if (result_.devices.size() == Footprint::kMostDevices) {
        return error_at(key.source(), fmt::format("there can be {} devices", Footprint::kMostDevices));
      }
      if (const auto named = check_device_name(std::string(key.str())); !named) {
        return error_at(key.source(), named.error().message);
      }
      const auto device = read_entry<Device>("device", key, node, device_rows());
      if (!device) return fail(device.error());
      if (!node.as_table()->contains("memory_budget")) {
        return error_at(key.source(), "add memory_budget = \"SIZE\": what models may take of it");
      }
      result_.devices.push_back(*device);
    }
    return {};
  }

  Result<void> read_presets(const toml::table& table) {
    for (const auto& [key, node] : table) {
      if (const auto named = check_name(key); !named) return named;
      const auto preset = read_entry<api::Preset>("preset", key, node, preset_rows());
      if (!preset) return fail(preset.error());
      if (preset->model.empty()) return error_at(key.source(), "add model = \"NAME\": whose weights it uses");
      result_.presets.push_back(*preset);
    }
    return {};
  }

  // Checks that a key can be the name of a model or a preset.
  Result<void> check_name(const toml::key& key) const {
    const auto named = minerva::check_names({std::string(key.str())});
    return named ? named : error_at(key.source(), named.error().message);
  }

  // Reads one named table: `kind` is "model", "device" or "preset".
  template <typename Entry>
  Result<Entry> read_entry(std::string_view kind, const toml::key& key, const toml::node& node,
                           const std::vector<KeyRow<Entry>>& rows) {
    const std::string id(key.str());
    const toml::table* const inner = node.as_table();
    if (inner == nullptr) {
      return error_at(node.source(), fmt::format("write [{}.\"{}\"] and its keys below", kind, id));
    }
    Entry entry;
    entry.id = id;
    places_[fmt::format("{} {}", kind, id)] = place(key.source());
    for (const auto& [inner_key, value] : *inner) {
      if (const auto done = read_entry_key(kind, entry, inner_key, value, rows); !done) return fail(done.error());
    }
    return entry;
  }

  template <typename Entry>
  Result<void> read_entry_key(std::string_view kind, Entry& entry, const toml::key& key, const toml::node& node,
                              const std::vector<KeyRow<Entry>>& rows) {
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const auto& r) { return r.name == key.str(); });
    if (row == rows.end()) {
      std::vector<std::string> known;
      for (const auto& r : rows) known.push_back(r.name);
      return unknown(key, known);
    }
    const auto values = values_of(node, row->toml);
    if (!values) return wrong_type(node, key.str(), row->toml);
    const auto set = row->set(entry, *values, base_);
    if (!set) return error_at(node.source(), fmt::format("{}: {}", row->name, set.error().message));
    places_[fmt::format("{} {} {}", kind, entry.id, row->name)] = place(node.source());
    return {};
  }

  // Checks which keys may stand together: those of a model with a file, or those of one with a command.
  Result<void> check_command(const ModelEntry& entry, const toml::table& table) const {
    static constexpr std::array<std::string_view, 7> kOfFiles = {"path",     "fit",     "context", "context_may_shrink",
                                                                 "parallel", "weights", "args"};
    static constexpr std::array<std::string_view, 3> kOfCommands = {"memory", "health", "env"};
    const toml::node* const command = table.get("command");
    if (command == nullptr) {
      for (const std::string_view name : kOfCommands) {
        if (table.contains(name)) {
          return error_at(table.get(name)->source(), fmt::format("{}: this is for models with a command", name));
        }
      }
      return {};
    }
    for (const std::string_view name : kOfFiles) {
      if (table.contains(name)) {
        return error_at(table.get(name)->source(),
                        fmt::format("{}: a model with a command has none; say it in the command", name));
      }
    }
    if (!table.contains("memory")) {
      return error_at(command->source(), "command: add memory = \"SIZE\", as nobody else knows what it takes");
    }
    const std::string text =
        fmt::format("{} {}", fmt::join(entry.command.argv, " "), fmt::join(entry.command.environment, " "));
    const bool has_port = text.find("${PORT}") != std::string::npos;
    const bool has_socket = text.find("${SOCKET}") != std::string::npos;
    if (has_port == has_socket) {
      return error_at(command->source(),
                      fmt::format("command: say where it is to listen, with ${{PORT}} or ${{SOCKET}}{}",
                                  has_port ? ", and not with both" : ""));
    }
    return {};
  }

  Result<void> check_idle_times(const ModelEntry& entry, const toml::table& table) const {
    const Duration ttl = entry.ttl.value_or(Duration::zero());
    const Duration unload_ttl = entry.unload_ttl.value_or(Duration::zero());
    if (unload_ttl == Duration::zero() || unload_ttl >= ttl) return {};
    return error_at(table.get("unload_ttl")->source(),
                    fmt::format("unload_ttl: {} is shorter than ttl ({}), so the model would be unloaded before it is "
                                "parked; make it longer, or leave out ttl",
                                format_duration(unload_ttl), format_duration(ttl)));
  }

  // No name may mean two models or presets, and no preset may name another preset.
  Result<void> check_names() const {
    std::map<std::string, std::string> owners;
    for (const ModelEntry& entry : result_.models) owners[entry.id] = entry.id;
    for (const api::Preset& preset : result_.presets) {
      if (owners.emplace(preset.id, preset.id).second) continue;
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{}: \"{}\" already names a model; choose another name for the preset",
                              places_.at("preset " + preset.id), preset.id));
    }
    const auto add_aliases = [&](std::string_view kind, const auto& entry) -> Result<void> {
      for (const ModelId& alias : entry.aliases) {
        const auto [owner, is_new] = owners.emplace(alias, entry.id);
        if (is_new) continue;
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("{}: aliases: \"{}\" already names \"{}\"",
                                places_.at(fmt::format("{} {} aliases", kind, entry.id)), alias, owner->second));
      }
      return {};
    };
    for (const ModelEntry& entry : result_.models) {
      if (const auto added = add_aliases("model", entry); !added) return added;
    }
    for (const api::Preset& preset : result_.presets) {
      if (const auto added = add_aliases("preset", preset); !added) return added;
    }
    for (const api::Preset& preset : result_.presets) {
      if (api::find_preset(result_.presets, preset.model) == nullptr) continue;
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{}: model: \"{}\" is a preset itself; name the model that it is of",
                              places_.at(fmt::format("preset {} model", preset.id)), preset.model));
    }
    return {};
  }

  std::string file_;
  std::string base_;
  ConfigFile result_;
  std::map<std::string, std::string> places_;  // the places of "KIND ID" and "KIND ID KEY"
};

}  // namespace

Result<ConfigFile> read_config_file(const std::string& file) { return Reader(file).read(); }

Result<ConfigFile> read_config_text(const std::string& name, std::string_view text) { return Reader(name).read(text); }

}  // namespace minerva
