// Which beginning of a prompt files have.
#include "segment_tree.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace minerva::engine {
namespace {

using Tokens = std::vector<std::int32_t>;

protocol::SegmentId id(std::uint64_t number) {
  return number == 0 ? protocol::SegmentId{} : protocol::SegmentId{number, 1};
}

SegmentTree::Segment segment(std::uint64_t number, std::uint64_t parent, std::uint32_t from, const Tokens& tokens,
                             bool complete = true) {
  SegmentTree::Segment result;
  result.name = {id(number), id(parent), from, from + static_cast<std::uint32_t>(tokens.size())};
  result.tokens = tokens;
  result.complete = complete;
  result.goes_back_to = result.name.to;
  return result;
}

// "tokens: segments from the root on".
std::string found(const SegmentTree& tree, const Tokens& prompt, const std::string& tenant = "a") {
  const SegmentTree::Match match = tree.find(tenant, prompt);
  std::string text = std::to_string(match.tokens) + ":";
  for (const SegmentTree::Segment& step : match.path) text += " " + std::to_string(step.name.id.high);
  return text;
}

TEST(SegmentTree, FindsTheLongestBeginning) {
  SegmentTree tree;
  tree.add("a", segment(1, 0, 0, {1, 2, 3, 4}));
  tree.add("a", segment(2, 1, 4, {5, 6}));
  tree.add("a", segment(3, 0, 0, {9, 9}));
  EXPECT_EQ(found(tree, {1, 2, 3, 4, 5, 6, 7}), "6: 1 2");
  EXPECT_EQ(found(tree, {1, 2, 3, 4, 5}), "5: 1 2");
  EXPECT_EQ(found(tree, {1, 2, 7}), "2: 1");
  EXPECT_EQ(found(tree, {9, 9}), "2: 3");
  EXPECT_EQ(found(tree, {5}), "0:");
  EXPECT_EQ(found(tree, {}), "0:");
}

TEST(SegmentTree, ABranchLeavesItsParentInTheMiddle) {
  SegmentTree tree;
  tree.add("a", segment(1, 0, 0, {1, 2, 3, 4}));
  tree.add("a", segment(2, 1, 2, {8, 8, 8}));
  EXPECT_EQ(found(tree, {1, 2, 8, 8, 8}), "5: 1 2");
  EXPECT_EQ(found(tree, {1, 8, 8}), "1: 1") << "the branch is not reached";
  EXPECT_EQ(found(tree, {1, 2, 3, 4}), "4: 1");
}

TEST(SegmentTree, OfEquallyLongOnesACompleteOneIsTaken) {
  SegmentTree tree;
  tree.add("a", segment(1, 0, 0, {1, 2, 3, 4}));
  tree.add("a", segment(2, 0, 0, {1, 2}, false));
  EXPECT_EQ(found(tree, {1, 2}), "2: 2") << "the shorter one";
  tree.add("a", segment(3, 1, 2, {}));
  EXPECT_EQ(found(tree, {1, 2}), "2: 1 3") << "it ends there";
  EXPECT_EQ(found(tree, {1, 2, 3, 4}), "4: 1");
}

TEST(SegmentTree, AHundredThousandConversationsThatBeginAlike) {
  constexpr std::uint32_t kBeginning = 100;
  constexpr std::uint64_t kBranches = 100'000;
  Tokens beginning(kBeginning);
  for (std::uint32_t i = 0; i < kBeginning; ++i) beginning[i] = static_cast<std::int32_t>(i);
  SegmentTree tree;
  tree.add("a", segment(1, 0, 0, beginning));
  // They leave the beginning at each of its tokens, each with another token.
  const auto from = [](std::uint64_t i) { return static_cast<std::uint32_t>(1 + i % kBeginning); };
  const auto token = [](std::uint64_t i) { return static_cast<std::int32_t>(1000 + i / kBeginning); };
  for (std::uint64_t i = 0; i < kBranches; ++i) tree.add("a", segment(i + 2, 1, from(i), {token(i), 7}));
  for (std::uint64_t i = 0; i < kBranches; ++i) {
    Tokens prompt(beginning.begin(), beginning.begin() + from(i));
    prompt.insert(prompt.end(), {token(i), 7, 7});
    ASSERT_EQ(found(tree, prompt), std::to_string(from(i) + 2) + ": 1 " + std::to_string(i + 2));
    if (i % 2 == 1) tree.remove("a", id(i + 2));
  }
  Tokens gone(beginning.begin(), beginning.begin() + from(1));
  gone.push_back(token(1));
  EXPECT_EQ(found(tree, gone), std::to_string(from(1)) + ": 1");
}

TEST(SegmentTree, TenantsDoNotMeet) {
  SegmentTree tree;
  tree.add("a", segment(1, 0, 0, {1, 2, 3, 4}));
  EXPECT_EQ(found(tree, {1, 2, 3, 4}, "b"), "0:");
  tree.add("b", segment(1, 0, 0, {1, 2, 3, 4}));
  tree.remove("a", id(1));
  EXPECT_EQ(found(tree, {1, 2, 3, 4}, "a"), "0:");
  EXPECT_EQ(found(tree, {1, 2, 3, 4}, "b"), "4: 1");
}

TEST(SegmentTree, WhatIsBehindARemovedOneIsNotFound) {
  SegmentTree tree;
  tree.add("a", segment(1, 0, 0, {1, 2}));
  tree.add("a", segment(2, 1, 2, {3, 4}));
  tree.remove("a", id(1));
  EXPECT_EQ(found(tree, {1, 2, 3, 4}), "0:");
  tree.add("a", segment(1, 0, 0, {1, 2}));
  EXPECT_EQ(found(tree, {1, 2, 3, 4}), "4: 1 2");
}

TEST(SegmentTree, NonsenseDoesNoHarm) {
  SegmentTree tree;
  tree.add("a", segment(1, 1, 3, {1, 2}));  // its own parent
  tree.add("a", segment(2, 3, 2, {}));
  tree.add("a", segment(3, 2, 2, {}));  // each other's parents
  tree.add("a", segment(4, 0, 0, {5, 6}));
  tree.add("a", segment(2, 4, 2, {}));
  tree.add("a", segment(5, 4, 9, {7}));  // behind its parent's end
  EXPECT_EQ(found(tree, {5, 6, 7}), "2: 4");
}

// As found(), but only where a conversation can go on.
std::string goes_on(const SegmentTree& tree, const Tokens& prompt) {
  SegmentTree::Match match = tree.find("a", prompt);
  end_where_it_can_go_on(match);
  std::string text = std::to_string(match.tokens) + ":";
  for (const SegmentTree::Segment& step : match.path) text += " " + std::to_string(step.name.id.high);
  return text;
}

TEST(SegmentTree, GoesOnAtTheEndOfACompleteSegmentOrAtACheckpoint) {
  SegmentTree tree;
  tree.add("a", segment(1, 0, 0, {1, 2, 3, 4}));
  tree.add("a", segment(2, 1, 4, {5, 6}, false));
  EXPECT_EQ(goes_on(tree, {1, 2, 3, 4, 5, 6}), "4: 1") << "the second turn was not saved to its end";
  SegmentTree::Segment whole = segment(3, 2, 6, {7, 8, 9});
  whole.checkpoints = {2, 7};
  tree.add("a", whole);
  EXPECT_EQ(goes_on(tree, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}), "9: 1 2 3");
  EXPECT_EQ(goes_on(tree, {1, 2, 3, 4, 5, 6, 7, 8, 10}), "7: 1 2 3");
  EXPECT_EQ(goes_on(tree, {1, 2, 3, 4, 5, 6, 10}), "4: 1");
  EXPECT_EQ(goes_on(tree, {1, 2, 3, 10}), "0:");
}

