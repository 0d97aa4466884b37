// Predictor: says which model is asked for next, from what was asked for before. Pure counting.
//
// The next request is either of the user who asked last, and then it follows from that user's earlier requests; or it
// is of anybody, and then it is for what is asked for most. How likely the first case is, is counted too.
// A user's requests are predicted by a Markov model of the second, first and zeroth order, of the user's own requests
// and of everybody's. Each order counts what followed the same two requests, the same one, or any. The orders are
// blended by escape (PPM-C: Moffat, "Implementing the PPM data compression scheme", 1990): a context counts as much as
// it has seen, and the rest of the probability goes to the next context. Everybody's requests are the sequences that
// each user made, not the order in which requests of different users happened to mix.
//
// Old counts fade: a context that has seen much is halved. Memory is bounded: the users, contexts and followers that
// were seen longest ago, or least, are forgotten.
//
// Threading: one thread. Its answers depend only on what it was told.
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

// A map of bounded size that forgets the entry that was found or made longest ago.
template <typename Key, typename Value, typename Hash = std::hash<Key>>
class RecentMap {
 public:
  explicit RecentMap(std::size_t most) : most_(most) {}

  // The reference is valid until the next call.
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
    std::size_t followers = 16;  // of each context
    double most_seen = 64;       // by one context before it is halved
  };
  Predictor() : Predictor(Limits()) {}
  explicit Predictor(const Limits& limits);

  // `user` asked for `model`.
  void asked(UserId user, const ModelId& model, TimePoint now);

  struct Guess {
    ModelId model;
    double probability = 0;
    // What contributes most to the probability: after `after` (empty: after any request), `times` of `of` requests were
    // for this model, and they came `gap` later on average.
    ModelId after{};
    bool by_user = false;  // counted among this user's requests; otherwise among everybody's
    unsigned times = 0;
    unsigned of = 0;
    Duration gap{};
    double said_most = 0;  // that part of the probability
  };
  // What is asked for next if `user` asked last: the most probable model first, down to the probability `least`.
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
  using Key = std::pair<ModelId, ModelId>;  // the last request but one, and the last; empty: any
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
  double same_user_ = 1;  // the share of requests, lately, that came from the same user as the request before
  RecentMap<UserId, User> users_;
  Contexts of_all_;
};

}  // namespace minerva
