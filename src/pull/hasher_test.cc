#include "pull/hasher.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace minerva::pull {
namespace {

std::string sha256(const std::string& text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

class HasherTest : public testing::Test {
 protected:
  void SetUp() override { file_ = ::memfd_create("hashed", MFD_CLOEXEC); }
  void TearDown() override { ::close(file_); }

  void write(std::string_view text, std::size_t at = 0) const {
    EXPECT_EQ(::pwrite(file_, text.data(), text.size(), static_cast<off_t>(at)), static_cast<ssize_t>(text.size()));
  }

  Stop stop_;
  int file_ = -1;
};

TEST_F(HasherTest, ReadsBehindWhoWrites) {
  std::string text(5'000'003, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 131 >> 7U);
  for (const std::size_t piece : {std::size_t{1000}, std::size_t{1} << 20U, text.size(), std::size_t{777'777}}) {
    EXPECT_EQ(::ftruncate(file_, 0), 0);
    Hasher hasher(file_, Proof::Kind::kSha256, text.size());
    for (std::size_t at = 0; at < text.size(); at += piece) {
      write(std::string_view(text).substr(at, piece), at);
      hasher.reach(std::min(at + piece, text.size()));
    }
    EXPECT_EQ(hasher.hex(stop_).value(), sha256(text)) << piece;
  }
}

TEST_F(HasherTest, OfLittleAndOfNothing) {
  EXPECT_EQ(Hasher(file_, Proof::Kind::kSha256, 0).hex(stop_).value(), sha256(""));
  write("abc");
  Hasher hasher(file_, Proof::Kind::kSha256, 3);
  hasher.reach(3);
  EXPECT_EQ(hasher.hex(stop_).value(), sha256("abc"));
}

TEST_F(HasherTest, HashesAsGitDoes) {
  write("hello\n");
  Hasher hasher(file_, Proof::Kind::kGitBlob, 6);
  hasher.reach(6);
  EXPECT_EQ(hasher.hex(stop_).value(), "ce013625030ba8dba906f756967f9e9ca394464a");
}

TEST_F(HasherTest, IsGivenUpInBetween) {
  constexpr std::size_t kSize = 20U << 20U;
  write(std::string(kSize, 'x'));
  Hasher hasher(file_, Proof::Kind::kSha256, 2 * kSize);
  hasher.reach(kSize);
}

TEST_F(HasherTest, IsStopped) {
  write("abc");
  Hasher hasher(file_, Proof::Kind::kSha256, 3);
  hasher.reach(3);
  Stop part(&stop_);
  stop_.set();
  const auto stopped = hasher.hex(part);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
}

TEST_F(HasherTest, SaysThatAFileCannotBeRead) {
  write("abc");
  Hasher hasher(file_, Proof::Kind::kSha256, 10);  // the file was cut off since
  hasher.reach(10);
  const auto failed = hasher.hex(stop_);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace minerva::pull
