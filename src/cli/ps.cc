// minerva ps: the models that are in memory, on their way in or out, or parked.
#include <fmt/format.h>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

// "2/4": slots in use, of how many.
std::string slots_text(const nlohmann::json& model) {
  const double slots = number_of(model, "slots");
  return slots > 0 ? fmt::format("{:.0f}/{:.0f}", number_of(model, "slots_taken"), slots) : "-";
}

void print_ps(const nlohmann::json& answer) {
  Table table({{"ID"},
               {"STATE"},
               {"MEMORY", Table::Align::kRight},
               {"IMAGE", Table::Align::kRight},
               {"LEASES", Table::Align::kRight},
               {"SLOTS", Table::Align::kRight},
               {"WAITING", Table::Align::kRight},
               {"LAST USED"},
               {"PINNED"},
               {"PRELOADED"}});
  for (const nlohmann::json& model : list_of(answer, "models")) {
    const bool used = model.is_object() && model.contains("last_used_s") && model["last_used_s"].is_number();
    const double image = number_of(model, "image_mb");
    table.add({text_of(model, "id"), text_of(model, "state"), format_mib(number_of(model, "memory_mb")),
               image > 0 ? format_mib(image) : "-", fmt::format("{:.0f}", number_of(model, "leases")),
               slots_text(model), fmt::format("{:.0f}", number_of(model, "waiting")),
               used ? format_ago(number_of(model, "last_used_s")) : "never", flag_of(model, "pinned") ? "yes" : "no",
               flag_of(model, "preloaded") ? "yes" : "no"});
  }
  std::string by_pool;
  for (const nlohmann::json& model : list_of(answer, "models")) {
    const std::string text = pools_text(model);
    if (!text.empty()) by_pool += fmt::format("{} holds {}.\n", printable(text_of(model, "id")), text);
  }
  std::string gave_way;
  for (const nlohmann::json& model : list_of(answer, "models")) {
    const std::string text = gave_way_text(model);
    if (text.empty()) continue;
    gave_way +=
        fmt::format("{} runs with {}, to fit the memory budget.\n", printable(text_of(model, "id")), printable(text));
  }
  if (table.empty()) {
    fmt::print("No model is in memory.\n");
  } else {
    fmt::print("{}{}{}", table.text(stdout_has_colour()), by_pool, gave_way);
  }
}

}  // namespace

void add_ps(CLI::App& app, Session& session) {
  add_command(app, session, "ps", "Show the models in memory, and the parked ones",
              [](HttpClient& client, Session& current) {
                return show(current, client.call({"GET", "/v1/models/stats", {}, {}}), print_ps);
              });
}

}  // namespace minerva::cli
