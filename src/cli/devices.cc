// minerva devices: the devices (GPUs) that the server's engines see, and what models have of each.
#include <fmt/format.h>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

constexpr double kBytesPerMiB = 1 << 20;

std::string models_text(const nlohmann::json& list) {
  std::string text;
  for (const nlohmann::json& name : list) {
    if (name.is_string()) text += (text.empty() ? "" : ", ") + name.get<std::string>();
  }
  return text.empty() ? "-" : text;
}

void print_devices(const nlohmann::json& answer) {
  Table table({{"DEVICE"},
               {"TOTAL", Table::Align::kRight},
               {"FREE", Table::Align::kRight},
               {"FOR MODELS", Table::Align::kRight},
               {"TAKEN", Table::Align::kRight},
               {"MODELS"},
               {"DESCRIPTION"}});
  for (const nlohmann::json& device : list_of(answer, "data")) {
    const auto mib_or_dash = [&device](const char* field) {
      const bool told = device.is_object() && device.contains(field) && device[field].is_number();
      return told ? format_mib(number_of(device, field) / kBytesPerMiB) : "-";
    };
    table.add({text_of(device, "id"), format_mib(number_of(device, "total_bytes") / kBytesPerMiB),
               mib_or_dash("free_bytes"), mib_or_dash("available_bytes"),
               format_mib(number_of(device, "reserved_bytes") / kBytesPerMiB), models_text(list_of(device, "models")),
               text_of(device, "description")});
  }
  if (table.empty()) {
    fmt::print("No engine sees a device: models run in the host's memory.\n");
  } else {
    fmt::print("{}", table.text(stdout_has_colour()));
  }
  for (const nlohmann::json& problem : list_of(answer, "problems")) {
    if (problem.is_string()) fmt::print("{}\n", printable(problem.get<std::string>()));
  }
}

}  // namespace

void add_devices(CLI::App& app, Session& session) {
  add_command(app, session, "devices", "Show the devices (GPUs) that engines see, and what models have of them",
              [](HttpClient& client, Session& current) {
                return show(current, client.call({"GET", "/v1/devices", {}, {}}), print_devices);
              });
}

}  // namespace minerva::cli
