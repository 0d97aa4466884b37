// The table of the config's keys: each row says how to set, get and describe one key. The keys of [model], [device] and
// [preset] have files of their own.
// Long because it is one table, with the functions that make its rows.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "config/config_table.h"
#include "config/values.h"
#include "minerva/cache/eviction_policy.h"

namespace minerva {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr Duration kLongestWait = hours(24);

// ---- one maker per type. `at` is a function that returns the member: [](auto& config) -> auto& { return
// config.member; } ----

template <typename At>
ConfigRow count_row(std::string name, std::string flag, std::uint64_t least, std::uint64_t most, std::string meaning,
                    At at) {
  ConfigRow row{std::move(name), std::move(flag), "integer", TomlKind::kInteger, std::move(meaning), {}, {}};
  row.set = [=](Config& config, const Values& values, const std::string&) -> Result<void> {
    const auto count = parse_count(values.front(), least, most);
    if (!count) return fail(count.error());
    at(config) = static_cast<std::remove_reference_t<decltype(at(config))>>(*count);
    return {};
  };
  row.get = [=](const Config& config) { return Values{fmt::to_string(at(config))}; };
  return row;
}

template <typename At>
ConfigRow duration_row(std::string name, Duration least, std::string meaning, At at, Duration most = kLongestWait) {
  ConfigRow row{std::move(name), "", "duration", TomlKind::kText, std::move(meaning), {}, {}};
  row.set = [=](Config& config, const Values& values, const std::string&) -> Result<void> {
    const auto duration = parse_duration(values.front());
    if (!duration) return fail(duration.error());
    if (*duration < least || *duration > most) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("{} is out of range: {} to {} is allowed", values.front(),
                                                           format_duration(least), format_duration(most)));
    }
    at(config) = *duration;
    return {};
  };
  row.get = [=](const Config& config) { return Values{format_duration(at(config))}; };
  return row;
}

// A boolean's flag has a second form, which sets it to false.
template <typename At>
ConfigRow boolean_row(std::string name, std::string flag, std::string meaning, At at) {
  ConfigRow row{std::move(name), std::move(flag), "boolean", TomlKind::kBoolean, std::move(meaning), {}, {}};
  row.set = [=](Config& config, const Values& values, const std::string&) -> Result<void> {
    if (values.front() != "true" && values.front() != "false") {
      return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is neither true nor false", values.front()));
    }
    at(config) = values.front() == "true";
    return {};
  };
  row.get = [=](const Config& config) { return Values{at(config) ? "true" : "false"}; };
  return row;
}

template <typename At>
ConfigRow size_row(std::string name, Bytes least, Bytes most, std::string meaning, At at) {
  ConfigRow row{std::move(name), "", "size", TomlKind::kTextOrInteger, std::move(meaning), {}, {}};
  row.set = [=](Config& config, const Values& values, const std::string&) -> Result<void> {
    const auto bytes = parse_size(values.front(), least, most);
    if (!bytes) return fail(bytes.error());
    at(config) = std::remove_reference_t<decltype(at(config))>(bytes->count());
    return {};
  };
  row.get = [=](const Config& config) { return Values{size_text(Bytes(at(config)))}; };
  return row;
}

template <typename At>
ConfigRow choice_row(std::string name, std::string flag, Values choices, std::string meaning, At at) {
  ConfigRow row{std::move(name),
                std::move(flag),
                fmt::format("{}", fmt::join(choices, " | ")),
                TomlKind::kText,
                std::move(meaning),
                {},
                {}};
  row.set = [=](Config& config, const Values& values, const std::string&) -> Result<void> {
    if (std::find(choices.begin(), choices.end(), values.front()) == choices.end()) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("\"{}\" is not one of {}", values.front(), fmt::join(choices, ", ")));
    }
    at(config) = values.front();
    return {};
  };
  row.get = [=](const Config& config) { return Values{at(config)}; };
  return row;
}

