// Activity: the inference requests in flight, and the latest that ended. What GET /v1/requests shows.
//
// A request notes where it stands by a store or two; speeds and fractions are made for whoever looks. It holds as many
// entries as there are requests, and kRecent that ended.
// Threading: the loop's thread. Ownership: an Entry lives on its request's coroutine, with its Exchange; the table
// outlives it. It decides nothing: who may see or cancel what is for its routes to say.
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
    kReceiving,   // its body is on its way in
    kWaiting,     // for its model: in line, or while that is loaded or woken
    kReading,     // the engine reads its prompt, as far as that is known: of a stream
    kGenerating,  // the engine works on its answer
  };

  // One request, from its making to its end.
  class Entry {
   public:
    // `cancel`: ends the request, soon. `shown`: false for what is no use of a model, and is in no list.
    Entry(Activity& activity, const Exchange& exchange, bool shown, std::function<void()> cancel);
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry();

    void set_stream(bool stream) { stream_ = stream; }
    void enter(Phase phase);
    // It has its model: an engine reads its prompt from now on.
    void granted();
    // How far the engine has read the prompt.
    void reading(const api::ReadSoFar& so_far) { read_ = so_far; }
    // The next piece of the engine's answer. The first that says something ends the reading.
    void take(std::string_view piece);
    // A byte of the answer's body goes out.
    void answering() {
      if (!first_byte_) first_byte_ = Clock::now();
    }

    Phase phase() const { return phase_; }
    const Exchange& exchange() const { return x_; }
    // Of the answer, as far as they are known.
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
    std::optional<std::list<Entry*>::iterator> place_;  // nothing: it is not shown
    bool stream_ = false;
    Phase phase_ = Phase::kReceiving;
    TimePoint since_;  // it is in that phase
    std::optional<TimePoint> granted_;
    std::optional<TimePoint> first_byte_;
    std::optional<api::ReadSoFar> read_;
    // Of a stream each event is about a token; how many lines an event has is seen in the first.
    std::uint64_t line_ends_ = 0;
    std::uint64_t lines_per_event_ = 2;
    api::AnswerEnd end_;
    std::uint64_t told_ = 0;  // by take_generated()
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
  // nullptr: there is none.
  const Entry* find(std::string_view id) const;
  // Tokens by model, as they were generated since the last call. Of an answer that came as a whole, or ended in
  // between, as many as its speed has for `span`.
  std::map<ModelId, double> take_generated(Duration span);

 private:
  std::list<Entry*> in_flight_;
  std::deque<Ended> recent_;
  // Of those that ended since take_generated(): what was not told yet, and how fast it came (0: that is not known).
  struct Untold {
    double tokens = 0;
    double per_second = 0;
  };
  std::map<ModelId, std::vector<Untold>> untold_;
};

}  // namespace minerva
