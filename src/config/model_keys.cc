// The table of the keys of models.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "catalog/names.h"
#include "config/config_table.h"
#include "config/values.h"
#include "engine/user_arguments.h"

namespace minerva {
namespace {

template <typename At>
ModelRow model_count_row(std::string name, std::uint64_t most, std::string default_text, std::string meaning, At at) {
  ModelRow row{std::move(name), "", "integer", TomlKind::kInteger, std::move(meaning), {}, {}};
  row.set = [=](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
    const auto count = parse_count(values.front(), 1, most);
    if (!count) return fail(count.error());
    at(entry) = static_cast<unsigned>(*count);
    return {};
  };
  row.get = [=](const ModelEntry& entry) { return at(entry) ? Values{fmt::to_string(*at(entry))} : Values{}; };
  row.default_text = std::move(default_text);
  return row;
}

template <typename At>
ModelRow model_flag_row(std::string name, std::string meaning, At at) {
  ModelRow row{std::move(name), "", "boolean", TomlKind::kBoolean, std::move(meaning), {}, {}};
  row.set = [=](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
    at(entry) = values.front() == "true";
    return {};
  };
  row.get = [=](const ModelEntry& entry) { return at(entry) ? Values{*at(entry) ? "true" : "false"} : Values{}; };
  row.default_text = "false";
  return row;
}

template <typename At>
ModelRow model_duration_row(std::string name, std::string meaning, At at) {
  ModelRow row{std::move(name), "", "duration", TomlKind::kText, std::move(meaning), {}, {}};
  row.set = [=](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
    const auto duration = parse_duration(values.front());
    if (!duration) return fail(duration.error());
    at(entry) = *duration;
    return {};
  };
  row.get = [=](const ModelEntry& entry) { return at(entry) ? Values{format_duration(*at(entry))} : Values{}; };
  row.default_text = "0s";
  return row;
}

Result<CronSchedule> parse_schedule(const std::string& text, std::string_view otherwise) {
  auto schedule = CronSchedule::parse(text);
  const bool is_word = text.find_first_of(" \t*@") == std::string::npos;
  if (schedule || !is_word) return schedule;
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("\"{}\" is no {}schedule such as \"0 8 * * mon-fri\"", text, otherwise));
}

Result<void> set_preload(ModelEntry& entry, const std::string& text) {
  entry.preload_at.reset();
  if (text == "eager" || text == "lazy") {
    entry.preload = text == "eager" ? PreloadStrategy::kEager : PreloadStrategy::kLazy;
    return {};
  }
  auto schedule = parse_schedule(text, "eager, lazy or ");
  if (!schedule) return fail(schedule.error());
  entry.preload = PreloadStrategy::kScheduled;
  entry.preload_at = *std::move(schedule);
  return {};
}

Values preload_values(const ModelEntry& entry) {
  if (entry.preload_at) return {entry.preload_at->text()};
  if (!entry.preload) return {};
  return {*entry.preload == PreloadStrategy::kEager ? "eager" : "lazy"};
}

// Long because it is one table.
std::vector<ModelRow> make_command_rows() {
  std::vector<ModelRow> rows;
  rows.push_back({"command", "", "list of text", TomlKind::kList,
                  "A program, with its arguments, that serves the model in place of Minerva's engine: it speaks "
                  "OpenAI's API over HTTP, on ${PORT} (of 127.0.0.1) or ${SOCKET} (the path of a Unix socket). It gets "
                  "the model's name as the client wrote it, and runs without a sandbox.",
                  [](ModelEntry& entry, const Values& values, const std::string& base) -> Result<void> {
                    if (values.empty() || values.front().empty()) {
                      return fail(ErrorCode::kInvalidArgument, "it names no program");
                    }
                    entry.command.argv = values;
                    // A program without a slash is looked for in PATH.
                    if (values.front().find('/') == std::string::npos) return {};
                    const auto program = expand_path(values.front(), base);
                    if (!program) return fail(program.error());
                    entry.command.argv.front() = *program;
                    return {};
                  },
                  [](const ModelEntry& entry) { return entry.command.argv; }, "none"});
  // Arguments and variables may hold keys, so they are not told. But a table needs the command to be one of a command
  // engine.
  rows.back().tell = [](const ModelEntry& entry) {
    return entry.command.argv.empty() ? Values{} : Values{entry.command.argv.front(), "${PORT}"};
  };
  rows.push_back({"memory", "", "size", TomlKind::kTextOrInteger,
                  "With command: all the memory that the program takes.",
                  [](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
                    const auto bytes = parse_size(values.front(), kLeastMemory, kMostSize);
                    if (!bytes) return fail(bytes.error());
                    entry.command.memory = *bytes;
                    return {};
                  },
                  [](const ModelEntry& entry) {
                    return entry.command.argv.empty() ? Values{} : Values{size_text(entry.command.memory)};
                  },
                  "none: it is needed"});
  rows.push_back(
      {"health", "", "text", TomlKind::kText,
       "With command: the path for which the program answers 2xx once it can serve.",
       [](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
         const std::string& path = values.front();
         const auto is_plain = [](unsigned char c) { return c > ' ' && c < 0x7f; };
         if (!path.starts_with('/') || !std::all_of(path.begin(), path.end(), is_plain)) {
           return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is no path such as /health", path));
         }
         entry.command.health = path;
         return {};
       },
       [](const ModelEntry& entry) { return entry.command.argv.empty() ? Values{} : Values{entry.command.health}; },
       CommandSpec{}.health});
  rows.push_back(
      {"env", "", "list of text", TomlKind::kList,
       "With command: variables of its environment, \"NAME=value\" each, beside PATH, HOME, LANG, TZ, TMPDIR "
       "and LD_LIBRARY_PATH.",
       [](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
         for (const std::string& variable : values) {
           if (variable.find('=') == std::string::npos || variable.starts_with('=')) {
             return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not NAME=value", variable));
           }
         }
         entry.command.environment = values;
         return {};
       },
       [](const ModelEntry& entry) { return entry.command.environment; }, "none"});
  rows.back().tell = [](const ModelEntry&) { return Values{}; };
  return rows;
}

// Long because it is one table.
std::vector<ModelRow> make_model_rows() {
  std::vector<ModelRow> rows;
  rows.push_back({"path", "", "path", TomlKind::kText,
                  "The model's file, relative to a models folder or absolute inside one.",
                  [](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
                    if (values.front().empty()) return fail(ErrorCode::kInvalidArgument, "the path is empty");
                    // The path is kept as it is written, except for the home folder. Which models folder it lies in is
                    // found later.
                    const bool home = values.front() == "~" || values.front().starts_with("~/");
                    const auto path = home ? expand_path(values.front(), "/") : Result<std::string>(values.front());
                    if (!path) return fail(path.error());
                    entry.path = *path;
                    return {};
                  },
                  [](const ModelEntry& entry) { return entry.path.empty() ? Values{} : Values{entry.path}; },
                  "the file called by the model's name"});
  rows.push_back({"aliases", "", "list of text", TomlKind::kList, "Other names for it.",
                  [](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
                    if (const auto checked = check_names(values); !checked) return checked;
                    entry.aliases = values;
                    return {};
                  },
                  [](const ModelEntry& entry) { return entry.aliases; }, "none"});
  rows.push_back({"default_for", "", "list of text", TomlKind::kList,
                  "Paths whose requests go to this model if they name none: \"/sdapi/v1\" and everything below it.",
                  [](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
                    for (const std::string& path : values) {
                      if (path.size() > 1 && path.starts_with('/') && !path.ends_with('/')) continue;
                      return fail(ErrorCode::kInvalidArgument,
                                  fmt::format("\"{}\" is no path: it begins with a slash and ends without one", path));
                    }
                    entry.default_for = values;
                    return {};
                  },
                  [](const ModelEntry& entry) { return entry.default_for; }, "none"});
  rows.push_back({"fit", "", "on | off", TomlKind::kText, "As fit above, for this model.",
                  [](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
                    if (values.front() != "on" && values.front() != "off") {
                      return fail(ErrorCode::kInvalidArgument,
                                  fmt::format("\"{}\" is not one of on, off", values.front()));
                    }
                    entry.fit = values.front() == "on";
                    return {};
                  },
                  [](const ModelEntry& entry) { return entry.fit ? Values{*entry.fit ? "on" : "off"} : Values{}; },
                  "fit, as set above"});
  rows.push_back(model_count_row("context", 1U << 24, "the smaller of what it was trained with and 8192",
                                 "Tokens per conversation.", [](auto& e) -> auto& { return e.context; }));
  rows.push_back(model_flag_row("context_may_shrink",
                                "Whether its context gives way, too, if it does not fit the whole memory budget, "
                                "although the context is set (down to 512 tokens). A context that is not set gives way "
                                "as fit says.",
                                [](auto& e) -> auto& { return e.context_may_shrink; }));
  rows.push_back(model_count_row("parallel", 256, fmt::to_string(kDefaultParallel),
                                 "Conversations at once. More requests wait for one of them to end.",
                                 [](auto& e) -> auto& { return e.parallel; }));
  rows.push_back(model_flag_row("pin", "Whether it stays in memory once it is loaded.",
                                [](auto& e) -> auto& { return e.pinned; }));
  rows.push_back({"preload", "", "eager | lazy | schedule", TomlKind::kText,
                  "When it is loaded: at start (eager), on first use (lazy), or at set times, written as for cron "
                  "(minute, hour, day of the month, month, day of the week): \"0 8 * * mon-fri\", in time_zone. A "
                  "request before a set time loads it too. At a set time it takes the place of idle models if it needs "
                  "that, but not of models that are in use or pinned.",
                  [](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
                    return set_preload(entry, values.front());
                  },
                  preload_values, "lazy"});
  rows.push_back({"unload", "", "schedule", TomlKind::kText,
                  "The set times at which it is stopped, written as in preload: \"0 20 * * *\". A model that is "
                  "loading, in use or pinned at that time stays.",
                  [](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
                    auto schedule = parse_schedule(values.front(), "");
                    if (!schedule) return fail(schedule.error());
                    entry.unload_at = *std::move(schedule);
                    return {};
                  },
                  [](const ModelEntry& entry) { return entry.unload_at ? Values{entry.unload_at->text()} : Values{}; },
                  "none"});
  rows.push_back(model_duration_row("ttl",
                                    "After this long without a request it is parked, or stopped if it cannot be "
                                    "parked. 0s: only when room is needed.",
                                    [](auto& e) -> auto& { return e.ttl; }));
  rows.push_back(model_duration_row("unload_ttl", "After this long without a request it is stopped. 0s: never.",
                                    [](auto& e) -> auto& { return e.unload_ttl; }));
  static constexpr std::array<std::pair<std::string_view, WeightsMode>, 3> kWeights = {
      {{"auto", WeightsMode::kAuto}, {"repacked", WeightsMode::kRepacked}, {"mapped", WeightsMode::kMapped}}};
  rows.push_back(
      {"weights", "", "auto | repacked | mapped", TomlKind::kText,
       "How weights are kept in memory: repacked reads prompts faster, mapped loads faster and takes less memory.",
       [](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
         for (const auto& [name, mode] : kWeights) {
           if (name != values.front()) continue;
           entry.weights = mode;
           return {};
         }
         return fail(ErrorCode::kInvalidArgument,
                     fmt::format("\"{}\" is not one of auto, repacked, mapped", values.front()));
       },
       [](const ModelEntry& entry) {
         Values values;
         for (const auto& [name, mode] : kWeights) {
           if (entry.weights == mode) values.emplace_back(name);
         }
         return values;
       },
       "auto"});
  rows.push_back(
      {"device", "", "auto | host | names", TomlKind::kText,
       "Where it is, on a machine with devices (GPUs): auto (on a device if it fits, else on all of them, else "
       "as many of its layers as fit, else in the host's memory), host, or names of devices, separated by "
       "commas (`minerva devices` lists them).",
       [](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
         entry.device = values.front() == "auto" ? "" : values.front();
         return {};
       },
       [](const ModelEntry& entry) {
         return entry.device ? Values{entry.device->empty() ? "auto" : *entry.device} : Values{};
       },
       "auto"});
  rows.push_back(
      {"resident", "", "auto | host", TomlKind::kText,
       "What is left of it in memory while it is parked: auto (its head; its files are in the page cache as long as "
       "nothing else needs that), or host (the machine reads its files into memory that nobody uses, and other models "
       "that wake do not take that: for models on a GPU, whose weights are uploaded again at each wake). When memory "
       "is "
       "short it is given back.",
       [](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
         if (values.front() != "auto" && values.front() != kHostPool) {
           return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not one of auto, host", values.front()));
         }
         entry.keeps_pages = values.front() == kHostPool;
         return {};
       },
       [](const ModelEntry& entry) {
         return entry.keeps_pages ? Values{std::string(*entry.keeps_pages ? kHostPool : "auto")} : Values{};
       },
       "auto"});
  rows.push_back({"args", "", "list of text", TomlKind::kList,
                  "More arguments for its engine (those of llama.cpp's server), except for those that Minerva sets "
                  "itself. Files that they name must be in a models folder.",
                  [](ModelEntry& entry, const Values& values, const std::string&) -> Result<void> {
                    if (const auto allowed = check_user_arguments(values); !allowed) return fail(allowed.error());
                    entry.args = values;
                    return {};
                  },
                  [](const ModelEntry& entry) { return entry.args; }, "none"});
  for (ModelRow& row : make_command_rows()) rows.push_back(std::move(row));
  return rows;
}

}  // namespace

Result<void> check_names(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (is_usable_id(name)) continue;
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("\"{}\" {}cannot be a model's name", name, is_reserved_id(name) ? "is reserved: it " : ""));
  }
  return {};
}

const std::vector<ModelRow>& model_rows() {
  static const std::vector<ModelRow> rows = make_model_rows();
  return rows;
}

}  // namespace minerva
