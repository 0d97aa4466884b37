#include "context/requests.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

TimePoint at(int s) { return TimePoint(std::chrono::seconds(s)); }

Waiter waiter(std::uint64_t id, WaitKind kind, const ModelId& model, TimePoint deadline = TimePoint::max()) {
  return {.id = RequestId{id}, .kind = kind, .model = model, .deadline = deadline};
}

TEST(RequestQueue, KeepsTheOrderOfArrivalPerModel) {
  RequestQueue queue;
  queue.add(waiter(9, WaitKind::kLease, "a"));
  queue.add(waiter(3, WaitKind::kLease, "b"));
  queue.add(waiter(5, WaitKind::kLoad, "a"));
  queue.add(waiter(1, WaitKind::kLease, "a"));
  const auto& lines = queue.lines("a");
  ASSERT_EQ(lines.leases.size(), 2U);
  EXPECT_EQ(lines.leases.begin()->second, RequestId{9});
  EXPECT_EQ(lines.oldest(), 1U);
  EXPECT_EQ(lines.wanting(), 3U);
  EXPECT_EQ(queue.lines("b").oldest(), 2U);
  EXPECT_EQ(queue.lines("c").oldest(), std::nullopt);
  queue.take(RequestId{9});
  EXPECT_EQ(queue.lines("a").oldest(), 3U);
  queue.check_invariants();
}

TEST(RequestQueue, UnloadsDoNotWantTheModel) {
  RequestQueue queue;
  queue.add(waiter(1, WaitKind::kUnload, "a"));
  EXPECT_EQ(queue.wanting(), 0U);
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_EQ(queue.lines("a").wanting(), 0U);
  EXPECT_EQ(queue.lines("a").first_unload(), 1U);
  EXPECT_EQ(queue.lines("b").first_unload(), UINT64_MAX);
  queue.check_invariants();
}

TEST(RequestQueue, DeadlinesExpireInTheirOrder) {
  RequestQueue queue;
  queue.add(waiter(1, WaitKind::kLease, "a", at(30)));
  queue.add(waiter(2, WaitKind::kLease, "b", at(10)));
  queue.add(waiter(3, WaitKind::kLoad, "b", at(20)));
  queue.add(waiter(4, WaitKind::kLoad, "b"));
  EXPECT_EQ(queue.next_deadline(), at(10));
  EXPECT_TRUE(queue.expired(at(9)).empty());
  EXPECT_EQ(queue.expired(at(20)), (std::vector<RequestId>{RequestId{2}, RequestId{3}}));
  queue.take(RequestId{2});
  queue.clear_deadline(RequestId{3});
  EXPECT_EQ(queue.next_deadline(), at(30));
  queue.check_invariants();
  queue.take(RequestId{1});
  EXPECT_EQ(queue.next_deadline(), std::nullopt);
}

TEST(RequestQueueDeathTest, AnIdIsUsedOnce) {
  RequestQueue queue;
  queue.add(waiter(1, WaitKind::kLease, "a"));
  EXPECT_DEATH(queue.add(waiter(1, WaitKind::kLease, "a")), "used twice");
  EXPECT_DEATH(queue.take(RequestId{2}), "does not wait");
}

}  // namespace
}  // namespace minerva
