// minerva models: lists the catalog.
#include <fmt/format.h>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "minerva/base/bytes.h"

namespace minerva::cli {
namespace {

std::string count_or_dash(double count) { return count > 0 ? format_count(count) : "-"; }

void print_models(const nlohmann::json& answer) {
  Table table({{"ID"},
               {"SIZE", Table::Align::kRight},
               {"PARAMETERS", Table::Align::kRight},
               {"QUANTIZATION"},
               {"CONTEXT", Table::Align::kRight},
               {"STATE"},
               {"ALIASES"},
               {"PRESET OF"}});
  for (const nlohmann::json& model : list_of(answer, "data")) {
    const std::string quantization = text_of(model, "quantization");
    const double context = number_of(model, "context_length");
    table.add({text_of(model, "id"), format_bytes(Bytes(static_cast<std::uint64_t>(number_of(model, "size_bytes")))),
               count_or_dash(number_of(model, "parameters")), quantization.empty() ? "-" : quantization,
               context > 0 ? fmt::format("{:.0f}", context) : "-", text_of(model, "state"),
               joined(list_of(model, "aliases")), text_of(model, "preset_of")});
  }
  if (table.empty()) {
    fmt::print(
        "No models. Put GGUF files into the server's models folder (`minerva serve --models-dir DIR`), or let `minerva "
        "pull` fetch some.\n");
  } else {
    fmt::print("{}", table.text(stdout_has_colour()));
  }
  const nlohmann::json& problems = list_of(answer, "problems");
  if (problems.empty()) return;
  fmt::print("\nProblems:\n");
  for (const nlohmann::json& problem : problems) {
    if (problem.is_string()) fmt::print("  {}\n", printable(problem.get<std::string>()));
  }
}

}  // namespace

void add_models(CLI::App& app, Session& session) {
  add_command(app, session, "models", "List the models there are", [](HttpClient& client, Session& current) {
    return show(current, client.call({"GET", "/v1/models", {}, {}}), print_models);
  });
}

}  // namespace minerva::cli
