#include "pull/part_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

// The hashes of "hello\n", by sha256sum and git hash-object.
const Proof kHelloSha256{Proof::Kind::kSha256, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"};
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

  std::unique_ptr<PartFile> open(const Proof& proof = kHelloSha256, std::uint64_t piece = 0) const {
    auto part = PartFile::open(path_, Bytes(kText.size()), proof, Bytes(piece));
    return part ? *std::move(part) : nullptr;
  }
  bool proven(PartFile& part) const { return part.proven(stop_).value(); }
  fs::path map() const { return path_.string() + ".map"; }

  Stop stop_;
  fs::path folder_;
  fs::path path_;
};

TEST_F(Part, GetsItsNameOnceItIsProven) {
  auto part = open();
  ASSERT_TRUE(part);
  EXPECT_FALSE(part->resumed());
  ASSERT_TRUE(part->append(0, kText.substr(0, 2)));
  EXPECT_FALSE(part->complete());
  ASSERT_TRUE(part->append(0, kText.substr(2)));
  EXPECT_TRUE(part->complete());
  EXPECT_TRUE(proven(*part));
  std::ofstream(folder_ / "of somebody else") << "notes";
  const auto refused = part->finish(folder_ / "of somebody else", PartFile::Durability::kFirst);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_EQ(fs::file_size(folder_ / "of somebody else"), 5U);
  ASSERT_TRUE(part->finish(folder_ / "x", PartFile::Durability::kFirst));
  EXPECT_FALSE(fs::exists(path_));
  std::stringstream text;
  text << std::ifstream(folder_ / "x").rdbuf();
  EXPECT_EQ(text.str(), kText);
}

TEST_F(Part, GoesOnWhereAnotherEnded) {
  for (const Proof& proof : {kHelloSha256, kGit}) {
    fs::remove(path_);
    ASSERT_TRUE(open(proof)->append(0, kText.substr(0, 4)));
    auto part = open(proof);
    ASSERT_TRUE(part);
    EXPECT_TRUE(part->resumed());
    EXPECT_EQ(part->have(), 4U);
    ASSERT_TRUE(part->append(0, kText.substr(4)));
    EXPECT_TRUE(proven(*part));
  }
}

TEST_F(Part, WhatIsDamagedIsNotProven) {
  std::ofstream(path_) << "hexl";
  auto part = open();
  ASSERT_NE(part, nullptr);
  ASSERT_TRUE(part->append(0, kText.substr(4)));
  EXPECT_FALSE(proven(*part));
  ASSERT_TRUE(part->begin_anew());
  ASSERT_TRUE(part->append(0, kText));
  EXPECT_TRUE(proven(*part));
}

TEST_F(Part, TakesNoMoreThanWasSaid) {
  auto part = open();
  EXPECT_FALSE(part->append(0, "hello, world"));
  EXPECT_EQ(part->have(), 0U);
  std::ofstream(path_) << "much longer than it is said to be";
  EXPECT_EQ(open()->have(), 0U) << "such a part is none of it";
}

TEST_F(Part, ProvesNothingOnceItIsStopped) {
  auto part = open();
  ASSERT_TRUE(part->append(0, kText));
  stop_.set();
  const auto stopped = part->proven(stop_);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
}

TEST_F(Part, ComesInPiecesInAnyOrder) {
  auto part = open(kHelloSha256, 2);
  ASSERT_EQ(part->pieces().size(), 3U);
  ASSERT_TRUE(part->append(2, "o\n"));
  ASSERT_TRUE(part->append(0, "h"));
  EXPECT_FALSE(part->append(0, "el")) << "more than the piece has";
  ASSERT_TRUE(part->append(0, "e"));
  EXPECT_EQ(part->have(), 4U);
  ASSERT_TRUE(part->append(1, "ll"));
  EXPECT_TRUE(part->complete());
  EXPECT_TRUE(proven(*part));
  ASSERT_TRUE(part->finish(folder_ / "x", PartFile::Durability::kFirst));
  EXPECT_FALSE(fs::exists(map()));
}

TEST_F(Part, EachPieceGoesOnWhereItEnded) {
  for (const std::uint64_t piece : {2U, 0U, 3U}) {  // the file keeps the pieces that it began with
    PartFile::remove(path_);
    {
      auto part = open(kHelloSha256, 2);
      ASSERT_TRUE(part->append(2, "o"));
      ASSERT_TRUE(part->append(0, "he"));
    }
    EXPECT_EQ(PartFile::kept(path_, Bytes(kText.size())), Bytes(3));
    auto part = open(kHelloSha256, piece);
    ASSERT_EQ(part->pieces().size(), 3U);
    EXPECT_TRUE(part->resumed());
    EXPECT_EQ(part->pieces()[0].have, 2U);
    EXPECT_EQ(part->pieces()[1].have, 0U);
    EXPECT_EQ(part->pieces()[2].have, 1U);
    ASSERT_TRUE(part->append(1, "ll"));
    ASSERT_TRUE(part->append(2, "\n"));
    EXPECT_TRUE(proven(*part));
  }
}

TEST_F(Part, WhatCameInOnePieceGoesOnInSeveral) {
  ASSERT_TRUE(open()->append(0, "hel"));
  auto part = open(kHelloSha256, 2);
  ASSERT_EQ(part->pieces().size(), 3U);
  EXPECT_EQ(part->have(), 3U);
  EXPECT_EQ(part->pieces()[1].have, 1U);
  ASSERT_TRUE(part->append(2, "o\n"));
  ASSERT_TRUE(part->append(1, "l"));
  EXPECT_TRUE(proven(*part));
}

TEST_F(Part, ADamagedMapIsBegunAnew) {
  const auto damage = [&](const char* how) {
    PartFile::remove(path_);
    auto part = open(kHelloSha256, 2);
    ASSERT_TRUE(part->append(2, "o\n")) << how;
  };
  damage("cut off");
  fs::resize_file(map(), fs::file_size(map()) - 1);
  EXPECT_EQ(PartFile::kept(path_, Bytes(kText.size())), Bytes());
  EXPECT_EQ(open(kHelloSha256, 2)->have(), 0U);
  damage("more than there is");
  fs::resize_file(path_, 5);
  EXPECT_EQ(open(kHelloSha256, 2)->have(), 0U);
  damage("of another file");
  std::ofstream(map(), std::ios::trunc) << std::string(100, 'x');
  auto part = open(kHelloSha256, 2);
  EXPECT_EQ(part->have(), 0U);
  for (std::size_t i = 0; i < 3; ++i) ASSERT_TRUE(part->append(i, kText.substr(2 * i, 2)));
  EXPECT_TRUE(proven(*part));
}

TEST_F(Part, BegunAnewItIsInOnePiece) {
  auto part = open(kHelloSha256, 2);
  ASSERT_TRUE(part->append(1, "xx"));
  ASSERT_TRUE(part->begin_anew());
  ASSERT_EQ(part->pieces().size(), 1U);
  EXPECT_FALSE(fs::exists(map()));
  ASSERT_TRUE(part->append(0, kText));
  EXPECT_TRUE(proven(*part));
  part->discard();
  EXPECT_FALSE(fs::exists(path_));
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