template <typename At>
ConfigRow path_row(std::string name, std::string flag, std::string default_text, std::string meaning, At at) {
  ConfigRow row{std::move(name), std::move(flag), "path", TomlKind::kText, std::move(meaning), {}, {}};
  row.set = [=](Config& config, const Values& values, const std::string& base) -> Result<void> {
    const auto path = expand_path(values.front(), base);
    if (!path) return fail(path.error());
    at(config) = *path;
    return {};
  };
  row.get = [=](const Config& config) { return Values{at(config)}; };
  row.default_text = std::move(default_text);
  return row;
}

ConfigRow at_start_only(ConfigRow row) {
  row.at_start_only = true;
  return row;
}

// A path that may be absent: "" means none.
template <typename At>
ConfigRow optional_path_row(std::string name, std::string flag, std::string meaning, At at) {
  ConfigRow row = path_row(std::move(name), std::move(flag), "none", std::move(meaning), at);
  row.set = [=, set = row.set](Config& config, const Values& values, const std::string& base) -> Result<void> {
    if (!values.front().empty()) return set(config, values, base);
    at(config).clear();
    return {};
  };
  return row;
}

// ---- rows with rules of their own ----

ConfigRow listen_row() {
  ConfigRow row{
      "listen",
      "--listen",
      "list of addresses",
      TomlKind::kTextOrList,
      "Where clients connect: ADDRESS:PORT or unix:PATH, one or several. Beyond loopback it needs an API key; "
      "port 0 takes a free one. It starts without [::1] where the machine does not have that.",
      {},
      {}};
  row.set = [](Config& config, const Values& values, const std::string&) -> Result<void> {
    std::vector<io::Address> addresses;
    for (const std::string& value : values) {
      auto address = io::parse_address(value);
      if (!address) return fail(address.error());
      addresses.push_back(std::move(*address));
    }
    if (addresses.empty()) return fail(ErrorCode::kInvalidArgument, "name one address at least");
    config.listen = std::move(addresses);
    return {};
  };
  row.get = [](const Config& config) {
    Values values;
    for (const io::Address& address : config.listen) values.push_back(address.text());
    return values;
  };
  row.separator = ',';
  return row;
}

ConfigRow models_dirs_row() {
  ConfigRow row{"models_dirs",
                "--models-dir",
                "list of paths",
                TomlKind::kList,
                "Folders that hold GGUF models, with two levels of folders in each, or what huggingface_hub and "
                "llama.cpp fetched (models--org--repo). Of two models of one name, the one in the first folder keeps "
                "it. Of the default folders, those that are not there are no problem; the second one is LLAMA_CACHE, "
                "HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub or XDG_CACHE_HOME/huggingface/hub where one of these "
                "is set.",
                {},
                {}};
  row.set = [](Config& config, const Values& values, const std::string& base) -> Result<void> {
    std::vector<std::string> folders;
    for (const std::string& value : values) {
      auto path = expand_path(value, base);
      if (!path) return fail(path.error());
      folders.push_back(std::move(*path));
    }
    if (folders.empty()) return fail(ErrorCode::kInvalidArgument, "name one folder at least");
    config.models_dirs = std::move(folders);
    config.models_dirs_are_default = false;
    return {};
  };
  row.get = [](const Config& config) { return config.models_dirs; };
  row.default_text = "[\"~/models\", \"~/.cache/huggingface/hub\"]";
  row.separator = ':';
  row.environment = "models_dir";
  return row;
}

ConfigRow default_model_row() {
  ConfigRow row{"default_model",
                "--default-model",
                "text",
                TomlKind::kText,
                "The model of a request that names none. Empty: such a request is refused.",
                {},
                {}};
  row.set = [](Config& config, const Values& values, const std::string&) -> Result<void> {
    config.default_model = values.front();
    return {};
  };
  row.get = [](const Config& config) { return Values{config.default_model}; };
  row.default_text = "none";
  return row;
}