TEST(SegmentTree, GoesOnAsFarBackAsWindowsReach) {
  SegmentTree tree;
  SegmentTree::Segment whole = segment(1, 0, 0, {1, 2, 3, 4, 5, 6});
  whole.checkpoints = {2};
  whole.goes_back_to = 4;
  tree.add("a", whole);
  SegmentTree::Segment cut = segment(2, 1, 6, {7, 8, 9}, false);
  cut.goes_back_to = 7;
  tree.add("a", cut);
  EXPECT_EQ(goes_on(tree, {1, 2, 3, 4, 5, 10}), "5: 1");
  EXPECT_EQ(goes_on(tree, {1, 2, 3, 4, 10}), "4: 1");
  EXPECT_EQ(goes_on(tree, {1, 2, 3, 10}), "2: 1");
  EXPECT_EQ(goes_on(tree, {1, 2, 3, 4, 5, 6, 7, 8, 9}), "6: 1") << "the second one was not saved to its end";
  tree.add("a", segment(3, 1, 5, {8, 8}, false));
  EXPECT_EQ(goes_on(tree, {1, 2, 3, 4, 5, 8, 8}), "5: 1") << "where a branch leaves it";
}

TEST(SegmentTree, WhatABranchHasOfItsParentEndsWhereItLeaves) {
  SegmentTree tree;
  SegmentTree::Segment first = segment(1, 0, 0, {1, 2, 3, 4});
  tree.add("a", first);
  tree.add("a", segment(2, 1, 2, {8, 8, 8}, false));
  EXPECT_EQ(goes_on(tree, {1, 2, 8, 8, 8}), "0:");
  tree.remove("a", id(1));
  first.checkpoints = {1, 3};
  tree.add("a", first);
  EXPECT_EQ(goes_on(tree, {1, 2, 8, 8, 8}), "1: 1");
}

