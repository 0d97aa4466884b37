#include "host/background_inspection.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace minerva {
namespace {

// How long to wait before checking again whether somebody waits.
constexpr auto kPause = std::chrono::milliseconds(500);
constexpr unsigned kMostFailures = 3;
constexpr std::size_t kMostRemembered = 10'000;

std::string file_of(const ModelSpec& spec) { return spec.path + '\x1f' + spec.identity; }

}  // namespace

void BackgroundInspection::look() {
  if (failures_.size() > kMostRemembered) failures_.clear();
  queue_.clear();
  for (ModelSpec& spec : catalog_.unknown()) {
    const auto failed = failures_.find(file_of(spec));
    if (failed == failures_.end() || failed->second < kMostFailures) queue_.push_back(std::move(spec));
  }
  next();
}

void BackgroundInspection::next() {
  if (at_work_) return;
  // A request may have caused its inspection meanwhile.
  while (!queue_.empty() && catalog_.metadata(queue_.front()) != nullptr) queue_.pop_front();
  if (queue_.empty()) return;
  if (!nobody_waits_()) {
    pause_.arm(Clock::now() + kPause, [this] { next(); });
    return;
  }
  const ModelSpec spec = std::move(queue_.front());
  queue_.pop_front();
  at_work_ = true;
  catalog_.inspect_idly(spec, [this, alive = alive_, spec](const Result<ModelMetadata>& result) {
    if (*alive) inspected(spec, result);
  });
}

void BackgroundInspection::inspected(const ModelSpec& spec, const Result<ModelMetadata>& result) {
  at_work_ = false;
  // look() may have been called meanwhile.
  std::erase_if(queue_, [&](const ModelSpec& other) { return other.path == spec.path && other.id == spec.id; });
  if (!result && result.error().code == ErrorCode::kCancelled) {
    queue_.push_back(spec);
  } else if (!result && result.error().code != ErrorCode::kInvalidModel) {
    if (++failures_[file_of(spec)] < kMostFailures) queue_.push_back(spec);
    log::debug({{"model", spec.id}}, "{} is not inspected ahead: {}", spec.id, result.error().message);
  }
  next();
}

}  // namespace minerva