Result<BudgetSetting> parse_share(const std::string& text) {
  if (!text.ends_with('%')) {
    const auto bytes = parse_bytes(text);
    if (!bytes || *bytes == Bytes(0)) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("\"{}\" is neither a size like \"12GiB\" nor a share like \"80%\"", text));
    }
    return BudgetSetting{0, *bytes};
  }
  const auto percent = parse_count(std::string_view(text).substr(0, text.size() - 1), 1, 100);
  if (!percent) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is no share; write \"1%\" to \"100%\"", text));
  }
  return BudgetSetting{static_cast<double>(*percent), Bytes(0)};
}

template <typename At>
ConfigRow share_row(std::string name, std::string flag, std::string meaning, At at) {
  ConfigRow row{
      std::move(name), std::move(flag), "size or percent", TomlKind::kTextOrInteger, std::move(meaning), {}, {}};
  row.set = [=](Config& config, const Values& values, const std::string&) -> Result<void> {
    const auto share = parse_share(values.front());
    if (!share) return fail(share.error());
    at(config) = *share;
    return {};
  };
  row.get = [=](const Config& config) {
    const BudgetSetting& share = at(config);
    return Values{share.bytes > Bytes(0) ? size_text(share.bytes) : fmt::format("{}%", share.percent)};
  };
  return row;
}

ConfigRow min_free_memory_row() {
  constexpr std::string_view kAuto = "auto";
  ConfigRow row{"limits.min_free_memory",
                "",
                "auto | size",
                TomlKind::kTextOrInteger,
                "If less than this is left of the machine's memory or of a cgroup's limit, idle models are parked or "
                "stopped, and none are loaded until half as much again is left. Page cache that can be dropped counts "
                "as left. auto: a sixteenth of it, at most 1GiB. 0: never.",
                {},
                {}};
  row.set = [=](Config& config, const Values& values, const std::string&) -> Result<void> {
    config.min_free_memory.reset();
    if (values.front() == kAuto) return {};
    const auto bytes = parse_bytes(values.front());
    if (!bytes || *bytes > kMostSize) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("\"{}\" is neither auto nor a size up to {}", values.front(), size_text(kMostSize)));
    }
    config.min_free_memory = *bytes;
    return {};
  };
  row.get = [=](const Config& config) {
    return Values{config.min_free_memory ? size_text(*config.min_free_memory) : std::string(kAuto)};
  };
  return row;
}

ConfigRow policy_row() {
  ConfigRow row{"policy",
                "--policy",
                fmt::format("{}", fmt::join(policy_names(), " | ")),
                TomlKind::kText,
                "Which model leaves first when another one needs room: the least recently used one (lru), the least "
                "frequently used one (lfu), or the one that has been in memory longest (fifo). gdsf and hazard also "
                "weigh what a reload costs and how many bytes it frees; hazard expects uses from several time scales, "
                "and takes the cheapest set of models.",
                {},
                {}};
  row.set = [](Config& config, const Values& values, const std::string&) -> Result<void> {
    const std::string& name = values.front();
    if (const auto policy = make_policy(name); !policy) return fail(policy.error());
    config.policy = name;
    return {};
  };
  row.get = [](const Config& config) { return Values{config.policy}; };
  return row;
}

ConfigRow keys_row(std::string name, std::string flag, std::string meaning, auto field) {
  ConfigRow row{std::move(name), std::move(flag), "list of keys", TomlKind::kList, std::move(meaning), {}, {}};
  row.set = [field](Config& config, const Values& values, const std::string&) -> Result<void> {
    std::vector<std::string> hashes;
    for (const std::string& value : values) {
      auto hash = hash_api_key(value);
      if (!hash) return fail(hash.error());
      hashes.push_back(*std::move(hash));
    }
    field(config) = std::move(hashes);
    return {};
  };
  row.get = [field](const Config& config) { return field(config); };
  row.tell = [](const Config&) { return Values{}; };
  row.separator = ',';
  return row;
}

