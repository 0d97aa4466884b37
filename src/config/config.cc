#include "config/config.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>

// toml++ throws by default; its exceptions are turned in read_file().
#include <toml++/toml.h>

#include "engine/engine_arguments.h"
#include "minerva/cache/eviction_policy.h"

namespace minerva {
namespace {

Failure invalid(std::string message) { return fail(ErrorCode::kInvalidArgument, std::move(message)); }

// ---- values as text ----

std::string home() {
  const char* const path = std::getenv("HOME");
  return path == nullptr ? "/" : path;
}

std::string expand_path(const std::string& text) {
  std::string path = text;
  if (path == "~" || path.starts_with("~/")) path = home() + path.substr(1);
  return std::filesystem::absolute(path).lexically_normal();
}

std::string default_state_dir() {
  const char* const base = std::getenv("XDG_STATE_HOME");
  return (base != nullptr && *base == '/' ? std::string(base) : home() + "/.local/state") + "/minerva";
}

// minerva-engine beside this program, also when the program is reached by a link.
std::string default_engine() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto beside = self.parent_path() / "minerva-engine";
  if (!error && std::filesystem::exists(beside, error)) return beside;
  // build/release/bin/minerva is built beside build/bin/minerva-engine.
  return self.parent_path().parent_path().parent_path() / "bin/minerva-engine";
}

template <typename T>
Result<T> parse_number(std::string_view text, T smallest, T largest) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value < smallest || value > largest) {
    return invalid(fmt::format("expected a whole number from {} to {}, got \"{}\"", smallest, largest, text));
  }
  return value;
}

Result<Duration> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    double seconds;
  };
  constexpr std::array<Unit, 4> kUnits = {{{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}}};
  const std::size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, number);
  const bool number_ok = digits > 0 && error == std::errc{} && end == text.data() + digits;
  for (const Unit& unit : kUnits) {
    if (number_ok && text.substr(digits) == unit.name && number * unit.seconds <= 1e7) {
      return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(number * unit.seconds));
    }
  }
  return invalid(fmt::format("expected a duration like \"500ms\", \"30s\", \"5m\" or \"2h\", got \"{}\"", text));
}

std::string duration_text(Duration duration) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  if (ms % 3'600'000 == 0 && ms > 0) return fmt::format("{}h", ms / 3'600'000);
  if (ms % 60'000 == 0 && ms > 0) return fmt::format("{}m", ms / 60'000);
  return ms % 1000 == 0 ? fmt::format("{}s", ms / 1000) : fmt::format("{}ms", ms);
}

std::string size_text(Bytes bytes) {
  if (bytes.count() % (1U << 30) == 0) return fmt::format("{}GiB", bytes.count() >> 30);
  if (bytes.count() % (1U << 20) == 0) return fmt::format("{}MiB", bytes.count() >> 20);
  return fmt::format("{}", bytes.count());
}

Result<BudgetSetting> parse_budget(std::string_view text) {
  BudgetSetting setting;
  if (text.ends_with('%')) {
    double percent = 0;
    const std::string_view number = text.substr(0, text.size() - 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), percent);
    if (error != std::errc{} || end != number.data() + number.size() || !(percent > 0 && percent <= 100)) {
      return invalid(fmt::format("expected a share above 0% and up to 100%, got \"{}\"", text));
    }
    setting.percent = percent;
    return setting;
  }
  const Result<Bytes> bytes = parse_bytes(text);
  if (!bytes) return invalid(fmt::format("expected a size like \"12GiB\" or a share like \"80%\", got \"{}\"", text));
  if (bytes->count() == 0) return invalid("the budget must not be 0");
  setting.bytes = *bytes;
  return setting;
}

std::string budget_text(const BudgetSetting& setting) {
  return setting.bytes.count() > 0 ? size_text(setting.bytes) : fmt::format("{:g}%", setting.percent);
}

std::string toml_text(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

std::string toml_list(const std::vector<std::string>& items) {
  std::string result;
  for (const std::string& item : items) result += (result.empty() ? "" : ", ") + toml_text(item);
  return "[" + result + "]";
}

// ---- the table ----

// How the values of a key are written in TOML.
enum class Shape { kText, kInteger, kList };

struct Key {
  ConfigKey info;
  Shape shape;
  // Sets it from its values (one, but for lists), all as text.
  std::function<Result<void>(Config&, const std::vector<std::string>&)> set;
  // The value as TOML.
  std::function<std::string(const Config&)> get;
};

std::string environment_name(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  });
  return "MINERVA_" + name;
}

