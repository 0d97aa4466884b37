#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/answers.h"
#include "cli/terminal.h"
#include "cli/top.h"

namespace minerva::cli {
namespace {

constexpr std::size_t kTopBarWidth = 30;
constexpr char kEscape = '\033';

bool says(const nlohmann::json& object, const char* field) {
  return object.is_object() && object.contains(field) && object[field].is_number();
}

std::string number_or_dash(const nlohmann::json& object, const char* field) {
  return says(object, field) ? format_thousands(number_of(object, field)) : "-";
}

std::string speed_or_dash(const nlohmann::json& object) {
  return says(object, "tokens_per_second") ? fmt::format("{:.1f}/s", number_of(object, "tokens_per_second")) : "-";
}

std::string caller_or_dash(const nlohmann::json& request) {
  const std::string caller = text_of(request, "caller");
  return caller.empty() ? "-" : caller;
}

// One device's memory, as a line.
std::string device_text(const nlohmann::json& pool) {
  const double used = number_of(pool, "memory_mb");
  const double budget = number_of(pool, "memory_budget_mb");
  const double others = says(pool, "available_mb") ? budget - number_of(pool, "available_mb") : 0;
  return fmt::format("{} {} of {}  {}{}\n", printable(text_of(pool, "id")), format_mib(used), format_mib(budget),
                     progress_bar(budget > 0 ? used / budget : 0, kTopBarWidth),
                     others > 0 ? fmt::format("  other programs have {} of it", format_mib(others)) : "");
}

std::string memory_text(const nlohmann::json& stats, bool colour) {
  const double used = number_of(stats, "estimated_memory_mb");
  const double budget = number_of(stats, "memory_budget_mb");
  std::string text = fmt::format("memory {} of {}  {}{}\n", format_mib(used), format_mib(budget),
                                 progress_bar(budget > 0 ? used / budget : 0, kTopBarWidth),
                                 flag_of(stats, "memory_pressure") ? "  under pressure" : "");
  const nlohmann::json& pools = list_of(stats, "pools");
  for (const nlohmann::json& pool : pools) {
    if (text_of(pool, "id") != "host") text += device_text(pool);
  }
  Table table({{"MODEL"},
               {"STATE"},
               {"MEMORY", Table::Align::kRight},
               {"RUNNING", Table::Align::kRight},
               {"WAITING", Table::Align::kRight},
               {"LAST USED"}});
  for (const nlohmann::json& model : list_of(stats, "models")) {
    table.add({text_of(model, "id"), text_of(model, "state"), format_mib(number_of(model, "memory_mb")),
               fmt::format("{:.0f}", number_of(model, "leases")), fmt::format("{:.0f}", number_of(model, "waiting")),
               says(model, "last_used_s") ? format_ago(number_of(model, "last_used_s")) : "never"});
  }
  std::string by_pool;
  for (const nlohmann::json& model : list_of(stats, "models")) {
    const std::string held = pools_text(model);
    if (!held.empty()) by_pool += fmt::format("{} holds {}.\n", printable(text_of(model, "id")), held);
  }
  return text + (table.empty() ? "No model is in memory.\n" : table.text(colour)) + by_pool;
}

std::string in_flight_text(const nlohmann::json& requests, const TopLook& look) {
  const nlohmann::json& list = list_of(requests, "in_flight");
  Table table({{""},
               {"IN FLIGHT"},
               {"CALLER"},
               {"PHASE"},
               {"TOKENS", Table::Align::kRight},
               {"SPEED", Table::Align::kRight},
               {"TIME", Table::Align::kRight},
               {"ID"}});
  for (const nlohmann::json& request : list) {
    const std::string id = text_of(request, "id");
    const std::string model = text_of(request, "model");
    table.add({!look.selected.empty() && id == look.selected ? ">" : "", model.empty() ? "-" : model,
               caller_or_dash(request), phase_text(request), number_or_dash(request, "generated_tokens"),
               speed_or_dash(request), format_seconds(number_of(request, "seconds")), id});
  }
  return table.empty() ? "No request is in flight.\n" : table.text(look.colour);
}

std::string ended_text(const nlohmann::json& requests, const TopLook& look) {
  Table table({{"ENDED"},
               {"CALLER"},
               {"OUTCOME"},
               {"STATUS", Table::Align::kRight},
               {"WAITED", Table::Align::kRight},
               {"TIME", Table::Align::kRight},
               {"PROMPT", Table::Align::kRight},
               {"TOKENS", Table::Align::kRight},
               {"SPEED", Table::Align::kRight}});
  std::size_t shown = 0;
  for (const nlohmann::json& request : list_of(requests, "recent")) {
    if (shown++ >= look.most_ended) break;
    const std::string model = text_of(request, "model");
    table.add({model.empty() ? "-" : model, caller_or_dash(request), text_of(request, "outcome"),
               fmt::format("{:.0f}", number_of(request, "status")), format_seconds(number_of(request, "wait_seconds")),
               format_seconds(number_of(request, "seconds")), number_or_dash(request, "prompt_tokens"),
               number_or_dash(request, "generated_tokens"), speed_or_dash(request)});
  }
  return table.empty() ? "" : "\n" + table.text(look.colour);
}

}  // namespace

std::string phase_text(const nlohmann::json& request) {
  std::string phase = text_of(request, "phase");
  if (says(request, "place")) return fmt::format("{}, place {:.0f}", phase, number_of(request, "place"));
  if (!says(request, "fraction")) return phase;
  std::string percent = fmt::format("{} {:.0f} %", phase, 100 * number_of(request, "fraction"));
  if (phase != "reading" || !says(request, "prompt_tokens")) return percent;
  return fmt::format("{} of {} tokens", percent, format_thousands(number_of(request, "prompt_tokens")));
}

std::string top_text(const nlohmann::json& stats, const nlohmann::json& requests, const TopLook& look) {
  return memory_text(stats, look.colour) + "\n" + in_flight_text(requests, look) + ended_text(requests, look);
}

std::string fitted(std::string_view text, std::size_t rows, std::size_t columns) {
  std::string out;
  std::size_t row = 0;
  std::size_t column = 0;
  bool in_escape = false;
  for (std::size_t i = 0; i < text.size() && row < rows; ++i) {
    const char c = text[i];
    if (c == '\n') {
      ++row;
      column = 0;
    } else if (c == kEscape || in_escape) {
      in_escape = c != 'm';
    } else {
      if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) ++column;
      if (column > columns) continue;
    }
    out += c;
  }
  return out;
}