TEST(SegmentName, IsReadAsItIsWritten) {
  const protocol::SegmentName name = {{0x0123456789abcdef, 1}, {0, 0xfedcba9876543210}, 7, 4294967295U};
  const std::string text = to_text(name);
  EXPECT_EQ(text, "0123456789abcdef0000000000000001-0000000000000000fedcba9876543210-7-4294967295");
  const auto read = protocol::parse_segment_name(text);
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->id == name.id && read->parent == name.parent && read->from == 7 && read->to == 4294967295U);
}

TEST(SegmentName, OtherTextIsNone) {
  const std::string good = to_text(protocol::SegmentName{{1, 2}, {3, 4}, 5, 9});
  ASSERT_TRUE(protocol::parse_segment_name(good));
  for (std::size_t i = 0; i <= good.size(); ++i) {
    EXPECT_FALSE(protocol::parse_segment_name(std::string(good).insert(i, " "))) << i;
    EXPECT_FALSE(protocol::parse_segment_name(std::string(good).insert(i, "A"))) << i;
    EXPECT_FALSE(protocol::parse_segment_name(good.substr(0, i)) && i < good.size()) << i;
  }
  EXPECT_FALSE(protocol::parse_segment_name(to_text(protocol::SegmentName{{1, 2}, {3, 4}, 9, 5})))
      << "ends before it begins";
  EXPECT_FALSE(protocol::parse_segment_name(to_text(protocol::SegmentName{{1, 2}, {}, 5, 9})))
      << "begins in the middle of nothing";
  EXPECT_FALSE(protocol::parse_segment_name(to_text(protocol::SegmentName{{1, 2}, {3, 4}, 0, 9})))
      << "has nothing of its parent";
  EXPECT_FALSE(protocol::parse_segment_name(to_text(protocol::SegmentName{{}, {}, 0, 9}))) << "without id";
  EXPECT_FALSE(protocol::parse_segment_name("")) << "nothing";
}

TEST(SegmentTree, ACheckpointBehindABranchBelongsToAnotherConversation) {
  SegmentTree tree;
  SegmentTree::Segment first = segment(1, 0, 0, {1, 2, 3, 4});
  first.checkpoints = {1, 2, 3};
  tree.add("a", first);
  tree.add("a", segment(2, 1, 2, {8, 8, 8}));
  const std::vector<SegmentTree::Segment> path = tree.find("a", {1, 2, 8, 8, 8}).path;
  ASSERT_EQ(path.size(), 2U);
  EXPECT_TRUE(has_checkpoint(path, 5, 2));
  EXPECT_FALSE(has_checkpoint(path, 5, 3)) << "the branch leaves before it";
  EXPECT_TRUE(has_checkpoint({path.front()}, 3, 3));
  EXPECT_FALSE(has_checkpoint({path.front()}, 2, 3));
}

}  // namespace
}  // namespace minerva::engine
