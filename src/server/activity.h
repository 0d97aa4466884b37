// Activity: the inference requests in flight, and the latest that ended. GET /v1/requests shows them.
//
// A request notes its progress by a few stores. Speeds and fractions are computed only when somebody looks. Activity
// holds one entry for each request in flight, and kRecent ended ones.
// Threading: the loop's thread. Ownership: an Entry lives on its request's coroutine, with its Exchange; Activity
// outlives it. It decides nothing: its routes say who may see or cancel a request.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "api/activity.h"
#include "api/prompt_progress.h"
#include "api/token_counts.h"
#include "minerva/base/clock.h"
#include "minerva/base/ids.h"
#include "minerva/context/types.h"
#include "server/exchange.h"

namespace minerva {

class Activity {
 public:
  static constexpr std::size_t kRecent = 200;

  enum class Phase : std::uint8_t {
    kReceiving,   // the body arrives
    kWaiting,     // in the line of its model, or while the model is loaded or woken
    kReading,     // the engine reads the prompt; known of streams only
    kGenerating,  // the engine works on its answer
  };

  // One request, from its beginning to its end.
  class Entry {
   public:
    // `cancel`: ends the request soon. `shown`: false for a look, which is in no list.
    Entry(Activity& activity, const Exchange& exchange, bool shown, std::function<void()> cancel);
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry();

    void set_stream(bool stream) { stream_ = stream; }
    void enter(Phase phase);
    // The request has a lease: the engine reads its prompt from now on.
    void granted();
    // How far the engine has read the prompt.
    void reading(const api::ReadSoFar& so_far) { read_ = so_far; }
    // Takes the next piece of the engine's answer. The first piece with text of the answer ends the reading.
    void take(std::string_view piece);
    // To be called when bytes of the answer's body go out.
    void answering() {
      if (!first_byte_) first_byte_ = Clock::now();
    }

    Phase phase() const { return phase_; }
    const Exchange& exchange() const { return x_; }
    // The counts of the answer, as far as they are known.
    api::TokenCounts tokens(TimePoint now) const;
    api::InFlightAnswer answer(TimePoint now, api::WallTime wall) const;
    const std::function<void()>& canceller() const { return cancel_; }

   private:
    friend class Activity;
    api::RequestFacts facts(TimePoint now, api::WallTime wall) const;
    std::uint64_t events() const { return line_ends_ / lines_per_event_; }
    api::EndedAnswer ended(TimePoint now, api::WallTime wall) const;

    Activity& activity_;
    const Exchange& x_;
    std::function<void()> cancel_;
    std::optional<std::list<Entry*>::iterator> place_;  // nothing: the entry is not shown
    bool stream_ = false;
    Phase phase_ = Phase::kReceiving;
    TimePoint since_;  // the beginning of the phase
    std::optional<TimePoint> granted_;
    std::optional<TimePoint> first_byte_;
    std::optional<api::ReadSoFar> read_;
    // Each event of a stream is about one token. The first event shows how many lines an event has.
    std::uint64_t line_ends_ = 0;
    std::uint64_t lines_per_event_ = 2;
    api::AnswerEnd end_;
    std::uint64_t counted_ = 0;  // the tokens that take_generated() has returned
  };

  struct Ended {
    UserId user;
    api::EndedAnswer answer;
  };

  Activity() = default;
  Activity(const Activity&) = delete;
  Activity& operator=(const Activity&) = delete;

  const std::list<Entry*>& in_flight() const { return in_flight_; }  // the oldest first
  const std::deque<Ended>& recent() const { return recent_; }        // the latest first
  // nullptr: there is no such request.
  const Entry* find(std::string_view id) const;
  // How many tokens each model has generated since the last call. Of an answer that came as a whole, or that ended
  // since then, only as many as its speed makes in `span`.
  std::map<ModelId, double> take_generated(Duration span);

 private:
  std::list<Entry*> in_flight_;
  std::deque<Ended> recent_;
  // Of a request that ended since the last take_generated(): the tokens that were not returned yet, and their speed (0:
  // unknown).
  struct EndedTokens {
    double tokens = 0;
    double per_second = 0;
  };
  std::map<ModelId, std::vector<EndedTokens>> ended_tokens_;
};

}  // namespace minerva
