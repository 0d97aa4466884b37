// minerva pull: the server fetches a model.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/json.h"
#include "api/query.h"
#include "cli/answers.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/sse_parser.h"
#include "cli/terminal.h"
#include "minerva/base/bytes.h"

namespace minerva::cli {
namespace {

constexpr std::size_t kPullBarWidth = 24;

struct PullFlags {
  std::string name;
  bool list = false;
  bool jobs = false;
  std::string cancel;
  std::string pause;
  std::string resume;
  std::vector<std::string> with;
};

// `path`: /v1/pull, which pulls the model; with ?dry_run=true it only lists what the repository has.
HttpCall pull_call(const PullFlags& flags, std::string path, std::string accept) {
  return {"POST", std::move(path), api::dump({{"model", flags.name}, {"with", flags.with}}), std::move(accept)};
}

HttpCall choices_call(const PullFlags& flags) { return pull_call(flags, "/v1/pull?dry_run=true", {}); }

std::string format_size(double bytes) { return format_bytes(Bytes(static_cast<std::uint64_t>(bytes))); }

// "[####....]  42%  1.2 GiB of 2.8 GiB, 40 MiB/s, 41 s left": the progress of a download.
std::string describe_download(const nlohmann::json& job) {
  const double size = number_of(job, "size_bytes");
  const double done = number_of(job, "done_bytes");
  const double rate = number_of(job, "bytes_per_second");
  std::string doing = text_of(job, "doing");
  if (text_of(job, "state") == "queued") return "waiting for the downloads before it";
  if (text_of(job, "state") == "paused") return "paused";
  if (size <= 0 || !doing.starts_with("fetching")) return doing;
  std::string text =
      fmt::format("{}  {} of {}", progress_bar(done / size, kPullBarWidth), format_size(done), format_size(size));
  if (rate > 0) text += fmt::format(", {}/s", format_size(rate));
  if (const double left = number_of(job, "seconds_left"); left > 0)
    text += fmt::format(", {} left", format_seconds(left));
  return text;
}

// Tells a person, before it begins, what the pull will take.
void announce(HttpClient& client, const PullFlags& flags) {
  if (!stderr_is_terminal()) return;
  const Result<std::string> answer = client.call(choices_call(flags));
  const Result<nlohmann::json> listing = answer ? parse_answer(*answer) : fail(answer.error());
  if (!listing) return;  // the pull itself reports the error; or the name is an address
  const std::string chosen = text_of(*listing, "chosen");
  for (const nlohmann::json& choice : list_of(*listing, "data")) {
    if (text_of(choice, "model") != chosen) continue;
    const std::string license = text_of(*listing, "license");
    std::string text = fmt::format("{}: {} of the disk", chosen, format_size(number_of(choice, "size_bytes")));
    if (const double free = number_of(*listing, "disk_free_bytes"); free > 0)
      text += fmt::format(" ({} are free)", format_size(free));
    text += fmt::format("; licence: {}", license.empty() ? "none is said" : license);
    if (flag_of(*listing, "gated")) text += " (gated: to be accepted on its page)";
    fmt::print(stderr, "{}\n", printable(text));
  }
}

// The job at its end. Errors: why it failed; kUnreachable: the server went away before; kCancelled: Ctrl-C.
Result<nlohmann::json> follow_pull(HttpClient& client, const HttpCall& call) {
  StatusLine status;
  std::string last;
  bool told_why = false;
  SseParser parser({[&](std::string_view data) {
                      last = data;
                      const Result<nlohmann::json> job = parse_answer(last);
                      if (!job) return;
                      const std::string why = text_of(*job, "why");
                      if (!told_why && !why.empty()) {
                        status.clear();
                        if (stderr_is_terminal()) fmt::print(stderr, "{}\n", printable(why));
                        told_why = true;
                      }
                      status.show(printable(describe_download(*job)));
                    },
                    [](std::string_view) {}});
  const InterruptGuard guard;
  const Result<void> done = client.stream(
      call, [&](std::string_view, std::string_view piece) { return parser.feed(piece); }, &InterruptGuard::interrupted);
  status.clear();
  if (!done && done.error().code == ErrorCode::kCancelled) {
    const Result<nlohmann::json> job = parse_answer(last);
    const std::string id = job ? text_of(*job, "id") : "ID";
    return fail(ErrorCode::kCancelled,
                fmt::format("the download goes on in the server. `minerva pull --jobs` shows it, "
                            "`minerva pull --cancel {}` ends it and keeps nothing of it",
                            id));
  }
  if (!done) return fail(done.error());
  Result<nlohmann::json> job = parse_answer(last);
  if (!job) return fail(job.error());
  const std::string state = text_of(*job, "state");
  if (state == "done") return job;
  if (state == "failed") {
    const nlohmann::json& error = object_of(*job, "error");
    const ErrorInfo* const info = find_error_info(text_of(error, "code"));
    return fail(info == nullptr || info->code == ErrorCode::kInvalidArgument ? ErrorCode::kConflict : info->code,
                text_of(error, "message"));
  }
  if (state == "paused") {
    return fail(ErrorCode::kConflict,
                fmt::format("the download is paused. `minerva pull --resume {}` goes on with it", text_of(*job, "id")));
  }
  if (state == "cancelled") return fail(ErrorCode::kConflict, "the download was cancelled");
  return fail(ErrorCode::kUnreachable, "the server ended; the download goes on when it is started again");
}

Result<void> pull_model(HttpClient& client, const Session& session, const PullFlags& flags) {
  announce(client, flags);
  const Result<nlohmann::json> job = follow_pull(client, pull_call(flags, "/v1/pull", "text/event-stream"));
  if (!job) return fail(job.error());
  if (session.json) {
    print_json(job->dump());
    return {};
  }
  const std::string model = printable(text_of(*job, "model_id"));
  fmt::print("{} is here ({}). Ask for it: minerva run {}\n", model, format_size(number_of(*job, "size_bytes")), model);
  return {};
}

void print_choices(const nlohmann::json& answer) {
  Table table(
      {{"NAME"}, {"SIZE", Table::Align::kRight}, {"MEMORY", Table::Align::kRight}, {"FIT"}, {"CAN HAVE"}, {""}});
  const std::string chosen = text_of(answer, "chosen");
  for (const nlohmann::json& choice : list_of(answer, "data")) {
    const std::string name = text_of(choice, "model");
    std::string companions;
    for (const nlohmann::json& companion : list_of(choice, "companions")) {
      companions += fmt::format("{}{} ({})", companions.empty() ? "" : ", ", text_of(companion, "kind"),
                                format_size(number_of(companion, "size_bytes")));
    }
    table.add({name, format_size(number_of(choice, "size_bytes")),
               "~" + format_mib(number_of(choice, "expected_memory_mb")), text_of(choice, "fit"), companions,
               name == chosen ? "<- chosen" : ""});
  }
  if (!table.empty()) fmt::print("{}\n", table.text(stdout_has_colour()));
  const std::string license = text_of(answer, "license");
  if (!license.empty())
    fmt::print("Licence: {}{}\n", printable(license), flag_of(answer, "gated") ? " (to be accepted on its page)" : "");
  fmt::print("{}\n", printable(text_of(answer, "why")));
}

void print_downloads(const nlohmann::json& answer) {
  Table table({{"ID"}, {"MODEL"}, {"STATE"}, {"SIZE", Table::Align::kRight}, {"DONE", Table::Align::kRight}, {""}});
  for (const nlohmann::json& job : list_of(answer, "data")) {
    const std::string message = text_of(object_of(job, "error"), "message");
    table.add({text_of(job, "id"), text_of(job, "model"), text_of(job, "state"),
               format_size(number_of(job, "size_bytes")), format_size(number_of(job, "done_bytes")),
               message.empty() ? text_of(job, "doing") : message});
  }
  if (table.empty()) return fmt::print("No downloads. `minerva pull org/repo` begins one.\n");
  fmt::print("{}", table.text(stdout_has_colour()));
}

Result<void> pull(HttpClient& client, const Session& session, const PullFlags& flags) {
  const int deeds = int{flags.list} + int{flags.jobs} + int{!flags.cancel.empty()} + int{!flags.pause.empty()} +
                    int{!flags.resume.empty()};
  if (deeds > 1) {
    return fail(ErrorCode::kInvalidArgument, "give one of --list, --jobs, --cancel, --pause and --resume");
  }
  if (flags.jobs) return show(session, client.call({"GET", "/v1/downloads", {}, {}}), print_downloads);
  if (!flags.cancel.empty()) {
    const HttpCall call{"DELETE", "/v1/downloads/" + api::percent_encode(flags.cancel), {}, {}};
    return show(session, client.call(call), [](const nlohmann::json& job) {
      fmt::print("cancelled {}; what came of it is not kept\n", printable(text_of(job, "model")));
    });
  }
  for (const auto& [id, deed] : {std::pair(flags.pause, "pause"), std::pair(flags.resume, "resume")}) {
    if (id.empty()) continue;
    const HttpCall call{"POST", fmt::format("/v1/downloads/{}/{}", api::percent_encode(id), deed), {}, {}};
    return show(session, client.call(call), [](const nlohmann::json& job) {
      fmt::print("{}: {}\n", printable(text_of(job, "model")), printable(text_of(job, "state")));
    });
  }
  if (flags.name.empty()) {
    return fail(ErrorCode::kInvalidArgument, "say what to pull: org/repo, org/repo:Q4_K_M or org/repo/file.gguf");
  }
  if (!flags.list) return pull_model(client, session, flags);
  return show(session, client.call(choices_call(flags)), print_choices);
}

}  // namespace

void add_pull(CLI::App& app, Session& session) {
  auto flags = std::make_shared<PullFlags>();
  CLI::App* command =
      add_command(app, session, "pull", "Fetch a model from a model hub, into the server's models folder",
                  [flags](HttpClient& client, Session& current) { return pull(client, current, *flags); });
  command->add_option("NAME", flags->name, "org/repo[:QUANTIZATION], org/repo/file.gguf or https://host/file.gguf")
      ->type_name("");
  command->add_option("--with", flags->with, "What comes along too: draft, mtp or both; the model's `args` use it")
      ->type_name("KIND")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"draft", "mtp"}));
  command->add_flag("--list", flags->list, "Only show what the repository has, and what of it fits");
  command->add_flag("--jobs", flags->jobs, "Show the downloads under way, and the last that ended");
  command->add_option("--cancel", flags->cancel, "Cancel a download: what came of it is not kept")->type_name("ID");
  command->add_option("--pause", flags->pause, "Pause a download: it stays so until it is resumed")->type_name("ID");
  command->add_option("--resume", flags->resume, "Go on with a download that is paused")->type_name("ID");
}

}  // namespace minerva::cli
