// Predictor: which model is asked for next, from what was asked for before. Pure counting.
//
// As likely as it was so far, the next request is of the user who asked last, and follows from what he asked before;
// otherwise it is anybody's, for what is asked for most.
// What he asks is a Markov model of the second, first and zeroth order, of his own requests and of everybody's. Each
// order counts what followed the same two requests, the same one, or any; they are blended by escape (PPM-C: Moffat,
// "Implementing the PPM data compression scheme", 1990): a context counts as much as it has seen, and what is left goes
// to the next one. What everybody did is what each of them did in a row, not how their requests happened to mix.
//
// Old counts fade: a context that has seen much is halved. Memory is bounded: the users, contexts and followers seen
// longest ago, or least, are forgotten.
//
// Threading: one thread. It depends on nothing but what it was told.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "minerva/base/clock.h"
#include "minerva/base/ids.h"

namespace minerva {

// A map that forgets the entry found or made longest ago.
template <typename Key, typename Value, typename Hash = std::hash<Key>>
class RecentMap {
 public:
  explicit RecentMap(std::size_t most) : most_(most) {}

  // Valid until the next call.
  Value& find_or_make(const Key& key) {
    if (const auto it = places_.find(key); it != places_.end()) {
      entries_.splice(entries_.begin(), entries_, it->second);
      return it->second->second;
    }
    if (entries_.size() == most_) {
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    entries_.emplace_front(key, Value());
    places_.emplace(key, entries_.begin());
    return entries_.front().second;
  }
  // nullptr if there is none.
  const Value* find(const Key& key) const {
    const auto it = places_.find(key);
    return it == places_.end() ? nullptr : &it->second->second;
  }
  std::size_t size() const { return entries_.size(); }

 private:
  using Entries = std::list<std::pair<Key, Value>>;
  std::size_t most_;
  Entries entries_;  // the latest first
  std::unordered_map<Key, typename Entries::iterator, Hash> places_;
};

class Predictor {
 public:
  struct Limits {
    std::size_t users = 256;
    std::size_t contexts_of_user = 64;
    std::size_t contexts_of_all = 4096;
    std::size_t followers = 16;  // of one context
    double most_seen = 64;       // by one context, before it is halved
  };
  Predictor() : Predictor(Limits()) {}
  explicit Predictor(const Limits& limits);

  // `user` asked for `model`.
  void asked(UserId user, const ModelId& model, TimePoint now);

  struct Guess {
    ModelId model;
    double probability = 0;
    // What says so most: after `after` (empty: whatever came before), `times` of `of` requests were for it, which came
    // after `gap` on average.
    ModelId after{};
    bool by_user = false;  // of this user's; otherwise of everybody's
    unsigned times = 0;
    unsigned of = 0;
    Duration gap{};
    double said_most = 0;  // the part of the probability that this says
  };
  // What is asked for next if `user` asked last, the most probable first, down to `least` of probability.
  std::vector<Guess> next(UserId user, double least) const;

 private:
  struct Follower {
    ModelId model;
    double count = 0;
    Duration gap{};  // moving average
  };
  struct Context {
    std::vector<Follower> followers;
    double seen = 0;
  };
  using Key = std::pair<ModelId, ModelId>;  // the last but one and the last; empty: whatever it was
  struct KeyHash {
    std::size_t operator()(const Key& key) const;
  };
  using Contexts = RecentMap<Key, Context, KeyHash>;
  struct User {
    ModelId last_but_one;
    ModelId last;
    TimePoint asked{};
    std::optional<Contexts> contexts;
  };

  void count(Context& context, const ModelId& model, Duration gap) const;
  void blend(const Contexts& contexts, const Key& key, bool by_user, double& left, std::vector<Guess>& guesses) const;

  Limits limits_;
  std::optional<UserId> last_user_;
  double same_user_ = 1;  // how often a request is of the same user as the one before, lately
  RecentMap<UserId, User> users_;
  Contexts of_all_;
};

}  // namespace minerva
