#include "catalog/context_search.h"

#include <algorithm>

#include "minerva/base/check.h"

namespace minerva {
namespace {

unsigned whole_steps(double context) {
  return static_cast<unsigned>(context / ContextSearch::kStep) * ContextSearch::kStep;
}

}  // namespace

ContextSearch::ContextSearch(Bytes room, unsigned context, Bytes footprint)
    : room_(room), too_large_{context, footprint} {}

std::optional<unsigned> ContextSearch::next() const {
  if (questions_ >= kMostQuestions) return std::nullopt;
  if (!fits_) {
    // The smallest one second: when even that is too large, nothing more is asked.
    if (too_large_.context <= kSmallest) return std::nullopt;
    return questions_ == 0 ? std::max(kSmallest, whole_steps(too_large_.context / 2.0)) : kSmallest;
  }
  const unsigned least = fits_->context + kStep;
  if (least >= too_large_.context) return std::nullopt;
  const unsigned most = whole_steps(too_large_.context - 1.0);
  const auto number = [](Bytes bytes) { return static_cast<double>(bytes.count()); };
  const double share =
      number(room_ - fits_->footprint) / std::max(1.0, number(too_large_.footprint - fits_->footprint));
  const double meets = fits_->context + std::min(share, 1.0) * (too_large_.context - fits_->context);
  return std::clamp(whole_steps(meets), least, std::max(least, most));
}

void ContextSearch::take(Bytes footprint) {
  const std::optional<unsigned> asked = next();
  check(asked.has_value(), "an answer to no question");
  ++questions_;
  if (footprint <= room_) {
    fits_ = Known{*asked, footprint};
  } else {
    too_large_ = Known{*asked, footprint};
  }
}

std::optional<unsigned> ContextSearch::best() const { return fits_ ? std::optional(fits_->context) : std::nullopt; }

}  // namespace minerva
