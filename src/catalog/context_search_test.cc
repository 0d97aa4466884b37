#include "catalog/context_search.h"

#include <gtest/gtest.h>

#include <functional>

namespace minerva {
namespace {

struct Found {
  std::optional<unsigned> context;
  unsigned questions = 0;
};

Found search(Bytes room, unsigned context, const std::function<Bytes(unsigned)>& footprint) {
  ContextSearch search(room, context, footprint(context));
  Found found;
  while (const auto next = search.next()) {
    EXPECT_GE(*next, ContextSearch::kSmallest);
    EXPECT_LT(*next, context);
    search.take(footprint(*next));
    ++found.questions;
  }
  found.context = search.best();
  EXPECT_LE(found.questions, ContextSearch::kMostQuestions);
  return found;
}

Bytes linear(unsigned context) { return Bytes::mib(100) + Bytes(context * 100'000ULL); }

TEST(ContextSearch, FindsTheLargestThatFitsWithFewQuestions) {
  for (const unsigned fits : {512U, 1024U, 1280U, 4096U, 7936U, 8192U}) {
    const Found found = search(linear(fits + 255), 9000, linear);
    EXPECT_EQ(found.context, fits);
    EXPECT_LE(found.questions, 4U) << fits;
  }
}

TEST(ContextSearch, NothingWhenEvenTheSmallestIsTooLarge) {
  const Found found = search(linear(511), 8192, linear);
  EXPECT_FALSE(found.context);
  EXPECT_EQ(found.questions, 2U);
  EXPECT_EQ(search(Bytes(1), 512, linear).questions, 0U);
  EXPECT_EQ(search(Bytes(1), 600, linear).questions, 1U);
}

TEST(ContextSearch, WhatDoesNotGrowAsExpectedEndsToo) {
  // Steps: whatever lies between them needs the same.
  const auto stairs = [](unsigned context) { return Bytes::mib(100 + context / 2048 * 200); };
  const Found found = search(Bytes::mib(350), 16384, stairs);
  ASSERT_TRUE(found.context);
  EXPECT_LE(stairs(*found.context), Bytes::mib(350));
  EXPECT_GE(*found.context, 2048U);
  // Falling, which no model does.
  const auto falls = [](unsigned context) { return Bytes::mib(context == 8192 ? 500 : 400 - context / 100); };
  EXPECT_TRUE(search(Bytes::mib(450), 8192, falls).context);
}

}  // namespace
}  // namespace minerva