ConfigRow allowed_hosts_row() {
  ConfigRow row{"limits.allowed_hosts",
                "",
                "list of text",
                TomlKind::kList,
                "Names or IPv4 addresses a client may call this server by (its Host header), beside those of loopback "
                "and the address it listens on.",
                {},
                {}};
  row.set = [](Config& config, const Values& values, const std::string&) -> Result<void> {
    for (const std::string& host : values) {
      const bool plain = !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-';
      });
      if (!plain) {
        return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is no host name (without a port)", host));
      }
    }
    config.allowed_hosts = values;
    return {};
  };
  row.get = [](const Config& config) { return config.allowed_hosts; };
  row.separator = ',';
  return row;
}

ConfigRow allowed_origins_row() {
  ConfigRow row{"limits.allowed_origins",
                "",
                "list of text",
                TomlKind::kList,
                "Pages that may use this server from a browser, by their origin: \"http://localhost:*\", "
                "\"chrome-extension://*\", \"app://*\"; a * stands for anything but a slash. \"*\" is every page, and "
                "needs an API key.",
                {},
                {}};
  row.set = [](Config& config, const Values& values, const std::string&) -> Result<void> {
    for (const std::string& origin : values) {
      const std::size_t scheme = origin.find("://");
      const bool plain = scheme != std::string::npos && scheme > 0 && origin.size() > scheme + 3 &&
                         origin.find('/', scheme + 3) == std::string::npos &&
                         std::all_of(origin.begin(), origin.end(), [](char c) { return c > ' ' && c < 0x7f; });
      if (origin != "*" && !plain) {
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("\"{}\" is no origin: SCHEME://HOST or SCHEME://HOST:PORT, without a path", origin));
      }
    }
    config.allowed_origins = values;
    return {};
  };
  row.get = [](const Config& config) { return config.allowed_origins; };
  row.separator = ',';
  return row;
}

ConfigRow pull_hosts_row() {
  ConfigRow row{
      "pull.hosts",
      "",
      "list of text",
      TomlKind::kList,
      "Hosts that models may be fetched from, beside the hub's own (HF_ENDPOINT): \"host\", \"*.host\" for its "
      "subdomains, or \"*\". This holds for redirects too. A host in a private network has to be named exactly.",
      {},
      {}};
  row.set = [](Config& config, const Values& values, const std::string&) -> Result<void> {
    for (const std::string& host : values) {
      const std::string_view name = std::string_view(host).substr(host.starts_with("*.") ? 2 : 0);
      const bool plain = !name.empty() && name.size() <= 253 && std::all_of(name.begin(), name.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == ':';
      });
      if (host != "*" && !plain) {
        return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is no host name (without a port)", host));
      }
    }
    config.pull_hosts = values;
    return {};
  };
  row.get = [](const Config& config) { return config.pull_hosts; };
  row.separator = ',';
  return row;
}

ConfigRow time_zone_row() {
  ConfigRow row{"time_zone",
                "",
                "text",
                TomlKind::kText,
                "The time zone of models' schedules (preload, unload), by its name in the tz database: "
                "\"Europe/Berlin\", or \"UTC\".",
                {},
                {}};
  row.set = [](Config& config, const Values& values, const std::string&) -> Result<void> {
    TimeZone zone;
    if (!values.front().empty()) {
      const auto found = TimeZone::find(values.front());
      if (!found) return fail(found.error());
      zone = *found;
    }
    config.time_zone = values.front();
    config.zone = zone;
    return {};
  };
  row.get = [](const Config& config) { return Values{config.time_zone}; };
  row.default_text = "the machine's";
  return row;
}

