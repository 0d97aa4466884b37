#include "server/sessions.h"

#include <gtest/gtest.h>

#include <vector>

namespace minerva {
namespace {

constexpr UserId kAlice{1};
constexpr UserId kBob{2};

TEST(Sessions, ATokenIsItsUsersUntilItIsClosed) {
  Sessions sessions;
  const TimePoint now = Clock::now();
  const std::string alice = sessions.open(kAlice, now);
  const std::string bob = sessions.open(kBob, now);
  EXPECT_EQ(alice.size(), 64U);
  EXPECT_NE(alice, bob);
  EXPECT_EQ(sessions.use(alice, now), kAlice);
  EXPECT_EQ(sessions.use(bob, now), kBob);
  EXPECT_EQ(sessions.use("", now), std::nullopt);
  EXPECT_EQ(sessions.use(alice.substr(1), now), std::nullopt);
  sessions.close(alice);
  sessions.close("nobody's");
  EXPECT_EQ(sessions.use(alice, now), std::nullopt);
  EXPECT_EQ(sessions.use(bob, now), kBob);
}

TEST(Sessions, AnIdleOneEnds) {
  Sessions sessions;
  const TimePoint start = Clock::now();
  const std::string token = sessions.open(kAlice, start);
  EXPECT_EQ(sessions.use(token, start + Sessions::kIdle / 2), kAlice);
  EXPECT_EQ(sessions.use(token, start + Sessions::kIdle), kAlice) << "it was used since";
  EXPECT_EQ(sessions.use(token, start + 2 * Sessions::kIdle), std::nullopt);
  EXPECT_EQ(sessions.use(token, start), std::nullopt) << "it is gone";
}

TEST(Sessions, AUserHasSoMany) {
  Sessions sessions;
  const TimePoint start = Clock::now();
  const std::string bob = sessions.open(kBob, start);
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i <= Sessions::kMostOfOneUser; ++i) {
    tokens.push_back(sessions.open(kAlice, start + std::chrono::seconds(i)));
  }
  const TimePoint now = start + std::chrono::minutes(1);
  EXPECT_EQ(sessions.use(tokens.front(), now), std::nullopt) << "the one that was used longest ago left";
  for (std::size_t i = 1; i < tokens.size(); ++i) EXPECT_EQ(sessions.use(tokens[i], now), kAlice) << i;
  EXPECT_EQ(sessions.use(bob, now), kBob) << "somebody else's";
}

TEST(Sessions, WhoseKeyIsGoneHasNone) {
  Sessions sessions;
  const TimePoint now = Clock::now();
  const std::string alice = sessions.open(kAlice, now);
  const std::string bob = sessions.open(kBob, now);
  sessions.keep([](UserId user) { return user == kBob; });
  EXPECT_EQ(sessions.use(alice, now), std::nullopt);
  EXPECT_EQ(sessions.use(bob, now), kBob);
}

}  // namespace
}  // namespace minerva
