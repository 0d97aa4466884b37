#include "cli/verdict.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/terminal.h"
#include "minerva/base/check.h"

namespace minerva::cli {
namespace {

using cachesim::Kind;
using cachesim::Row;

constexpr double kPercent = 100;

double wait_of(const Row& row) { return row.cold_wait_s.mean; }

std::string share_text(double share) {
  const double percent = kPercent * share;
  return percent < 1 ? "less than 1%" : fmt::format("{:.0f}%", percent);
}

}  // namespace

Verdict verdict(const cachesim::Table& table, const std::string& in_use) {
  const Row* used = nullptr;
  const Row* best = nullptr;
  double bound = 0;
  for (const Row& row : table.rows) {
    if (row.kind == Kind::kBound) bound = std::max(bound, wait_of(row));
    if (row.kind != Kind::kPolicy) continue;
    if (row.name == in_use) used = &row;
    if (best == nullptr || wait_of(row) < wait_of(*best)) best = &row;
  }
  check(used != nullptr, "the policy in use was not measured");
  const double wait = wait_of(*used);
  if (wait_of(*best) >= wait) best = used;
  Verdict result{.best = best->name, .saves_s = wait - wait_of(*best), .sentence = {}};
  const bool all_same = std::all_of(table.rows.begin(), table.rows.end(),
                                    [&](const Row& row) { return row.kind != Kind::kPolicy || wait_of(row) == wait; });
  const double most = wait > 0 ? std::max(wait - bound, 0.0) / wait : 0;
  if (all_same) {
    result.sentence = "The policy made no difference: with each of them the same had to be loaded.";
  } else if (best == used) {
    result.sentence = fmt::format("{}, which is in use, would have been the best of them with {} of waiting for loads.",
                                  in_use, format_seconds(wait));
  } else {
    result.sentence =
        fmt::format("{} would have been best: {} of waiting for loads instead of {} with {}, {} less.", best->name,
                    format_seconds(wait_of(*best)), format_seconds(wait), in_use, share_text(result.saves_s / wait));
  }
  if (all_same || bound <= 0) return result;
  result.sentence += fmt::format(" No policy could have saved more than {}.", share_text(most));
  return result;
}

}  // namespace minerva::cli