// Long because it is one table.
std::vector<ConfigRow> make_config_rows() {
  constexpr Duration kSoon = milliseconds(1);
  std::vector<ConfigRow> rows;
  rows.push_back(at_start_only(listen_row()));
  rows.push_back(models_dirs_row());
  rows.push_back(default_model_row());
  rows.push_back(choice_row(
      "unknown_model", "", {"refuse", "default"},
      "What a request for an unknown model gets: refuse (a 404), or default (default_model, if that is set).",
      [](auto& c) -> auto& { return c.unknown_model; }));
  rows.push_back(share_row("memory_budget", "--memory-budget",
                           "What all models in memory may take together. A percentage is of the machine's memory, or "
                           "of the lowest limit of the cgroups this program is in; what other programs hold is not "
                           "subtracted.",
                           [](auto& c) -> auto& { return c.memory_budget; }));
  rows.push_back(choice_row(
      "fit", "--fit", {"on", "off"},
      "What happens to a model that does not fit the whole memory budget: on (what nobody set gives way: prompt cache, "
      "context checkpoints, repacked weights, slots, context, in this order; the answers to loads, `minerva ps` and "
      "the "
      "log say what), or off (it is refused).",
      [](auto& c) -> auto& { return c.fit; }));
  rows.push_back(count_row("max_models", "--max-models", 0, 10'000,
                           "The most models in memory at once; 0: only the memory limits them.",
                           [](auto& c) -> auto& { return c.max_models; }));
  rows.push_back(at_start_only(policy_row()));
  rows.push_back(keys_row(
      "api_keys", "--api-key",
      "Clients must show one of these keys. They are kept and printed as hashes only; \"sha256:HEX\" may stand in "
      "place of a key. \"NAME: KEY\" gives the key a name for /v1/requests. MINERVA_API_KEY gives one key.",
      [](auto& c) -> auto& { return c.api_keys; }));
  rows.push_back(optional_path_row("api_key_file", "--api-key-file",
                                   "A file of more keys, one per line as in api_keys, that only its owner may read.",
                                   [](auto& c) -> auto& { return c.api_key_file; }));
  rows.push_back(
      keys_row("admin_keys", "--admin-key",
               "As api_keys; where keys are needed, only these pull and remove models, and see and cancel the requests "
               "of others.",
               [](auto& c) -> auto& { return c.admin_keys; }));
  rows.push_back(at_start_only(path_row("state_dir", "--state-dir", "$XDG_STATE_HOME/minerva or ~/.local/state/minerva",
                                        "Where Minerva keeps what it has learned about models. Made with mode 0700.",
                                        [](auto& c) -> auto& { return c.state_dir; })));
  rows.push_back(
      at_start_only(path_row("engine", "--engine", "minerva-engine beside this program",
                             "The program that runs one model. Where there are several beside this program, one for "
                             "each level of x86-64, the best that runs on this processor is taken.",
                             [](auto& c) -> auto& { return c.engine; })));
  rows.push_back(at_start_only(path_row("ui_dir", "--ui-dir", "ui beside this program",
                                        "The folder of llama.cpp's web UI, as `make ui` builds it, for /chat/. Without "
                                        "it /chat/ says how to build it.",
                                        [](auto& c) -> auto& { return c.ui_dir; })));
  rows.push_back(at_start_only(choice_row(
      "sandbox", "", {"auto", "required", "off"},
      "Whether engines are kept from other files, the network and other programs: auto (as far as the kernel can), "
      "required (otherwise no engine starts), off (for engines that need device files, such as those of a GPU).",
      [](auto& c) -> auto& { return c.sandbox; })));
  rows.push_back(time_zone_row());
  rows.push_back(choice_row("log_format", "--log-format", {"text", "json"}, "The shape of log lines on stderr.",
                            [](auto& c) -> auto& { return c.log_format; }));
  rows.push_back(choice_row("log_level", "--log-level", {"debug", "info", "warn", "error"},
                            "Which log lines are written: these and graver ones.",
                            [](auto& c) -> auto& { return c.log_level; }));

  rows.push_back(allowed_hosts_row());
  rows.push_back(allowed_origins_row());
  rows.push_back(size_row("limits.max_head", Bytes(1024), Bytes::mib(1),
                          "The largest head of a request (its first line and header fields); a larger one gets a 431.",
                          [](auto& c) -> auto& { return c.http.max_head; }));
  rows.push_back(count_row("limits.max_headers", "", 10, 10'000, "The most header fields of a request.",
                           [](auto& c) -> auto& { return c.http.max_headers; }));
  rows.push_back(duration_row("limits.head_timeout", kSoon,
                              "The longest time from the first byte of a request's head to its last.",
                              [](auto& c) -> auto& { return c.http.head_timeout; }));
  rows.push_back(duration_row("limits.idle_timeout", kSoon, "A connection without a request is closed after this.",
                              [](auto& c) -> auto& { return c.http.idle_timeout; }));
  rows.push_back(duration_row("limits.body_timeout", kSoon, "The longest time without a byte of a request's body.",
                              [](auto& c) -> auto& { return c.http.body_timeout; }));
  rows.push_back(duration_row("limits.write_timeout", kSoon,
                              "The longest time in which a client takes no byte of the answer.",
                              [](auto& c) -> auto& { return c.http.write_timeout; }));
  rows.push_back(size_row("limits.max_body", Bytes(1024), kMostSize,
                          "The largest body of a request; a larger one gets a 413.",
                          [](auto& c) -> auto& { return c.max_body; }));
  rows.push_back(size_row("limits.max_queued_bytes", Bytes(1024), kMostSize,
                          "The most memory for all request bodies together; a request beyond that gets a 429.",
                          [](auto& c) -> auto& { return c.max_queued_bytes; }));
  rows.push_back(count_row("limits.max_connections", "", 1, 1'000'000, "Client connections at once.",
                           [](auto& c) -> auto& { return c.max_connections; }));
  rows.push_back(at_start_only(count_row("limits.max_connections_per_peer", "", 0, 1'000'000,
                                         "The most connections of one address (with IPv6: of one /64). 0: half of "
                                         "max_connections, and no limit for this machine's own addresses.",
                                         [](auto& c) -> auto& { return c.max_connections_per_peer; })));
  rows.push_back(duration_row("limits.request_timeout", kSoon,
                              "The longest time from an inference request's arrival to the end of its answer.",
                              [](auto& c) -> auto& { return c.request_timeout; }));
  rows.push_back(duration_row("limits.drain_timeout", Duration::zero(),
                              "How long running requests may go on after SIGTERM.",
                              [](auto& c) -> auto& { return c.drain_timeout; }));
  rows.push_back(duration_row("limits.unload_timeout", Duration::zero(),
                              "How long an unload waits for running requests before it is refused.",
                              [](auto& c) -> auto& { return c.unload_timeout; }));
  rows.push_back(duration_row("limits.stop_grace", Duration::zero(),
                              "How long an engine may take to end before it is killed.",
                              [](auto& c) -> auto& { return c.stop_grace; }));
  rows.push_back(duration_row("limits.stall_timeout", Duration::zero(),
                              "An engine that loads, or has a request to answer, is killed if it does nothing at all "
                              "for this long (no output, no processor time); 0: never.",
                              [](auto& c) -> auto& { return c.stall_timeout; }));
  rows.push_back(min_free_memory_row());

  rows.push_back(at_start_only(
      optional_path_row("tls.certificate", "",
                        "A PEM file with the server's certificate and those between it and the root. With it and "
                        "tls.key the server speaks HTTPS.",
                        [](auto& c) -> auto& { return c.tls_certificate; })));
  rows.push_back(
      at_start_only(optional_path_row("tls.key", "", "A PEM file with the certificate's key, without a passphrase.",
                                      [](auto& c) -> auto& { return c.tls_key; })));

  rows.push_back(count_row("queue.max_per_model", "", 1, 1'000'000,
                           "The most requests that may wait for one model, or for a slot of it; more get a 429.",
                           [](auto& c) -> auto& { return c.max_queue_per_model; }));
  rows.push_back(count_row("queue.max_total", "", 1, 1'000'000,
                           "The most requests that may wait for all models together; more get a 429.",
                           [](auto& c) -> auto& { return c.max_queue; }));
  rows.push_back(duration_row("queue.max_wait", kSoon,
                              "A request that has waited this long for its model, or for a slot of it, gets a 503.",
                              [](auto& c) -> auto& { return c.max_wait; }));
  rows.push_back(duration_row("queue.min_residency", Duration::zero(),
                              "A busy model is not moved out for another before it was in memory this long.",
                              [](auto& c) -> auto& { return c.min_residency; }));
  rows.push_back(duration_row("queue.load_timeout", kSoon, "A load that takes longer than this is given up.",
                              [](auto& c) -> auto& { return c.load_timeout; }));
  rows.push_back(count_row("queue.max_switches_per_second", "", 0, 1'000'000,
                           "How often models may be moved out of memory for others, each second; 0: as often as "
                           "requests want it.",
                           [](auto& c) -> auto& { return c.max_switches_per_second; }));
  rows.push_back(duration_row("queue.head_start", Duration::zero(),
                              "Where models wait for memory, a request of high priority takes its turn as if it had "
                              "come this much earlier, and one of low priority as if it had come this much later. A "
                              "request says its priority in the header x-minerva-priority (low, normal or high), up "
                              "to that of its key.",
                              [](auto& c) -> auto& { return c.head_start; }));
  rows.push_back(keys_row("queue.high_priority_keys", "", "As api_keys; requests with them have high priority.",
                          [](auto& c) -> auto& { return c.high_priority_keys; }));
  rows.push_back(keys_row("queue.low_priority_keys", "", "As api_keys; requests with them have low priority.",
                          [](auto& c) -> auto& { return c.low_priority_keys; }));

  rows.push_back(boolean_row("predict.preload", "",
                             "Whether models that are likely to be asked for next are loaded or woken while nothing "
                             "else goes on and there is free room for them. What each user, and all users, asked for "
                             "before says which models are likely. No model leaves for such a model, and it is the "
                             "first one to leave. This pauses by itself while fewer than one in ten of them are used.",
                             [](auto& c) -> auto& { return c.prediction.preload; }));
  rows.push_back(boolean_row("predict.read_ahead", "",
                             "Whether the files of such models are read ahead, where the models themselves are not "
                             "loaded: into memory that nobody uses, not even as page cache, while nothing else goes "
                             "on, and as long as limits.min_free_memory stays free.",
                             [](auto& c) -> auto& { return c.prediction.read_ahead; }));

  rows.push_back(pull_hosts_row());
  rows.push_back(size_row("pull.max_rate", Bytes(0), kMostSize,
                          "Bytes that a download may take from the network each second; 0: as many as come.",
                          [](auto& c) -> auto& { return c.pull_max_rate; }));
  rows.push_back(duration_row("pull.stall_timeout", std::chrono::seconds(1),
                              "If a download gets no byte for this long, it connects anew, a few times.",
                              [](auto& c) -> auto& { return c.pull_stall_timeout; }));
  rows.push_back(count_row("pull.parallel", "", 1, 16,
                           "How many ranges of one large file are fetched at once, each over its own connection.",
                           [](auto& c) -> auto& { return c.pull_parallel; }));

  rows.push_back(boolean_row(
      "park.enabled", "--park",
      "Whether an idle model that makes room for another one is parked: its process and its conversations stay, its "
      "memory goes to an image on disk, and it is back in milliseconds. A model that cannot be parked is stopped.",
      [](auto& c) -> auto& { return c.park; }));
  rows.back().environment = "park";
  rows.push_back(share_row("park.memory", "",
                           "The most memory that all parked models together may keep; it is a part of the memory "
                           "budget. A percentage is one of memory_budget.",
                           [](auto& c) -> auto& { return c.park_memory; }));
  rows.push_back(
      share_row("park.images", "",
                "The most disk space for the images of all models that were parked, including those in use again. A "
                "percentage is one of what is free on the folder's file system when the config is read.",
                [](auto& c) -> auto& { return c.park_images; }));
  rows.push_back(at_start_only(path_row("park.folder", "", "images in state_dir",
                                        "Where the images go: a folder on a disk, not in memory (tmpfs). Made with "
                                        "mode 0700 if it is not there. The images have no names in it and go with "
                                        "their engines.",
                                        [](auto& c) -> auto& { return c.park_folder; })));

  rows.push_back(boolean_row(
      "conversations.enabled", "",
      "Whether what models have computed from conversations is kept on disk, so that a model that was stopped, or has "
      "crashed, goes on where it was instead of reading the whole conversation again. The files are in conversations/ "
      "in state_dir, for their owner only; who can read them can read the conversations. With API keys each key has "
      "its "
      "own. false removes what is there.",
      [](auto& c) -> auto& { return c.conversations; }));
  rows.push_back(share_row("conversations.disk", "",
                           "The most disk space that they may take; what saves least time leaves first. A percentage "
                           "is one of what is free on the file system, with what they take already.",
                           [](auto& c) -> auto& { return c.conversations_disk; }));
  rows.push_back(duration_row(
      "conversations.max_age", hours(1), "A conversation is removed when nobody has gone on with it for this long.",
      [](auto& c) -> auto& { return c.conversations_max_age; }, hours(365 * 24)));

  rows.push_back(at_start_only(
      boolean_row("restart.restore", "",
                  "Whether models that were in memory when the server ended, however it ended, come back after the "
                  "next start. They come in the background, the most wanted one first, into free memory only, and "
                  "behind all requests. Models that failed, or that an operator unloaded, do not come back. "
                  "Statistics, and what was learned about models, are kept in any case.",
                  [](auto& c) -> auto& { return c.restore; })));
  rows.push_back(at_start_only(boolean_row(
      "trace.enabled", "",
      "Whether each request is recorded in trace/ in state_dir: when it came, for which model, from which user (a "
      "number that says nothing about the key) and how long the model worked for it. No prompts, no addresses. The "
      "latest 16 MiB are kept. `minerva policy compare` and `minerva doctor` read the record.",
      [](auto& c) -> auto& { return c.trace; })));
  return rows;
}

