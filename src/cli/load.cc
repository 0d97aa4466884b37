// minerva load, minerva preload: loads a model, and shows the progress.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/sse_parser.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

struct LoadFlags {
  std::string id;
  std::string path;
  bool force = false;
  bool dry_run = false;
};

// Calls with an answer as a stream: comments tell the progress, and the one event is the answer.
Result<std::string> load_with_progress(HttpClient& client, HttpCall call, const std::string& id) {
  call.accept = "text/event-stream";
  StatusLine status;
  std::string answer;
  std::string plain;  // the answer, if the server did not stream
  SseParser parser({[&](std::string_view data) { answer = data; },
                    [&](std::string_view comment) {
                      if (const std::string text = describe_progress(comment, id); !text.empty()) status.show(text);
                    }});
  const Result<void> done = client.stream(call, [&](std::string_view type, std::string_view piece) {
    if (type.starts_with("text/event-stream")) return parser.feed(piece);
    plain += piece;
    return plain.size() <= SseParser::kMaxEvent;
  });
  if (!done) return fail(done.error());
  if (answer.empty()) answer = plain;
  const Result<nlohmann::json> json = parse_answer(answer);
  if (!json) return fail(json.error());
  if (json->contains("error")) return fail(server_error(500, answer));
  return answer;
}

void print_plan(const nlohmann::json& plan, const std::string& id) {
  const std::string victims = joined(list_of(plan, "would_evict"));
  fmt::print("{}: {}\n", id, printable(text_of(plan, "message")));
  fmt::print("needs        {} ({} free)\n", format_mib(number_of(plan, "estimated_memory_mb")),
             format_mib(number_of(plan, "free_memory_mb")));
  const double cost_ms = number_of(plan, "cost_ms");
  fmt::print("would evict  {}{}\n", victims.empty() ? "nothing" : printable(victims),
             cost_ms > 0 ? fmt::format(" ({} to have back)", format_seconds(cost_ms / 1000)) : "");
  if (const std::string text = gave_way_text(plan); !text.empty()) {
    fmt::print("gives way    {}, to fit the memory budget\n", printable(text));
  }
  if (number_of(plan, "expected_load_ms") > 0) {
    const bool measured = text_of(plan, "confidence") == "measured";
    fmt::print("should take  {}{}\n", format_seconds(number_of(plan, "expected_load_ms") / 1000),
               measured ? "" : ", guessed from other models");
  }
  if (!flag_of(plan, "possible")) fmt::print("It cannot be loaded now without waiting.\n");
}

// "; parked a, evicted b to make room". The answer names all victims together, so this asks the server which of them
// still have an engine.
std::string describe_victims(HttpClient& client, const nlohmann::json& victims) {
  if (victims.empty()) return {};
  nlohmann::json parked = nlohmann::json::array();
  if (const Result<std::string> stats = client.call({"GET", "/v1/models/stats", {}, {}})) {
    if (const Result<nlohmann::json> json = parse_answer(*stats)) parked = parked_models(*json);
  }
  nlohmann::json left_parked = nlohmann::json::array();
  nlohmann::json evicted = nlohmann::json::array();
  for (const nlohmann::json& id : victims) {
    const bool is_parked = std::find(parked.begin(), parked.end(), id) != parked.end();
    (is_parked ? left_parked : evicted).push_back(id);
  }
  std::vector<std::string> what;
  if (!left_parked.empty()) what.push_back("parked " + joined(left_parked));
  if (!evicted.empty()) what.push_back("evicted " + joined(evicted));
  return printable(fmt::format("; {} to make room", fmt::join(what, ", ")));
}

void print_loaded(HttpClient& client, const nlohmann::json& answer, const std::string& id) {
  const double took_ms = number_of(answer, "load_ms");
  fmt::print("{}: {}{} ({}){}\n", id, printable(text_of(answer, "message")),
             took_ms > 0 ? " in " + format_seconds(took_ms / 1000) : "",
             format_mib(number_of(answer, "estimated_memory_mb")),
             describe_victims(client, list_of(answer, "evicted")));
}

Result<void> load(HttpClient& client, Session& session, const LoadFlags& flags, const std::string& action) {
  nlohmann::json body = nlohmann::json::object();
  if (!flags.path.empty()) {
    // A file in this folder if there is one; else the path is relative to a models folder of the server.
    std::error_code error;
    const bool here = std::filesystem::exists(flags.path, error);
    body["model_path"] = here ? std::filesystem::absolute(flags.path, error).string() : flags.path;
  }
  HttpCall call{
      "POST", model_path(flags.id, action), body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), {}};
  char separator = '?';
  for (const auto& [name, given] : {std::pair("force", flags.force), std::pair("dry_run", flags.dry_run)}) {
    if (!given) continue;
    call.path += fmt::format("{}{}=true", separator, name);
    separator = '&';
  }
  const bool show_progress = stderr_is_terminal() && !flags.dry_run;
  const Result<std::string> answer =
      show_progress ? load_with_progress(client, std::move(call), flags.id) : client.call(call);
  return show(session, answer, [&](const nlohmann::json& json) {
    if (flags.dry_run) {
      print_plan(json, flags.id);
    } else {
      print_loaded(client, json, flags.id);
    }
  });
}

void add_one(CLI::App& app, Session& session, const std::string& name, const std::string& description) {
  auto flags = std::make_shared<LoadFlags>();
  CLI::App* command = add_command(app, session, name, description, [flags, name](HttpClient& client, Session& current) {
    return load(client, current, *flags, name);
  });
  add_model_argument(*command, flags->id);
  command->add_option("PATH", flags->path, "Its file, inside a models folder of the server (default: found by the id)")
      ->type_name("");
  command->add_flag("--force", flags->force, "Evict busy and pinned models too; their requests are cancelled");
  command->add_flag("--dry-run", flags->dry_run, "Only say what it would evict");
}

}  // namespace

void add_load(CLI::App& app, Session& session) {
  add_one(app, session, "load", "Load a model into memory");
  add_one(app, session, "preload", "Load a model without counting that as use");
}

}  // namespace minerva::cli
