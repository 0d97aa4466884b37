#include "conversations/segment_table.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace minerva::conversations {
namespace {

using protocol::SegmentId;
using std::chrono::hours;
using std::chrono::seconds;

const Place kHere{"a.0123", "0"};
const Place kThere{"b.0123", "0"};
const WallTime kNow{hours(1'000'000)};

SegmentId id(std::uint64_t n) { return {0, n}; }

PlacedSegment segment(std::uint64_t n, std::uint64_t parent, WallTime::duration age = {}, std::uint64_t bytes = 100,
                      const Place& place = kHere) {
  const auto from = static_cast<std::uint32_t>(parent * 10);
  return {place, {{id(n), id(parent), from, from + 10}, Bytes(bytes), kNow - age}};
}

std::vector<std::uint64_t> ids(const SegmentTable::Segments& segments) {
  std::vector<std::uint64_t> result;
  for (const PlacedSegment& each : segments) result.push_back(each.segment.name.id.low);
  return result;
}

std::vector<std::uint64_t> sorted(std::vector<std::uint64_t> numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

double equal_cost(const std::string&) { return 1; }

using Ids = std::vector<std::uint64_t>;

TEST(SegmentTable, CountsWhatIsThere) {
  SegmentTable table;
  EXPECT_TRUE(table.add(kHere, segment(1, 0).segment));
  EXPECT_TRUE(table.add(kHere, segment(2, 1).segment));
  EXPECT_TRUE(table.add(kHere, segment(2, 1).segment)) << "again";
  EXPECT_FALSE(table.add(kHere, segment(4, 3).segment)) << "without its parent";
  EXPECT_FALSE(table.add(kThere, segment(2, 1).segment)) << "the parent of another place";
  EXPECT_TRUE(table.add(kThere, segment(1, 0, {}, 7).segment));
  EXPECT_EQ(table.size(), 3U);
  EXPECT_EQ(table.bytes(), Bytes(207));
  EXPECT_TRUE(table.contains(kHere, id(2)));
  EXPECT_FALSE(table.contains(kThere, id(2)));
  const auto sums = table.sums();
  EXPECT_EQ(sums.size(), 2U);
  EXPECT_EQ(sums.at(kHere).bytes, Bytes(200));
  EXPECT_EQ(sums.at(kHere).segments, 2U);
  EXPECT_EQ(ids(table.take_tree(kHere, id(1))), (Ids{2, 1})) << "children first";
  EXPECT_EQ(table.bytes(), Bytes(7));
  EXPECT_EQ(table.size(), 1U);
  EXPECT_TRUE(table.take_tree(kHere, id(1)).empty());
}

TEST(SegmentTable, TakesOnlyTreesWithTheirRoots) {
  SegmentTable table;
  // 4 and 5 are each other's parents, 7 has none that is there, 2 and 3 come before their parent.
  SegmentTable::Segments found = {segment(3, 2), segment(2, 1), segment(4, 5),
                                  segment(5, 4), segment(7, 6), segment(1, 0)};
  EXPECT_EQ(sorted(ids(table.load(found))), (Ids{4, 5, 7}));
  EXPECT_EQ(table.size(), 3U);
  EXPECT_EQ(ids(table.take_if([](const Place&) { return true; })), (Ids{3, 2, 1}));
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.bytes(), Bytes());
}

TEST(SegmentTable, AParentIsAsYoungAsItsYoungestChild) {
  SegmentTable table;
  table.load({segment(1, 0, hours(9)), segment(2, 1, hours(8)), segment(3, 2, hours(1)), segment(4, 1, hours(7))});
  EXPECT_EQ(ids(table.take_unused_since(kNow - hours(5))), Ids{4}) << "1 and 2 were used with 3";
  EXPECT_EQ(ids(table.take_unused_since(kNow)), (Ids{3, 2, 1}));
  table.load({segment(1, 0, hours(9)), segment(2, 1, hours(8)), segment(3, 0, hours(9))});
  EXPECT_TRUE(table.touch(kHere, id(2), kNow));
  EXPECT_FALSE(table.touch(kHere, id(9), kNow));
  EXPECT_FALSE(table.touch(kThere, id(2), kNow));
  EXPECT_EQ(ids(table.take_unused_since(kNow)), Ids{3});
}

TEST(SegmentTable, LeavesGoBeforeTheirParents) {
  SegmentTable table;
  table.load({segment(1, 0, hours(9)), segment(2, 1, hours(9)), segment(3, 0, hours(1))});
  EXPECT_TRUE(table.take_worst(Bytes(300), kNow, equal_cost).empty());
  EXPECT_EQ(ids(table.take_worst(Bytes(299), kNow, equal_cost)), Ids{2});
  EXPECT_EQ(ids(table.take_worst(Bytes(100), kNow, equal_cost)), Ids{1});
  EXPECT_EQ(ids(table.take_worst(Bytes(0), kNow, equal_cost)), Ids{3});
  EXPECT_EQ(table.size(), 0U);
}

TEST(SegmentTable, WhatSavesLeastForItsBytesGoesFirst) {
  SegmentTable table;
  table.load({segment(1, 0, hours(2), 100), segment(2, 0, hours(1), 300), segment(3, 0, hours(4), 100),
              segment(4, 0, hours(1), 100, kThere)});
  // A token of the other model costs a fifth.
  const auto cost = [](const std::string& folder) { return folder == kHere.folder ? 1.0 : 0.2; };
  EXPECT_EQ(ids(table.take_worst(Bytes(0), kNow, cost)), (Ids{4, 3, 2, 1}));
}

TEST(SegmentTable, WhatNobodyCanUseGoesFirst) {
  SegmentTable table;
  table.load({segment(1, 0, hours(100)), segment(2, 0, seconds(0), 1, kThere)});
  const auto cost = [](const std::string& folder) { return folder == kHere.folder ? 1.0 : 0.0; };
  EXPECT_EQ(ids(table.take_worst(Bytes(100), kNow, cost)), Ids{2});
}

TEST(SegmentTable, NoTenantPushesOutTheOthers) {
  SegmentTable table;
  const Place others{kHere.folder, "1"};
  const Place useless{kThere.folder, "1"};
  table.load({segment(1, 0, hours(100), 100, others), segment(2, 0, hours(200), 60, others),
              segment(3, 0, hours(2), 300), segment(4, 0, hours(1), 300), segment(5, 0, hours(3), 10, useless)});
  const auto cost = [](const std::string& folder) { return folder == kHere.folder ? 1.0 : 0.0; };
  EXPECT_EQ(ids(table.take_worst(Bytes(500), kNow, cost)), (Ids{5, 3})) << "the others have less than 250";
  EXPECT_EQ(ids(table.take_worst(Bytes(440), kNow, cost)), Ids{4}) << "no more than 220 for each";
  EXPECT_EQ(ids(table.take_worst(Bytes(100), kNow, cost)), Ids{2}) << "alone it has all, and the oldest goes first";
}

TEST(SegmentTable, AStateWithoutTokensIsWorthAllOfItsConversation) {
  SegmentTable table;
  PlacedSegment state = segment(1, 0);
  state.segment.name.to = 1000;
  PlacedSegment end = segment(2, 1);
  end.segment.name.from = end.segment.name.to = 1000;
  table.load({state, end, segment(3, 0)});
  EXPECT_EQ(ids(table.take_worst(Bytes(200), kNow, equal_cost)), Ids{3});
}

TEST(SegmentTable, AClockThatWentBackDoesNoHarm) {
  SegmentTable table;
  table.load({segment(1, 0, -hours(5)), segment(2, 0, hours(5))});
  EXPECT_EQ(ids(table.take_worst(Bytes(100), kNow, equal_cost)), Ids{2});
  EXPECT_TRUE(table.take_unused_since(kNow).empty());
}

}  // namespace
}  // namespace minerva::conversations
