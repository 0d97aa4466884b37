#include "context/predictor.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace minerva {
namespace {

// In the average of the gaps, the latest gap counts for a quarter.
constexpr int kGapWeight = 4;
// The weight of the average that says whether a request came from the same user as the one before.
constexpr double kUserWeight = 32;

}  // namespace

std::size_t Predictor::KeyHash::operator()(const Key& key) const {
  constexpr std::size_t kOdd = 0x9e3779b97f4a7c15;  // 2^64 / the golden ratio
  const std::hash<ModelId> hash;
  return hash(key.first) * kOdd + hash(key.second);
}

Predictor::Predictor(const Limits& limits) : limits_(limits), users_(limits.users), of_all_(limits.contexts_of_all) {}

void Predictor::asked(UserId user, const ModelId& model, TimePoint now) {
  if (last_user_) same_user_ += ((user == *last_user_ ? 1 : 0) - same_user_) / kUserWeight;
  last_user_ = user;
  User& u = users_.find_or_make(user);
  if (!u.contexts) u.contexts.emplace(limits_.contexts_of_user);
  const Duration gap = u.last.empty() ? Duration::zero() : now - u.asked;
  for (Contexts* const contexts : {&*u.contexts, &of_all_}) {
    count(contexts->find_or_make({}), model, gap);
    if (!u.last.empty()) count(contexts->find_or_make({{}, u.last}), model, gap);
    if (!u.last_but_one.empty()) count(contexts->find_or_make({u.last_but_one, u.last}), model, gap);
  }
  u.last_but_one = std::exchange(u.last, model);
  u.asked = now;
}

void Predictor::count(Context& context, const ModelId& model, Duration gap) const {
  std::vector<Follower>& followers = context.followers;
  auto it = std::find_if(followers.begin(), followers.end(), [&](const Follower& f) { return f.model == model; });
  if (it == followers.end()) {
    if (followers.size() == limits_.followers) {
      it = std::min_element(followers.begin(), followers.end(),
                            [](const Follower& a, const Follower& b) { return a.count < b.count; });
      context.seen -= it->count;
      followers.erase(it);
    }
    it = followers.insert(followers.end(), {model, 0, gap});
  }
  it->count += 1;
  it->gap += (gap - it->gap) / kGapWeight;
  context.seen += 1;
  if (context.seen < limits_.most_seen) return;
  context.seen = 0;
  for (Follower& f : followers) context.seen += f.count /= 2;
  // What was seen once, long ago, is not a habit.
  std::erase_if(followers, [&](const Follower& f) {
    const bool faded = f.count < 0.5;
    if (faded) context.seen -= f.count;
    return faded;
  });
}

void Predictor::blend(const Contexts& contexts, const Key& key, bool by_user, double& left,
                      std::vector<Guess>& guesses) const {
  const Context* const context = contexts.find(key);
  if (context == nullptr || context->followers.empty()) return;
  const auto kinds = static_cast<double>(context->followers.size());
  const double share = left / (context->seen + kinds);
  for (const Follower& f : context->followers) {
    auto it = std::find_if(guesses.begin(), guesses.end(), [&](const Guess& g) { return g.model == f.model; });
    if (it == guesses.end()) it = guesses.insert(guesses.end(), {.model = f.model});
    const double says = share * f.count;
    it->probability += says;
    if (says <= it->said_most) continue;
    it->said_most = says;
    it->after = key.second;
    it->by_user = by_user;
    it->times = static_cast<unsigned>(std::lround(f.count));
    it->of = static_cast<unsigned>(std::lround(context->seen));
    it->gap = f.gap;
  }
  left = share * kinds;
}

std::vector<Predictor::Guess> Predictor::next(UserId user, double least) const {
  std::vector<Guess> guesses;
  const User* const u = users_.find(user);
  if (u == nullptr) return guesses;
  const Key two{u->last_but_one, u->last};
  const Key one{{}, u->last};
  double left = same_user_;
  for (const bool by_user : {true, false}) {
    const Contexts& contexts = by_user ? *u->contexts : of_all_;
    if (!u->last_but_one.empty()) blend(contexts, two, by_user, left, guesses);
    blend(contexts, one, by_user, left, guesses);
  }
  // What other users did after the same request says more than what this user does in general.
  blend(*u->contexts, {}, /*by_user=*/true, left, guesses);
  double anybody = left + 1 - same_user_;
  blend(of_all_, {}, /*by_user=*/false, anybody, guesses);
  std::erase_if(guesses, [&](const Guess& g) { return g.probability < least; });
  std::sort(guesses.begin(), guesses.end(), [](const Guess& a, const Guess& b) {
    return a.probability != b.probability ? a.probability > b.probability : a.model < b.model;
  });
  return guesses;
}

}  // namespace minerva