std::vector<std::string> shown_ids(const nlohmann::json& requests) {
  std::vector<std::string> ids;
  for (const nlohmann::json& request : list_of(requests, "in_flight")) ids.push_back(text_of(request, "id"));
  return ids;
}

std::string moved(const std::vector<std::string>& ids, const std::string& selected, int step) {
  if (ids.empty()) return {};
  const auto found = std::find(ids.begin(), ids.end(), selected);
  if (found == ids.end()) return ids.front();
  const auto last = static_cast<std::ptrdiff_t>(ids.size()) - 1;
  const std::ptrdiff_t at = std::clamp<std::ptrdiff_t>(found - ids.begin() + step, 0, last);
  return ids[static_cast<std::size_t>(at)];
}

Key take_key(std::string& typed) {
  if (typed.empty()) return Key::kNone;
  if (typed[0] != kEscape) {
    const char c = typed[0];
    typed.erase(0, 1);
    switch (c) {
      case 'q':
      case 'Q':
        return Key::kQuit;
      case 'c':
        return Key::kCancel;
      case 'y':
      case 'Y':
        return Key::kYes;
      case 'k':
        return Key::kUp;
      case 'j':
        return Key::kDown;
      default:
        return Key::kOther;
    }
  }
  // A cursor key: ESC [ A, or ESC O A, with digits in between where Shift and the like are held.
  if (typed.size() < 2) return Key::kNone;
  if (typed[1] != '[' && typed[1] != 'O') {
    typed.erase(0, 1);
    return Key::kOther;
  }
  const std::size_t end = typed.find_first_not_of("0123456789;", 2);
  if (end == std::string::npos) return Key::kNone;
  const char final = typed[end];
  typed.erase(0, end + 1);
  return final == 'A' ? Key::kUp : final == 'B' ? Key::kDown : Key::kOther;
}

}  // namespace minerva::cli
