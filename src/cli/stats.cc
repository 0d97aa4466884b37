// minerva stats: the statistics of the cache, and the memory.
#include <fmt/format.h>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

void print_stats(const nlohmann::json& answer) {
  const nlohmann::json& cache = object_of(answer, "cache");
  const auto count = [&](const char* field) { return number_of(cache, field); };
  const std::string loaded = joined(list_of(answer, "loaded_models"));
  const double memory = number_of(answer, "estimated_memory_mb");
  const double budget = number_of(answer, "memory_budget_mb");
  fmt::print("loaded     {:.0f}{}\n", number_of(answer, "total_loaded"),
             loaded.empty() ? "" : " (" + printable(loaded) + ")");
  const nlohmann::json parked = parked_models(answer);
  fmt::print("parked     {}{}\n", parked.size(), parked.empty() ? "" : " (" + printable(joined(parked)) + ")");
  fmt::print("memory     {} of {}{}{}\n", format_mib(memory), format_mib(budget),
             budget > 0 ? fmt::format(" ({:.0f}%)", 100 * memory / budget) : "",
             flag_of(answer, "memory_pressure") ? ", under pressure" : "");
  for (const nlohmann::json& pool : list_of(answer, "pools")) {
    const double others = number_of(pool, "memory_budget_mb") - number_of(pool, "available_mb");
    fmt::print("  {:8} {} of {}{}\n", printable(text_of(pool, "id")), format_mib(number_of(pool, "memory_mb")),
               format_mib(number_of(pool, "memory_budget_mb")),
               others > 0 ? fmt::format(", other programs have {} of it", format_mib(others)) : "");
  }
  fmt::print("policy     {}\n", printable(text_of(cache, "policy")));
  fmt::print("lookups    {:.0f} hits, {:.0f} misses ({:.1f}% hits)\n", count("hits"), count("misses"),
             count("hit_rate"));
  fmt::print("evictions  {:.0f}\n", count("evictions"));
  fmt::print("preloads   {:.0f}\n", count("preloads"));
}

}  // namespace

void add_stats(CLI::App& app, Session& session) {
  add_command(app, session, "stats", "Show cache statistics and memory", [](HttpClient& client, Session& current) {
    return show(current, client.call({"GET", "/v1/models/stats", {}, {}}), print_stats);
  });
}

}  // namespace minerva::cli
