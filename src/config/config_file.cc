// TOML: the only place that knows it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

// toml++ asserts what a malformed file can break ("x = [1, }"): that must end the reading and not the program. This
// file is compiled without NDEBUG, under which the same would be undefined behaviour.
namespace {
struct MalformedToml {};
}  // namespace
#define TOML_ASSERT(condition) ((condition) ? void() : throw MalformedToml())
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "config/config_table.h"

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
  }
  return {};
}

// Nothing if the node is of another type.
std::optional<Values> values_of(const toml::node& node, TomlKind kind) {
  const bool takes_text = kind == TomlKind::kText || kind == TomlKind::kTextOrInteger;
  const bool takes_integer = kind == TomlKind::kInteger || kind == TomlKind::kTextOrInteger;
  if (const auto* const text = node.as_string(); text != nullptr && takes_text) return Values{text->get()};
  if (const auto* const integer = node.as_integer(); integer != nullptr && takes_integer) {
    return Values{fmt::to_string(integer->get())};
  }
  if (const auto* const boolean = node.as_boolean(); boolean != nullptr && kind == TomlKind::kBoolean) {
    return Values{boolean->get() ? "true" : "false"};
  }
  if (const auto* const array = node.as_array(); array != nullptr && kind == TomlKind::kList) {
    Values values;
    for (const toml::node& element : *array) {
      if (!element.is_string()) return std::nullopt;
      values.push_back(element.as_string()->get());
    }
    return values;
  }
  return std::nullopt;
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
    const toml::parse_result parsed = [&text]() -> toml::parse_result {
      try {
        return toml::parse(text);
      } catch (const MalformedToml&) {
        return toml::parse_result{toml::parse_error{"a value is missing or not closed", toml::source_region{}}};
      }
    }();
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

  Failure unknown(const toml::key& key, const std::string& name, const std::vector<std::string>& known) const {
    if (is_future_key(name)) {
      return error_at(key.source(), fmt::format("\"{}\" is not supported yet; remove it", key.str()));
    }
    return error_at(key.source(), fmt::format("unknown key \"{}\"; known here: {}", key.str(), fmt::join(known, ", ")));
  }

  Failure wrong_type(const toml::node& node, std::string_view name, TomlKind kind) const {
    return error_at(node.source(), fmt::format("\"{}\" must be {}", name, kind_name(kind)));
  }

  // Names below `section` ("" or "limits."), and the sections themselves at the top.
  static std::vector<std::string> known_in(const std::string& section) {
    std::vector<std::string> names;
    for (const ConfigRow& row : config_rows()) {
      if (!row.name.starts_with(section)) continue;
      const std::string rest = row.name.substr(section.size());
      const std::string name = rest.substr(0, rest.find('.'));
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    if (section.empty()) names.emplace_back("model");
    return names;
  }

  Result<void> read_top(const toml::table& table) {
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      const auto known = known_in("");
      const bool is_section = find_config_row(name) == nullptr && name != "model" &&
                              std::find(known.begin(), known.end(), name) != known.end();
      Result<void> done;
      if (name == "model" || is_section) {
        const toml::table* const inner = node.as_table();
        if (inner == nullptr) {
          return error_at(node.source(),
                          fmt::format("\"{}\" must be a table: [{}]", name, name == "model" ? "model.\"NAME\"" : name));
        }
        done = name == "model" ? read_models(*inner) : read_section(*inner, name + ".");
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
    if (row == nullptr) return unknown(key, name, known_in(section));
    auto values = values_of(node, row->toml);
    if (!values) return wrong_type(node, key.str(), row->toml);
    result_.settings[name] = {std::move(*values), fmt::format("{}: {}", place(node.source()), name), base_};
    return {};
  }

  Result<void> read_models(const toml::table& table) {
    for (const auto& [key, node] : table) {
      const std::string id(key.str());
      if (!is_model_id(id) || id == "stats") {
        return error_at(key.source(), id == "stats" ? "\"stats\" is reserved: it cannot be a model's name"
                                                    : fmt::format("\"{}\" cannot be a model's name", id));
      }
      const toml::table* const inner = node.as_table();
      if (inner == nullptr) return error_at(node.source(), fmt::format("write [model.\"{}\"] and its keys below", id));
      ModelEntry entry;
      entry.id = id;
      for (const auto& [model_key, value] : *inner) {
        if (const auto done = read_model_key(entry, model_key, value); !done) return done;
      }
      if (const auto done = check_command(entry, *inner); !done) return done;
      result_.models.push_back(std::move(entry));
    }
    return {};
  }

  Result<void> read_model_key(ModelEntry& entry, const toml::key& key, const toml::node& node) {
    const auto& rows = model_rows();
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const ModelRow& r) { return r.name == key.str(); });
    if (row == rows.end()) {
      std::vector<std::string> known;
      for (const ModelRow& r : rows) known.push_back(r.name);
      return unknown(key, "model." + std::string(key.str()), known);
    }
    const auto values = values_of(node, row->toml);
    if (!values) return wrong_type(node, key.str(), row->toml);
    const auto set = row->set(entry, *values, base_);
    if (!set) return error_at(node.source(), fmt::format("{}: {}", row->name, set.error().message));
    if (row->name == "aliases") places_[entry.id + " aliases"] = place(node.source());
    return {};
  }

  // Which keys go together: those of a file, and those of a command.
  Result<void> check_command(const ModelEntry& entry, const toml::table& table) const {
    static constexpr std::array<std::string_view, 5> kOfFiles = {"path", "context", "parallel", "weights", "args"};
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

  // No name may mean two models.
  Result<void> check_names() const {
    std::map<std::string, std::string> owners;
    for (const ModelEntry& entry : result_.models) owners[entry.id] = entry.id;
    for (const ModelEntry& entry : result_.models) {
      for (const ModelId& alias : entry.aliases) {
        const auto [owner, is_new] = owners.emplace(alias, entry.id);
        if (is_new) continue;
        return fail(ErrorCode::kInvalidArgument, fmt::format("{}: aliases: \"{}\" already names \"{}\"",
                                                             places_.at(entry.id + " aliases"), alias, owner->second));
      }
    }
    return {};
  }

  std::string file_;
  std::string base_;
  ConfigFile result_;
  std::map<std::string, std::string> places_;  // of "ID aliases"
};

}  // namespace

Result<ConfigFile> read_config_file(const std::string& file) { return Reader(file).read(); }

}  // namespace minerva