std::string joined(const Values& values) {
  return values.empty() ? "none" : fmt::format("{}", fmt::join(values, ", "));
}

}  // namespace

const std::vector<ConfigRow>& config_rows() {
  static const std::vector<ConfigRow> rows = make_config_rows();
  return rows;
}

const ConfigRow* find_config_row(std::string_view name) {
  const auto& rows = config_rows();
  const auto it = std::find_if(rows.begin(), rows.end(), [name](const ConfigRow& row) { return row.name == name; });
  return it == rows.end() ? nullptr : &*it;
}

std::string environment_name(const ConfigRow& row) {
  std::string name = "MINERVA_" + (row.environment.empty() ? row.name : row.environment);
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  });
  return name;
}

std::string flag_text(const ConfigRow& row) {
  const bool has_pair = row.toml == TomlKind::kBoolean && !row.flag.empty();
  return has_pair ? fmt::format("{} | --no-{}", row.flag, row.flag.substr(2)) : row.flag;
}

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> list;
    const Config defaults;
    for (const ConfigRow& row : config_rows()) {
      list.push_back({row.name, row.flag, environment_name(row), row.type,
                      row.default_text.empty() ? joined(row.get(defaults)) : row.default_text, row.meaning,
                      is_list(row.toml), row.at_start_only});
    }
    for (const ModelRow& row : model_rows()) {
      list.push_back({"model.NAME." + row.name, "", "", row.type, row.default_text, row.meaning, false});
    }
    for (const DeviceRow& row : device_rows()) {
      list.push_back({"device.NAME." + row.name, "", "", row.type, row.default_text, row.meaning, false});
    }
    for (const PresetRow& row : preset_rows()) {
      list.push_back({"preset.NAME." + row.name, "", "", row.type, row.default_text, row.meaning, false});
    }
    return list;
  }();
  return keys;
}

}  // namespace minerva
