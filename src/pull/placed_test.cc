#include "pull/placed.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "pull/layout.h"
#include "pull/part_file.h"

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

const std::string kPlacedCommit(40, 'c');
// Of "hello\n", as sha256sum has it; and as git hash-object has it of "other\n".
const std::string kPlacedEtag = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
const std::string kOther = "e45c9c2666d44e0327c1f9c239a74c508336053e";

class PlacedTest : public testing::Test {
 protected:
  PlacedTest() {
    std::string pattern = (fs::temp_directory_path() / "placed-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    settings_.hub_cache = folder_ / "hub";
    EXPECT_TRUE(layout().make_folders());
    placed_.asked.repo = "org/repo";
    placed_.commit = kPlacedCommit;
    placed_.files = {"x.gguf", "deep/projector.gguf"};
    put(layout().blob(kPlacedEtag), "hello\n");
    put(layout().blob(kOther), "other\n");
    EXPECT_TRUE(layout().link(kPlacedCommit, "x.gguf", kPlacedEtag));
    EXPECT_TRUE(layout().link(kPlacedCommit, "deep/projector.gguf", kOther));
    EXPECT_TRUE(layout().set_ref("main", kPlacedCommit));
  }
  void TearDown() override { fs::remove_all(folder_); }

  HubLayout layout() const { return {settings_.hub_cache, "org/repo"}; }
  static void put(const fs::path& path, std::string_view text) { std::ofstream(path, std::ios::trunc) << text; }
  bool is_there(const std::string& etag) const { return fs::exists(layout().blob(etag)); }
  void withdraw_both() const { withdraw(settings_, placed_.asked, {kPlacedEtag, kOther}); }
  Outcome prove() const { return prove_again(settings_, placed_, {kPlacedEtag, kOther}, stop_); }

  Stop stop_;
  fs::path folder_;
  FetchSettings settings_;
  Placed placed_;
};

TEST_F(PlacedTest, IsSynced) {
  EXPECT_EQ(sync_placed(settings_, placed_, stop_), Outcome::kDone);
  fs::remove(layout().snapshot(kPlacedCommit, "x.gguf"));
  fs::remove(layout().blob(kOther));
  EXPECT_EQ(sync_placed(settings_, placed_, stop_), Outcome::kDone) << "what somebody removed is nobody's loss";
  stop_.set();
  EXPECT_EQ(sync_placed(settings_, placed_, stop_), Outcome::kUnknown);
}

TEST_F(PlacedTest, NobodySeesItUntilItIsProven) {
  withdraw_both();
  EXPECT_FALSE(is_there(kPlacedEtag));
  EXPECT_FALSE(fs::exists(layout().snapshot(kPlacedCommit, "x.gguf")));
  EXPECT_EQ(prove(), Outcome::kDone);
  EXPECT_TRUE(is_there(kPlacedEtag));
  EXPECT_TRUE(fs::exists(layout().snapshot(kPlacedCommit, "deep/projector.gguf")));
  EXPECT_FALSE(fs::exists(layout().unproven(kPlacedEtag)));
}

TEST_F(PlacedTest, WhatIsWrongIsTakenAway) {
  put(layout().blob(kPlacedEtag), std::string("hel\0\0\n", 6));
  withdraw_both();
  EXPECT_EQ(prove(), Outcome::kWrong);
  EXPECT_FALSE(is_there(kPlacedEtag));
  EXPECT_FALSE(fs::exists(layout().unproven(kPlacedEtag)));
  EXPECT_TRUE(is_there(kOther)) << "that one is right";
}

TEST_F(PlacedTest, ANameThatWasLostIsNoticed) {
  withdraw_both();
  fs::remove(layout().snapshot(kPlacedCommit, "deep/projector.gguf"));
  EXPECT_EQ(prove(), Outcome::kWrong);
  EXPECT_TRUE(is_there(kPlacedEtag));
}

TEST_F(PlacedTest, ACommitThatWasLostIsWrittenAgain) {
  put(layout().ref("main"), "");
  withdraw_both();
  EXPECT_EQ(prove(), Outcome::kDone);
  EXPECT_EQ(fs::file_size(layout().ref("main")), kPlacedCommit.size());
  put(layout().ref("main"), std::string(40, 'd'));
  EXPECT_EQ(prove(), Outcome::kDone);
  std::string text;
  std::ifstream(layout().ref("main")) >> text;
  EXPECT_EQ(text, std::string(40, 'd')) << "another program has moved on";
}

TEST_F(PlacedTest, PartsAreLeftToTheNextPull) {
  const Proof proof{Proof::Kind::kSha256, kPlacedEtag};
  for (const std::uint64_t piece : {0U, 2U}) {
    fs::remove(layout().blob(kPlacedEtag));
    PartFile::remove(layout().part(kPlacedEtag));
    ASSERT_TRUE((*PartFile::open(layout().part(kPlacedEtag), Bytes(6), proof, Bytes(piece)))->append(0, "he"));
    withdraw_both();
    EXPECT_EQ(prove(), Outcome::kWrong) << "it is not there";
    EXPECT_EQ(PartFile::kept(layout().part(kPlacedEtag), Bytes(6)), Bytes(2));
  }
}

TEST_F(PlacedTest, AStopLeavesItToTheNextStart) {
  withdraw_both();
  stop_.set();
  EXPECT_EQ(prove(), Outcome::kUnknown);
  EXPECT_TRUE(fs::exists(layout().unproven(kPlacedEtag)));
}

TEST_F(PlacedTest, IsLedNowhereByADamagedTable) {
  put(layout().folder() / "keep", "bytes");
  withdraw(settings_, placed_.asked, {"../keep", "", "..", kPlacedEtag + "/../../keep"});
  EXPECT_TRUE(fs::exists(layout().folder() / "keep"));
  fs::remove(layout().blob(kPlacedEtag));
  fs::create_symlink(layout().folder() / "keep", layout().blob(kPlacedEtag));
  withdraw_both();
  EXPECT_TRUE(fs::is_symlink(layout().blob(kPlacedEtag))) << "an entry of a shared store is not this job's";
}

}  // namespace
}  // namespace minerva::pull
