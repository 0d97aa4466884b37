#include "cachesim/report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace minerva::cachesim {
namespace {

constexpr double kPercent = 100;

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kPolicy:
      return "policy";
    case Kind::kClairvoyant:
      return "clairvoyant";
    case Kind::kBound:
      return "bound";
    case Kind::kInfinite:
      break;
  }
  return "infinite";
}

std::string label_of(const Row& row, const Table& table) {
  switch (row.kind) {
    case Kind::kClairvoyant:
      return row.name + (row.name == table.best_clairvoyant ? " (clairvoyant, best)" : " (clairvoyant)");
    case Kind::kBound:
      return row.name + " (lower bound)";
    case Kind::kPolicy:
    case Kind::kInfinite:
      break;
  }
  return row.name;
}

std::string line_of(const Row& row, const Table& table, bool timed) {
  std::string line = fmt::format("{:<38}", label_of(row, table));
  if (timed) line += fmt::format("{:>10.3f} {:>8.3f}", row.wait_s.mean, row.wait_s.deviation);
  line += fmt::format(" {:>12.1f} {:>10.1f}", row.cold_wait_s.mean, row.cold_wait_s.deviation);
  if (row.kind == Kind::kBound) return line + '\n';
  line +=
      fmt::format(" {:>7.2f} {:>11.1f} {:>8.2f} {:>8.2f}", row.hit_rate, row.loaded_gb, row.p50_wait_s, row.p99_wait_s);
  if (row.gap_closed) line += fmt::format(" {:>9.1f} %", *row.gap_closed * kPercent);
  line += '\n';
  if (const auto& guesses = row.guesses) {
    line +=
        fmt::format("    preloaded {:.0f}: {:.0f} were used and saved {:.1f} s, {:.0f} left unused with {:.1f} GB\n",
                    guesses->made, guesses->used, guesses->saved_s, guesses->wasted, guesses->wasted_gb);
  }
  return line;
}

nlohmann::json json_of(const Row& row) {
  const auto spread = [](const Spread& s) { return nlohmann::json{{"mean", s.mean}, {"deviation", s.deviation}}; };
  nlohmann::json json = {{"name", row.name}, {"kind", kind_name(row.kind)}, {"cold_wait_s", spread(row.cold_wait_s)}};
  if (row.kind != Kind::kBound) {
    json["hit_rate_percent"] = row.hit_rate;
    json["loaded_gb"] = row.loaded_gb;
    json["wait_s"] = spread(row.wait_s);
    json["p50_wait_s"] = row.p50_wait_s;
    json["p99_wait_s"] = row.p99_wait_s;
  }
  if (const auto& guesses = row.guesses) {
    json["predictions"] = {{"made", guesses->made},
                           {"used", guesses->used},
                           {"wasted", guesses->wasted},
                           {"saved_s", guesses->saved_s},
                           {"wasted_gb", guesses->wasted_gb}};
  }
  if (row.gap_closed) json["gap_closed"] = *row.gap_closed;
  return json;
}

}  // namespace

std::string to_text(const Report& report) {
  std::string text = fmt::format("{} requests, {} models, {} seed{}, {}\n", report.requests, report.models,
                                 report.seeds, report.seeds == 1 ? "" : "s", report.timed ? "timed" : "closed loop");
  for (const Table& table : report.tables) {
    text += fmt::format("\ncapacity {} % of all bytes, {:.1f} GB\n{:<38}", table.capacity, table.capacity_gb, "policy");
    if (report.timed) text += fmt::format("{:>10} {:>8}", "wait s", "+-");
    text += fmt::format(" {:>12} {:>10} {:>7} {:>11} {:>8} {:>8} {:>11}\n", "cold-wait s", "+-", "hit %", "GB loaded",
                        "p50 s", "p99 s", "gap closed");
    for (const Row& row : table.rows) text += line_of(row, table, report.timed);
  }
  return text;
}

std::string to_json(const Report& report) {
  nlohmann::json tables = nlohmann::json::array();
  for (const Table& table : report.tables) {
    nlohmann::json rows = nlohmann::json::array();
    for (const Row& row : table.rows) rows.push_back(json_of(row));
    tables.push_back({{"capacity_percent", table.capacity},
                      {"capacity_gb", table.capacity_gb},
                      {"best_clairvoyant", table.best_clairvoyant},
                      {"rows", std::move(rows)}});
  }
  constexpr int kIndent = 2;
  return nlohmann::json{{"requests", report.requests},
                        {"models", report.models},
                        {"seeds", report.seeds},
                        {"mode", report.timed ? "timed" : "closed_loop"},
                        {"tables", std::move(tables)}}
             .dump(kIndent) +
         "\n";
}

}  // namespace minerva::cachesim
