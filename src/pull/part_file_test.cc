#include "pull/part_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

// Of "hello\n", as sha256sum and git hash-object have it.
const Proof kSha256{Proof::Kind::kSha256, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"};
const Proof kGit{Proof::Kind::kGitBlob, "ce013625030ba8dba906f756967f9e9ca394464a"};
constexpr std::string_view kText = "hello\n";

class Part : public testing::Test {
 protected:
  Part() {
    std::string pattern = (fs::temp_directory_path() / "part-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    path_ = folder_ / "x.minerva.incomplete";
  }
  void TearDown() override { fs::remove_all(folder_); }

  Result<PartFile> open(const Proof& proof = kSha256) {
    return PartFile::open(path_, Bytes(kText.size()), proof, stop_);
  }

  Stop stop_;
  fs::path folder_;
  fs::path path_;
};

TEST_F(Part, GetsItsNameOnceItIsProven) {
  auto part = open();
  ASSERT_TRUE(part);
  EXPECT_FALSE(part->resumed());
  ASSERT_TRUE(part->append(kText.substr(0, 2)));
  EXPECT_FALSE(part->complete());
  ASSERT_TRUE(part->append(kText.substr(2)));
  EXPECT_TRUE(part->complete());
  EXPECT_TRUE(part->proven());
  std::ofstream(folder_ / "of somebody else") << "notes";
  const auto refused = part->finish(folder_ / "of somebody else");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_EQ(fs::file_size(folder_ / "of somebody else"), 5U);
  ASSERT_TRUE(part->finish(folder_ / "x"));
  EXPECT_FALSE(fs::exists(path_));
  std::stringstream text;
  text << std::ifstream(folder_ / "x").rdbuf();
  EXPECT_EQ(text.str(), kText);
}

TEST_F(Part, GoesOnWhereAnotherEnded) {
  for (const Proof& proof : {kSha256, kGit}) {
    fs::remove(path_);
    ASSERT_TRUE(open(proof)->append(kText.substr(0, 4)));
    auto part = open(proof);
    ASSERT_TRUE(part);
    EXPECT_TRUE(part->resumed());
    EXPECT_EQ(part->have(), 4U);
    ASSERT_TRUE(part->append(kText.substr(4)));
    EXPECT_TRUE(part->proven());
  }
}

TEST_F(Part, WhatIsDamagedIsNotProven) {
  std::ofstream(path_) << "hexl";
  auto part = open();
  ASSERT_TRUE(part->append(kText.substr(4)));
  EXPECT_FALSE(part->proven());
  ASSERT_TRUE(part->begin_anew());
  ASSERT_TRUE(part->append(kText));
  EXPECT_TRUE(part->proven());
}

TEST_F(Part, TakesNoMoreThanWasSaid) {
  auto part = open();
  EXPECT_FALSE(part->append("hello, world"));
  EXPECT_EQ(part->have(), 0U);
  std::ofstream(path_) << "much longer than it is said to be";
  EXPECT_EQ(open()->have(), 0U) << "such a part is none of it";
}

TEST_F(Part, ReadsNoMoreOfItOnceItIsStopped) {
  std::ofstream(path_) << "hel";
  stop_.set();
  const auto part = open();
  ASSERT_FALSE(part);
  EXPECT_EQ(part.error().code, ErrorCode::kCancelled);
}

TEST_F(Part, FollowsNoLink) {
  std::ofstream(folder_ / "other") << "keep";
  fs::create_symlink(folder_ / "other", path_);
  EXPECT_FALSE(open());
  EXPECT_EQ(fs::file_size(folder_ / "other"), 4U);
}

TEST_F(Part, SaysWhatIsFree) { EXPECT_GT(free_disk(folder_ / "not" / "there").value_or(Bytes()), Bytes()); }

}  // namespace
}  // namespace minerva::pull
