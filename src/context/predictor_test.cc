#include "context/predictor.h"

#include <gtest/gtest.h>

#include <string>

#include "context/core_fixture.h"

namespace minerva {
namespace {

class PredictorTest : public testing::Test {
 protected:
  // Makes one request for each character, ten seconds apart.
  void asks(UserId user, std::string_view models, Predictor& predictor) {
    for (const char model : models) {
      now_ += std::chrono::seconds(10);
      predictor.asked(user, std::string(1, model), now_);
    }
  }
  void asks(UserId user, std::string_view models) { asks(user, models, predictor_); }
  std::vector<Predictor::Guess> next(UserId user) const { return predictor_.next(user, 0); }
  double probability(UserId user, const ModelId& model) const {
    for (const Predictor::Guess& guess : next(user)) {
      if (guess.model == model) return guess.probability;
    }
    return 0;
  }

  TimePoint now_ = TimePoint(std::chrono::seconds(100));
  Predictor predictor_;
};

TEST_F(PredictorTest, KnowsNothingOfWhoNeverAsked) {
  EXPECT_TRUE(next(kAnn).empty());
  asks(kAnn, "a");
  EXPECT_TRUE(next(kBen).empty());
}

TEST_F(PredictorTest, AHabitIsFoundAndSaysWhy) {
  asks(kAnn, "abababacaba");
  const auto guesses = next(kAnn);
  ASSERT_FALSE(guesses.empty());
  EXPECT_EQ(guesses[0].model, "b");
  EXPECT_GT(guesses[0].probability, 0.5);
  EXPECT_EQ(guesses[0].after, "a");
  EXPECT_TRUE(guesses[0].by_user);
  // After "b" and "a" there were b, b and c.
  EXPECT_EQ(guesses[0].times, 2U);
  EXPECT_EQ(guesses[0].of, 3U);
  EXPECT_EQ(guesses[0].gap, std::chrono::seconds(10));
}

TEST_F(PredictorTest, TheLongerContextDecides) {
  asks(kAnn, "xabyacxabyacxa");  // after "a" alone, b and c are equally likely
  EXPECT_EQ(next(kAnn)[0].model, "b");
  asks(kAnn, "bya");
  EXPECT_EQ(next(kAnn)[0].model, "c");
}

TEST_F(PredictorTest, WhoIsNewDoesAsTheOthers) {
  asks(kAnn, "abababab");
  asks(kBen, "a");
  const auto guesses = next(kBen);
  ASSERT_FALSE(guesses.empty());
  EXPECT_EQ(guesses[0].model, "b");
  EXPECT_FALSE(guesses[0].by_user);
}

TEST_F(PredictorTest, AUsersOwnHabitGoesBeforeTheOthers) {
  asks(kAnn, "abababababababab");
  asks(kBen, "acacaca");
  EXPECT_EQ(next(kBen)[0].model, "c");
}

TEST_F(PredictorTest, UsersThatTakeTurnsDoNotMix) {
  for (int i = 0; i < 10; ++i) {
    asks(kAnn, "a");
    asks(kBen, "x");
    asks(kAnn, "b");
    asks(kBen, "y");
  }
  asks(kAnn, "a");
  EXPECT_EQ(next(kAnn)[0].model, "b");
  EXPECT_EQ(next(kBen)[0].model, "x");
}

TEST_F(PredictorTest, ProbabilitiesAreOfOneWhole) {
  asks(kBen, "abcdefgabdfgacegbadfaagcbeabcdagfe");
  asks(kAnn, "bcadbeaccbeadcbab");
  double sum = 0;
  double last = 1;
  for (const Predictor::Guess& guess : next(kAnn)) {
    EXPECT_LE(guess.probability, last);
    last = guess.probability;
    sum += guess.probability;
  }
  EXPECT_GT(sum, 0.8);
  EXPECT_LE(sum, 1);
  for (const Predictor::Guess& guess : predictor_.next(kAnn, 0.2)) EXPECT_GE(guess.probability, 0.2);
}

TEST_F(PredictorTest, OldHabitsFade) {
  for (int i = 0; i < 100; ++i) asks(kAnn, "ab");
  for (int i = 0; i < 60; ++i) asks(kAnn, "ac");
  asks(kAnn, "a");
  EXPECT_EQ(next(kAnn)[0].model, "c");
  EXPECT_GT(probability(kAnn, "c"), 3 * probability(kAnn, "b"));
}

TEST_F(PredictorTest, ForgetsTheUserSeenLongestAgo) {
  Predictor small({.users = 2, .contexts_of_all = 1});
  asks(kAnn, "ab", small);
  asks(kBen, "ab", small);
  asks(kAnn, "a", small);
  asks(UserId{3}, "ab", small);
  EXPECT_TRUE(small.next(kBen, 0).empty());
  EXPECT_EQ(small.next(kAnn, 0)[0].model, "b");
}

TEST_F(PredictorTest, RemembersTheMostFrequentFollowers) {
  Predictor small({.followers = 2});
  for (Predictor* const predictor : {&small, &predictor_}) {
    asks(kAnn, "abacadabaeafaba", *predictor);
    asks(kBen, "a", *predictor);
  }
  EXPECT_EQ(next(kBen).size(), 6U);
  // Two models after "a", and two of all.
  EXPECT_LE(small.next(kBen, 0).size(), 4U);
}

TEST(RecentMap, ForgetsWhatWasFoundLongestAgo) {
  RecentMap<int, int> map(2);
  map.find_or_make(1) = 10;
  map.find_or_make(2) = 20;
  map.find_or_make(1);
  map.find_or_make(3) = 30;
  EXPECT_EQ(map.size(), 2U);
  EXPECT_EQ(map.find(2), nullptr);
  EXPECT_EQ(*map.find(1), 10);
  EXPECT_EQ(*map.find(3), 30);
}

TEST_F(PredictorTest, TheSameHistorySaysTheSame) {
  Predictor other;
  TimePoint begin = now_;
  asks(kAnn, "abcabdabc");
  now_ = begin;
  asks(kAnn, "abcabdabc", other);
  const auto one = next(kAnn);
  const auto two = other.next(kAnn, 0);
  ASSERT_EQ(one.size(), two.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].model, two[i].model);
    EXPECT_EQ(one[i].probability, two[i].probability);
  }
}

}  // namespace
}  // namespace minerva