std::string flag_name(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

class Table {
 public:
  Table() {
    text("listen", "text", "127.0.0.1:3000", "Address to listen on: ADDRESS:PORT or unix:/path. Loopback only.",
         set_listen, [](const Config& c) { return toml_text(c.listen.text()); });
    list(
        "models_dirs", "[\"~/models\"]", "Folders whose *.gguf files and subfolders are the models.",
        [](Config& c, const std::vector<std::string>& values) -> Result<void> {
          c.models_dirs.clear();
          for (const std::string& value : values) c.models_dirs.push_back(expand_path(value));
          return {};
        },
        [](const Config& c) { return toml_list(c.models_dirs); });
    keys_.back().info.flag = "--models-dir";
    keys_.back().info.environment = "MINERVA_MODELS_DIR";
    text(
        "memory_budget", "size or percent", "80%",
        "Memory for all models together: bytes, or a share of what is available (the cgroup's limit included).",
        [](Config& c, const std::string& value) -> Result<void> {
          return parse_budget(value).map([&](const BudgetSetting& budget) { c.memory_budget = budget; });
        },
        [](const Config& c) { return toml_text(budget_text(c.memory_budget)); });
    number("max_models", "0", "Models in memory at once. 0: bounded by memory only.", &Config::max_models, 0, 10'000);
    text("policy", "text", "lru", "Which model is evicted first: lru, lfu or fifo.", set_policy,
         [](const Config& c) { return toml_text(c.policy); });
    text(
        "state_dir", "text", "~/.local/state/minerva", "Folder for what is kept between runs.",
        [](Config& c, const std::string& value) -> Result<void> {
          c.state_dir = expand_path(value);
          return {};
        },
        [](const Config& c) { return toml_text(c.state_dir); });
    text(
        "engine", "text", "minerva-engine beside this program", "The engine program.",
        [](Config& c, const std::string& value) -> Result<void> {
          c.engine = expand_path(value);
          return {};
        },
        [](const Config& c) { return toml_text(c.engine); });
    choice("log_format", "text", "How log lines are written: text or json.", &Config::log_format, {"text", "json"});
    choice("log_level", "info", "The least that is logged: debug, info, warn or error.", &Config::log_level,
           {"debug", "info", "warn", "error"});

    size("limits.max_body", "64MiB", "Largest body of a request.", &Config::max_body);
    size("limits.max_queued_bytes", "256MiB", "Request bodies held in memory, all together.",
         &Config::max_queued_bytes);
    number("limits.max_connections", "1024", "Client connections at once.", &Config::max_connections, 1, 100'000);
    list(
        "limits.allowed_hosts", "[]", "Host names to answer for, beside localhost and loopback addresses.",
        [](Config& c, const std::vector<std::string>& values) -> Result<void> {
          c.allowed_hosts = values;
          return {};
        },
        [](const Config& c) { return toml_list(c.allowed_hosts); });
    http_duration("limits.head_timeout", "10s", "For a request's head, from its first byte.",
                  &io::HttpLimits::head_timeout);
    http_duration("limits.idle_timeout", "75s", "A connection may be idle between requests.",
                  &io::HttpLimits::idle_timeout);
    http_duration("limits.body_timeout", "30s", "Without a byte of a request's body.", &io::HttpLimits::body_timeout);
    http_duration("limits.write_timeout", "60s", "Without the client taking a byte of an answer.",
                  &io::HttpLimits::write_timeout);
    duration("limits.drain_timeout", "30s", "For running requests when the server is asked to end.",
             &Config::drain_timeout);
    duration("limits.unload_timeout", "30s", "An unload waits that long for running requests.",
             &Config::unload_timeout);
    duration("limits.stop_grace", "2s", "For an engine to end before it is killed.", &Config::stop_grace);

    number("queue.max_per_model", "128", "Requests waiting for one model.", &Config::max_queue_per_model, 1, 100'000);
    number("queue.max_total", "1024", "Requests waiting, all together.", &Config::max_queue, 1, 1'000'000);
    duration("queue.max_wait", "5m", "A request waits that long for its model, then it is refused.", &Config::max_wait);
    duration("queue.min_residency", "2s", "A busy model is not drained for another one before that.",
             &Config::min_residency);
    duration("queue.load_timeout", "10m", "From the start of an engine until it is ready.", &Config::load_timeout);

    for (const Key& key : keys_) infos_.push_back(key.info);
  }

  const std::vector<Key>& keys() const { return keys_; }
  const std::vector<ConfigKey>& infos() const { return infos_; }
  const Key* find(std::string_view name) const {
    for (const Key& key : keys_) {
      if (key.info.name == name) return &key;
    }
    return nullptr;
  }

 private:
  using SetText = std::function<Result<void>(Config&, const std::string&)>;
  using SetList = std::function<Result<void>(Config&, const std::vector<std::string>&)>;
  using Get = std::function<std::string(const Config&)>;

  void add(std::string name, std::string type, std::string otherwise, std::string meaning, Shape shape, SetList set,
           Get get) {
    ConfigKey info{name,
                   "",
                   environment_name(name),
                   std::move(type),
                   std::move(otherwise),
                   std::move(meaning),
                   shape == Shape::kList};
    if (name.find('.') == std::string::npos) info.flag = flag_name(name);
    keys_.push_back({std::move(info), shape, std::move(set), std::move(get)});
  }
  void text(std::string name, std::string type, std::string otherwise, std::string meaning, SetText set, Get get) {
    add(
        std::move(name), std::move(type), std::move(otherwise), std::move(meaning), Shape::kText,
        [set = std::move(set)](Config& c, const std::vector<std::string>& values) { return set(c, values.back()); },
        std::move(get));
  }
  void list(std::string name, std::string otherwise, std::string meaning, SetList set, Get get) {
    add(std::move(name), "list of text", std::move(otherwise), std::move(meaning), Shape::kList, std::move(set),
        std::move(get));
  }
  void number(std::string name, std::string otherwise, std::string meaning, unsigned Config::* member,
              unsigned smallest, unsigned largest) {
    add(
        std::move(name), "integer", std::move(otherwise), std::move(meaning), Shape::kInteger,
        [=](Config& c, const std::vector<std::string>& values) -> Result<void> {
          return parse_number(values.back(), smallest, largest).map([&](unsigned value) { c.*member = value; });
        },
        [=](const Config& c) { return fmt::format("{}", c.*member); });
  }
  void size(std::string name, std::string otherwise, std::string meaning, Bytes Config::* member) {
    text(
        std::move(name), "size", std::move(otherwise), std::move(meaning),
        [=](Config& c, const std::string& value) -> Result<void> {
          return parse_bytes(value).map([&](Bytes bytes) { c.*member = bytes; });
        },
        [=](const Config& c) { return toml_text(size_text(c.*member)); });
  }
  void duration(std::string name, std::string otherwise, std::string meaning, Duration Config::* member) {
    text(
        std::move(name), "duration", std::move(otherwise), std::move(meaning),
        [=](Config& c, const std::string& value) -> Result<void> {
          return parse_duration(value).map([&](Duration parsed) { c.*member = parsed; });
        },
        [=](const Config& c) { return toml_text(duration_text(c.*member)); });
  }
  void http_duration(std::string name, std::string otherwise, std::string meaning, Duration io::HttpLimits::* member) {
    text(
        std::move(name), "duration", std::move(otherwise), std::move(meaning),
        [=](Config& c, const std::string& value) -> Result<void> {
          return parse_duration(value).map([&](Duration parsed) { c.http.*member = parsed; });
        },
        [=](const Config& c) { return toml_text(duration_text(c.http.*member)); });
  }
  void choice(std::string name, std::string otherwise, std::string meaning, std::string Config::* member,
              std::vector<std::string> choices) {
    text(
        std::move(name), "text", std::move(otherwise), std::move(meaning),
        [=](Config& c, const std::string& value) -> Result<void> {
          if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
            return invalid(fmt::format("expected one of {}, got \"{}\"", fmt::join(choices, ", "), value));
          }
          c.*member = value;
          return {};
        },
        [=](const Config& c) { return toml_text(c.*member); });
  }

  static Result<void> set_listen(Config& c, const std::string& value) {
    Result<io::Address> address = io::parse_address(value);
    if (!address) return Failure(address.error());
    if (!address->is_loopback()) {
      return invalid(
          fmt::format("{} is not a loopback address; listening beyond loopback needs API keys, which this "
                      "version does not have",
                      value));
    }
    if (address->is_unix()) address->unix_path = expand_path(address->unix_path);
    c.listen = *address;
    return {};
  }
  static Result<void> set_policy(Config& c, const std::string& value) {
    if (const auto policy = make_policy(value); !policy) return Failure(policy.error());
    c.policy = value;
    return {};
  }

  std::vector<Key> keys_;
  std::vector<ConfigKey> infos_;
};

const Table& table() {
  static const Table instance;
  return instance;
}

// ---- the file ----

// "minerva.toml:12:5"
std::string at(const std::string& file, const toml::node& node) {
  return fmt::format("{}:{}:{}", file, node.source().begin.line, node.source().begin.column);
}

std::string_view type_name(const toml::node& node) {
  if (node.is_string()) return "a text";
  if (node.is_integer()) return "an integer";
  if (node.is_floating_point()) return "a number";
  if (node.is_boolean()) return "true or false";
  if (node.is_array()) return "a list";
  return node.is_table() ? "a table" : "a date or time";
}

// The node's values as text, if it has the shape. Errors: kInvalidArgument without the place.
Result<std::vector<std::string>> values_of(const toml::node& node, Shape shape) {
  if (shape == Shape::kText && node.is_string()) return std::vector<std::string>{node.as_string()->get()};
  if (shape == Shape::kInteger && node.is_integer()) {
    return std::vector<std::string>{fmt::format("{}", node.as_integer()->get())};
  }
  if (shape == Shape::kList && node.is_array()) {
    std::vector<std::string> values;
    for (const toml::node& item : *node.as_array()) {
      if (!item.is_string()) return invalid(fmt::format("expected a list of texts, found {} in it", type_name(item)));
      values.push_back(item.as_string()->get());
    }
    return values;
  }
  const std::string_view wanted = shape == Shape::kText      ? "a text"
                                  : shape == Shape::kInteger ? "an integer"
                                                             : "a list of texts";
  return invalid(fmt::format("expected {}, got {}", wanted, type_name(node)));
}

// Keys that are promised and not there yet: a clear word instead of "unknown".
bool is_planned(std::string_view name) {
  constexpr std::array<std::string_view, 9> kPlanned = {"park",    "tls",    "api_keys", "ttl",     "unload_ttl",
                                                        "command", "health", "memory",   "schedule"};
  return std::find(kPlanned.begin(), kPlanned.end(), name) != kPlanned.end();
}

Failure unknown_key(const std::string& where, std::string_view name) {
  return invalid(is_planned(name)
                     ? fmt::format("{}: \"{}\" is not supported yet", where, name)
                     : fmt::format("{}: unknown key \"{}\"; `minerva serve --check` lists what there is", where, name));
}

Result<void> read_model_key(ModelEntry& entry, std::string_view key, const toml::node& node) {
  const auto as_text = [&] { return values_of(node, Shape::kText).map([](const auto& v) { return v.front(); }); };
  const auto as_count = [&](unsigned largest) {
    return values_of(node, Shape::kInteger).and_then([&](const auto& v) {
      return parse_number(v.front(), 1U, largest);
    });
  };
  if (key == "path") return as_text().map([&](const std::string& text) { entry.path = text; });
  if (key == "aliases" || key == "args") {
    auto values = values_of(node, Shape::kList);
    if (!values) return Failure(values.error());
    if (key == "args") {
      if (const auto checked = check_engine_arguments(*values); !checked) return Failure(checked.error());
      entry.args = std::move(*values);
      return {};
    }
    for (const std::string& alias : *values) {
      if (!is_model_id(alias) || alias == "stats") return invalid(fmt::format("\"{}\" cannot be an alias", alias));
    }
    entry.aliases = std::move(*values);
    return {};
  }
  if (key == "context") return as_count(1U << 24).map([&](unsigned value) { entry.context = value; });
  if (key == "parallel") return as_count(256).map([&](unsigned value) { entry.parallel = value; });
  if (key == "pin") {
    if (!node.is_boolean()) return invalid(fmt::format("expected true or false, got {}", type_name(node)));
    entry.pinned = node.as_boolean()->get();
    return {};
  }
  if (key == "preload") {
    const auto text = as_text();
    if (!text) return Failure(text.error());
    if (*text == "eager" || *text == "lazy") {
      entry.preload = *text == "eager" ? PreloadStrategy::kEager : PreloadStrategy::kLazy;
      return {};
    }
    return invalid("expected \"eager\" or \"lazy\"; scheduled preloading is not supported yet");
  }
  if (key == "weights") {
    const auto text = as_text();
    if (!text) return Failure(text.error());
    if (*text == "auto")
      entry.weights = WeightsMode::kAuto;
    else if (*text == "repacked")
      entry.weights = WeightsMode::kRepacked;
    else if (*text == "mapped")
      entry.weights = WeightsMode::kMapped;
    else
      return invalid(fmt::format("expected \"auto\", \"repacked\" or \"mapped\", got \"{}\"", *text));
    return {};
  }
  return fail({ErrorCode::kRouteNotFound, ""});  // unknown_key() words it
}

Result<void> read_models(Config& config, const std::string& file, const toml::node& node) {
  if (!node.is_table()) return invalid(fmt::format("{}: expected tables [model.\"id\"]", at(file, node)));
  for (const auto& [id, entry_node] : *node.as_table()) {
    const std::string name(id.str());
    const std::string where = at(file, entry_node);
    if (!is_model_id(name) || name == "stats") {
      return invalid(fmt::format("{}: \"{}\" cannot be a model's id", where, name));
    }
    if (!entry_node.is_table()) return invalid(fmt::format("{}: expected a table [model.\"{}\"]", where, name));
    ModelEntry entry;
    entry.id = name;
    for (const auto& [key, value] : *entry_node.as_table()) {
      if (const auto read = read_model_key(entry, key.str(), value); !read) {
        if (read.error().code == ErrorCode::kRouteNotFound) return unknown_key(at(file, value), key.str());
        return invalid(fmt::format("{}: {}: {}", at(file, value), key.str(), read.error().message));
      }
    }
    config.models.push_back(std::move(entry));
  }
  return {};
}

Result<void> read_keys(Config& config, const std::string& file, const toml::table& nodes, const std::string& prefix) {
  for (const auto& [key, node] : nodes) {
    const std::string name = prefix + std::string(key.str());
    if (prefix.empty() && name == "model") {
      if (auto read = read_models(config, file, node); !read) return read;
      continue;
    }
    const bool is_section = prefix.empty() && (name == "limits" || name == "queue");
    if (is_section && node.is_table()) {
      if (auto read = read_keys(config, file, *node.as_table(), name + "."); !read) return read;
      continue;
    }
    const Key* const known = table().find(name);
    if (known == nullptr) return unknown_key(at(file, node), name);
    const auto values = values_of(node, known->shape);
    if (!values) return invalid(fmt::format("{}: {}: {}", at(file, node), name, values.error().message));
    if (const auto set = known->set(config, *values); !set) {
      return invalid(fmt::format("{}: {}: {}", at(file, node), name, set.error().message));
    }
  }
  return {};
}

Result<void> read_file(Config& config, const std::string& file) {
  std::ifstream stream(file);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream) return invalid(fmt::format("{}: cannot be read", file));
  try {
    const toml::table parsed = toml::parse(text.str(), file);
    return read_keys(config, file, parsed, "");
  } catch (const toml::parse_error& error) {
    return invalid(
        fmt::format("{}:{}:{}: {}", file, error.source().begin.line, error.source().begin.column, error.description()));
  }
}

// ---- flags and environment ----

// A repeated key's values belong together. `label`: how a message names a key.
Result<void> apply(Config& config, const Settings& settings, const std::function<std::string(const Key&)>& label) {
  std::vector<std::pair<std::string, std::vector<std::string>>> grouped;
  for (const auto& [name, value] : settings) {
    auto found = std::find_if(grouped.begin(), grouped.end(), [&](const auto& group) { return group.first == name; });
    if (found == grouped.end()) found = grouped.insert(grouped.end(), {name, {}});
    found->second.push_back(value);
  }
  for (const auto& [name, values] : grouped) {
    const Key* const key = table().find(name);
    if (key == nullptr) return invalid(fmt::format("unknown setting {}", name));
    if (const auto set = key->set(config, values); !set) {
      return invalid(fmt::format("{}: {}", label(*key), set.error().message));
    }
  }
  return {};
}

Result<void> check_names(const Config& config) {
  std::map<std::string, std::string> owner;
  for (const ModelEntry& entry : config.models) owner[entry.id] = entry.id;
  for (const ModelEntry& entry : config.models) {
    for (const ModelId& alias : entry.aliases) {
      const auto [at_name, fresh] = owner.emplace(alias, entry.id);
      if (!fresh) {
        return invalid(
            fmt::format("alias \"{}\" of \"{}\" is already a name of \"{}\"", alias, entry.id, at_name->second));
      }
    }
  }
  return {};
}

}  // namespace

const std::vector<ConfigKey>& config_keys() { return table().infos(); }

Result<Settings> settings_from_environment(const std::vector<std::string>& environment) {
  // Read by other parts, or by the scripts around the program.
  constexpr std::array<std::string_view, 7> kOthers = {
      "MINERVA_URL", "MINERVA_API_KEY",      "MINERVA_CONFIG",       "MINERVA_CACHE",
      "MINERVA_BIN", "MINERVA_LLAMA_SOURCE", "MINERVA_ENGINE_NATIVE"};
  Settings settings;
  for (const std::string& variable : environment) {
    if (!variable.starts_with("MINERVA_")) continue;
    const std::size_t equals = std::min(variable.find('='), variable.size());
    const std::string name = variable.substr(0, equals);
    const std::string value = equals < variable.size() ? variable.substr(equals + 1) : "";
    if (std::find(kOthers.begin(), kOthers.end(), name) != kOthers.end()) continue;
    const auto& keys = table().keys();
    const auto key = std::find_if(keys.begin(), keys.end(), [&](const Key& k) { return k.info.environment == name; });
    if (key == keys.end()) {
      return invalid(fmt::format("environment {}: no such setting; `minerva serve --check` lists what there is", name));
    }
    if (key->shape != Shape::kList) {
      settings.emplace_back(key->info.name, value);
      continue;
    }
    std::istringstream parts(value);
    for (std::string part; std::getline(parts, part, ':');) {
      if (!part.empty()) settings.emplace_back(key->info.name, part);
    }
  }
  return settings;
}

Result<Config> load_config(const std::string& file, const Settings& environment, const Settings& flags) {
  Config config;
  config.models_dirs = {expand_path("~/models")};
  config.state_dir = default_state_dir();
  config.engine = default_engine();
  if (!file.empty()) {
    if (const auto read = read_file(config, file); !read) return Failure(read.error());
  }
  const auto named_by_environment = [](const Key& key) { return "environment " + key.info.environment; };
  const auto named_by_flag = [](const Key& key) { return key.info.flag.empty() ? key.info.name : key.info.flag; };
  if (const auto set = apply(config, environment, named_by_environment); !set) return Failure(set.error());
  if (const auto set = apply(config, flags, named_by_flag); !set) return Failure(set.error());
  if (const auto names = check_names(config); !names) return Failure(names.error());
  return config;
}

std::string describe_config(const Config& config) {
  std::string text;
  std::string section;
  for (const Key& key : table().keys()) {
    const std::size_t dot = key.info.name.find('.');
    const std::string here = dot == std::string::npos ? "" : key.info.name.substr(0, dot);
    if (here != section) text += fmt::format("\n[{}]\n", here);
    section = here;
    const std::string name = dot == std::string::npos ? key.info.name : key.info.name.substr(dot + 1);
    text += fmt::format("# {} ({}; default {})\n{} = {}\n", key.info.meaning, key.info.type, key.info.default_text,
                        name, key.get(config));
  }
  for (const ModelEntry& entry : config.models) {
    text += fmt::format("\n[model.{}]\n", toml_text(entry.id));
    if (!entry.path.empty()) text += fmt::format("path = {}\n", toml_text(entry.path));
    if (!entry.aliases.empty()) text += fmt::format("aliases = {}\n", toml_list(entry.aliases));
    if (entry.context) text += fmt::format("context = {}\n", *entry.context);
    if (entry.parallel) text += fmt::format("parallel = {}\n", *entry.parallel);
    if (entry.pinned) text += fmt::format("pin = {}\n", *entry.pinned);
    if (entry.preload) {
      text += fmt::format("preload = \"{}\"\n", *entry.preload == PreloadStrategy::kEager ? "eager" : "lazy");
    }
    if (entry.weights) {
      const bool repacked = *entry.weights == WeightsMode::kRepacked;
      text += fmt::format("weights = \"{}\"\n", *entry.weights == WeightsMode::kAuto ? "auto"
                                                : repacked                           ? "repacked"
                                                                                     : "mapped");
    }
    if (!entry.args.empty()) text += fmt::format("args = {}\n", toml_list(entry.args));
  }
  return text;
}

}  // namespace minerva
