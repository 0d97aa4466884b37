#include "pull/placed.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "pull/layout.h"
#include "pull/part_file.h"

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

const std::string kCommit(40, 'c');
// Of "hello\n", as sha256sum has it; and as git hash-object has it of "other\n".
const std::string kEtag = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
const std::string kOther = "e45c9c2666d44e0327c1f9c239a74c508336053e";

class PlacedTest : public testing::Test {
 protected:
  PlacedTest() {
    std::string pattern = (fs::temp_directory_path() / "placed-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    settings_.hub_cache = folder_ / "hub";
    EXPECT_TRUE(layout().make_folders());
    placed_.asked.repo = "org/repo";
    placed_.commit = kCommit;
    placed_.files = {"x.gguf", "deep/projector.gguf"};
    put(layout().blob(kEtag), "hello\n");
    put(layout().blob(kOther), "other\n");
    EXPECT_TRUE(layout().link(kCommit, "x.gguf", kEtag));
    EXPECT_TRUE(layout().link(kCommit, "deep/projector.gguf", kOther));
    EXPECT_TRUE(layout().set_ref("main", kCommit));
  }
  void TearDown() override { fs::remove_all(folder_); }

  HubLayout layout() const { return {settings_.hub_cache, "org/repo"}; }
  static void put(const fs::path& path, std::string_view text) { std::ofstream(path, std::ios::trunc) << text; }
  bool is_there(const std::string& etag) const { return fs::exists(layout().blob(etag)); }
  void withdraw_both() const { withdraw(settings_, placed_.asked, {kEtag, kOther}); }
  Outcome prove() const { return prove_again(settings_, placed_, {kEtag, kOther}, stop_); }

  Stop stop_;
  fs::path folder_;
  FetchSettings settings_;
  Placed placed_;
};

TEST_F(PlacedTest, IsSynced) {
  EXPECT_EQ(sync_placed(settings_, placed_, stop_), Outcome::kDone);
  fs::remove(layout().snapshot(kCommit, "x.gguf"));
  fs::remove(layout().blob(kOther));
  EXPECT_EQ(sync_placed(settings_, placed_, stop_), Outcome::kDone) << "what somebody removed is nobody's loss";
  stop_.set();
  EXPECT_EQ(sync_placed(settings_, placed_, stop_), Outcome::kUnknown);
}

TEST_F(PlacedTest, NobodySeesItUntilItIsProven) {
  withdraw_both();
  EXPECT_FALSE(is_there(kEtag));
  EXPECT_FALSE(fs::exists(layout().snapshot(kCommit, "x.gguf")));
  EXPECT_EQ(prove(), Outcome::kDone);
  EXPECT_TRUE(is_there(kEtag));
  EXPECT_TRUE(fs::exists(layout().snapshot(kCommit, "deep/projector.gguf")));
  EXPECT_FALSE(fs::exists(layout().unproven(kEtag)));
}

TEST_F(PlacedTest, WhatIsWrongIsTakenAway) {
  put(layout().blob(kEtag), std::string("hel\0\0\n", 6));
  withdraw_both();
  EXPECT_EQ(prove(), Outcome::kWrong);
  EXPECT_FALSE(is_there(kEtag));
  EXPECT_FALSE(fs::exists(layout().unproven(kEtag)));
  EXPECT_TRUE(is_there(kOther)) << "that one is right";
}

TEST_F(PlacedTest, ANameThatWasLostIsNoticed) {
  withdraw_both();
  fs::remove(layout().snapshot(kCommit, "deep/projector.gguf"));
  EXPECT_EQ(prove(), Outcome::kWrong);
  EXPECT_TRUE(is_there(kEtag));
}

TEST_F(PlacedTest, ACommitThatWasLostIsWrittenAgain) {
  put(layout().ref("main"), "");
  withdraw_both();
  EXPECT_EQ(prove(), Outcome::kDone);
  EXPECT_EQ(fs::file_size(layout().ref("main")), kCommit.size());
  put(layout().ref("main"), std::string(40, 'd'));
  EXPECT_EQ(prove(), Outcome::kDone);
  std::string text;
  std::ifstream(layout().ref("main")) >> text;
  EXPECT_EQ(text, std::string(40, 'd')) << "another program has moved on";
}

TEST_F(PlacedTest, PartsAreLeftToTheNextPull) {
  const Proof proof{Proof::Kind::kSha256, kEtag};
  for (const std::uint64_t piece : {0U, 2U}) {
    fs::remove(layout().blob(kEtag));
    PartFile::remove(layout().part(kEtag));
    ASSERT_TRUE((*PartFile::open(layout().part(kEtag), Bytes(6), proof, Bytes(piece)))->append(0, "he"));
    withdraw_both();
    EXPECT_EQ(prove(), Outcome::kWrong) << "it is not there";
    EXPECT_EQ(PartFile::kept(layout().part(kEtag), Bytes(6)), Bytes(2));
  }
}

TEST_F(PlacedTest, AStopLeavesItToTheNextStart) {
  withdraw_both();
  stop_.set();
  EXPECT_EQ(prove(), Outcome::kUnknown);
  EXPECT_TRUE(fs::exists(layout().unproven(kEtag)));
}

TEST_F(PlacedTest, IsLedNowhereByADamagedTable) {
  put(layout().folder() / "keep", "bytes");
  withdraw(settings_, placed_.asked, {"../keep", "", "..", kEtag + "/../../keep"});
  EXPECT_TRUE(fs::exists(layout().folder() / "keep"));
  fs::remove(layout().blob(kEtag));
  fs::create_symlink(layout().folder() / "keep", layout().blob(kEtag));
  withdraw_both();
  EXPECT_TRUE(fs::is_symlink(layout().blob(kEtag))) << "an entry of a shared store is not this job's";
}

}  // namespace
}  // namespace minerva::pull
