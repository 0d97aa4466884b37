// Models are loaded before anybody asks for them, because they are likely to be asked for (predictor.h).
//
// A guess gets only what nothing else needs. It is acted on when nothing at all goes on, takes only free room, and
// leaves before everything else does. A load on a guess ends when a request waits for another model, and a model that
// was loaded on a guess is the first victim until somebody has used it. So a model that is in memory without guesses is
// there with them too. Nor does a guess count as a use, and its failures do not count against the model.
#include <fmt/format.h>

#include <algorithm>

#include "context/impl.h"
#include "context/planted_bug.h"

namespace minerva {
namespace {

// Below this probability there is no guess. Measured, see ADR 16.
constexpr double kLeastProbability = 0.05;
constexpr std::size_t kMostOnPaper = 8;

std::string why(const Predictor::Guess& guess) {
  const std::string_view who = guess.by_user ? "this user" : "users";
  if (guess.after.empty()) return fmt::format("{} asked for it {} of {} times", who, guess.times, guess.of);
  return fmt::format("after {} {} asked for it {} of {} times", in_quotes(guess.after), who, guess.times, guess.of);
}

}  // namespace

void ContextManager::Impl::predict() {
  if (!asked_last_ || (!state_.options.prediction.preload && !state_.options.prediction.read_ahead)) return;
  if (state_.queue.size() > 0 || !state_.leases.empty() || state_.draining || state_.pressure) return;
  check_paper();
  const std::vector<Predictor::Guess> guesses = predictor_.next(*asked_last_, kLeastProbability);
  for (const Predictor::Guess& guess : guesses) {
    Model* const m = find_known(guess.model);
    if (m == nullptr || !may_be_guessed(*m)) continue;
    if (!state_.no_model_moves()) return;
    if (state_.options.prediction.preload && state_.ledger.now().fits(state_.lacking(*m))) {
      if (!score_.paused()) return start_guess(*m, why(guess));
      note_on_paper(*m);
    } else if (state_.options.prediction.read_ahead && !std::exchange(m->read_on_guess, true)) {
      actions_.emplace_back(ReadAhead{m->id, /*likely=*/true});
    }
  }
  asked_last_.reset();
}

bool ContextManager::Impl::may_be_guessed(const Model& m) const {
  const bool out = m.state() == ModelState::kCold || m.state() == ModelState::kParked;
  // A pinned model would stay for good. A model that fails is left to the requests for it.
  return out && !m.run.stalled && !m.pinned && !m.last_failure && !m.failed_on_guess;
}

void ContextManager::Impl::start_guess(Model& m, std::string reason) {
  const bool wakes = m.state() == ModelState::kParked;
  m.guess = {.why = std::move(reason), .woken = wakes};
  if (wakes) return wake(m);
  m.eager = state_.queue.next_place();
  start_inspection(m);
}

void ContextManager::Impl::guess_used(Model& m) {
  // While the model is prepared, the request may still go away.
  if (!m.guess || m.preparing()) return;
  const bool woken = m.guess->woken;
  m.guess.reset();
  m.eager.reset();
  ++guesses_.used;
  const Duration whole = woken ? state_.usual_wake_time(m) : state_.usual_load_time(m);
  guesses_.saved += m.state() == ModelState::kHot ? whole : state_.now - m.started();
  score_.count(/*right=*/true);
}

void ContextManager::Impl::guess_wasted(Model& m) {
  if (!m.guess) return;
  m.guess.reset();
  ++guesses_.wasted;
  guesses_.wasted_bytes += m.footprint.total();
  score_.count(/*right=*/false);
}

void ContextManager::Impl::guess_failed(Model& m) {
  m.eager.reset();
  m.failed_on_guess = true;
}

// ---- on paper ----

void ContextManager::Impl::note_on_paper(const Model& m) {
  const bool there =
      std::any_of(on_paper_.begin(), on_paper_.end(), [&](const PaperGuess& guess) { return guess.model == m.id; });
  // How much room one takes that was never inspected is not known.
  if (there || m.footprint == Footprint()) return;
  if (on_paper_.size() == kMostOnPaper) {
    on_paper_.erase(on_paper_.begin());
    score_.count(/*right=*/false);
  }
  on_paper_.push_back({m.id, state_.lacking(m)});
}

void ContextManager::Impl::asked_on_paper(const ModelId& model) {
  const auto it =
      std::find_if(on_paper_.begin(), on_paper_.end(), [&](const PaperGuess& guess) { return guess.model == model; });
  if (it == on_paper_.end()) return;
  on_paper_.erase(it);
  score_.count(/*right=*/true);
}

void ContextManager::Impl::check_paper() {
  if (!score_.paused()) on_paper_.clear();
  Room room = state_.ledger.now();
  std::erase_if(on_paper_, [&](const PaperGuess& guess) {
    const bool gone = !room.fits(guess.needs);
    if (gone) score_.count(/*right=*/false);
    room.take(guess.needs);
    return gone;
  });
}

}  // namespace minerva
