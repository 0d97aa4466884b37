#include "server/activity.h"

#include <algorithm>
#include <utility>

#include "api/query.h"

namespace minerva {
namespace {

constexpr std::size_t kMaxPath = 200;  // bytes of the path that are shown
constexpr std::uint64_t kNamedEventLines = 3;

api::WallTime wall_of(TimePoint when, TimePoint now, api::WallTime wall) {
  return wall - std::chrono::duration_cast<std::chrono::system_clock::duration>(now - when);
}

std::string_view phase_name(Activity::Phase phase) {
  switch (phase) {
    case Activity::Phase::kReceiving:
      return "receiving";
    case Activity::Phase::kWaiting:
      return "waiting";
    case Activity::Phase::kReading:
      return "reading";
    case Activity::Phase::kGenerating:
      break;
  }
  return "generating";
}

}  // namespace

Activity::Entry::Entry(Activity& activity, const Exchange& exchange, bool shown, std::function<void()> cancel)
    : activity_(activity), x_(exchange), cancel_(std::move(cancel)), since_(exchange.arrived) {
  if (shown) place_ = activity_.in_flight_.insert(activity_.in_flight_.end(), this);
}

Activity::Entry::~Entry() {
  if (!place_) return;
  activity_.in_flight_.erase(*place_);
  if (activity_.recent_.size() >= kRecent) activity_.recent_.pop_back();
  activity_.recent_.push_front({x_.caller.user, ended(Clock::now(), std::chrono::system_clock::now())});
  const api::TokenCounts& tokens = activity_.recent_.front().answer.tokens;
  if (const std::uint64_t generated = tokens.generated.value_or(0); generated > counted_ && !x_.model.empty()) {
    activity_.ended_tokens_[x_.model].push_back(
        {static_cast<double>(generated - counted_), tokens.per_second.value_or(0)});
  }
}

void Activity::Entry::enter(Phase phase) {
  phase_ = phase;
  since_ = Clock::now();
}

void Activity::Entry::granted() {
  granted_ = Clock::now();
  // Only a stream shows when the engine has read the prompt.
  enter(stream_ ? Phase::kReading : Phase::kGenerating);
}

void Activity::Entry::take(std::string_view piece) {
  end_.take(piece);
  if (!stream_) return;
  if (phase_ == Phase::kReading) {
    if (!api::begins_answer(piece)) return;
    if (piece.starts_with("event:")) lines_per_event_ = kNamedEventLines;
    enter(Phase::kGenerating);
  }
  line_ends_ += static_cast<std::uint64_t>(std::count(piece.begin(), piece.end(), '\n'));
}

api::TokenCounts Activity::Entry::tokens(TimePoint now) const {
  api::TokenCounts tokens;
  if (read_) {
    tokens.prompt = read_->total;
    tokens.cached = read_->cached;
  }
  if (phase_ == Phase::kReading && read_ && read_->seconds > 0) {
    tokens.per_second = static_cast<double>(read_->tokens - read_->cached) / read_->seconds;
  }
  if (phase_ != Phase::kGenerating || !stream_) return tokens;
  tokens.generated = events();
  const double seconds = std::chrono::duration<double>(now - since_).count();
  if (*tokens.generated > 1 && seconds > 0) tokens.per_second = static_cast<double>(*tokens.generated) / seconds;
  return tokens;
}

api::RequestFacts Activity::Entry::facts(TimePoint now, api::WallTime wall) const {
  api::RequestFacts facts;
  facts.id = x_.request_id;
  facts.model = x_.model;
  if (!x_.caller_name.empty()) facts.caller = x_.caller_name;
  facts.path = api::split_target(x_.request.target).path.substr(0, kMaxPath);
  facts.stream = stream_;
  facts.began = wall_of(x_.arrived, now, wall);
  return facts;
}

api::InFlightAnswer Activity::Entry::answer(TimePoint now, api::WallTime wall) const {
  api::InFlightAnswer answer;
  answer.request = facts(now, wall);
  answer.phase = phase_name(phase_);
  if (phase_ == Phase::kReading && read_) answer.fraction = read_->fraction();
  answer.tokens = tokens(now);
  answer.in_phase = now - since_;
  answer.in_all = now - x_.arrived;
  return answer;
}

api::EndedAnswer Activity::Entry::ended(TimePoint now, api::WallTime wall) const {
  api::EndedAnswer answer;
  answer.request = facts(now, wall);
  answer.status = x_.status;
  answer.waited = granted_.value_or(now) - x_.arrived;
  answer.took = now - x_.arrived;
  if (first_byte_) answer.first_byte = *first_byte_ - x_.arrived;
  answer.tokens = end_.counts();
  // An answer that was cut off has no counts at its end: take those that were seen on the way.
  const api::TokenCounts seen = tokens(now);
  if (!answer.tokens.prompt) answer.tokens.prompt = seen.prompt;
  if (!answer.tokens.cached) answer.tokens.cached = seen.cached;
  if (!answer.tokens.generated) answer.tokens.generated = seen.generated;
  if (!answer.tokens.per_second && phase_ == Phase::kGenerating) answer.tokens.per_second = seen.per_second;
  return answer;
}

const Activity::Entry* Activity::find(std::string_view id) const {
  const auto found =
      std::find_if(in_flight_.begin(), in_flight_.end(), [&](const Entry* e) { return e->x_.request_id == id; });
  return found == in_flight_.end() ? nullptr : *found;
}

std::map<ModelId, double> Activity::take_generated(Duration span) {
  const double seconds = std::chrono::duration<double>(span).count();
  std::map<ModelId, double> generated;
  for (const auto& [model, ends] : std::exchange(ended_tokens_, {})) {
    for (const EndedTokens& end : ends) {
      generated[model] += end.per_second > 0 ? std::min(end.tokens, end.per_second * seconds) : end.tokens;
    }
  }
  for (Entry* const entry : in_flight_) {
    const std::uint64_t now = entry->tokens(Clock::now()).generated.value_or(0);
    if (now <= entry->counted_) continue;
    generated[entry->x_.model] += static_cast<double>(now - entry->counted_);
    entry->counted_ = now;
  }
  return generated;
}

}  // namespace minerva
