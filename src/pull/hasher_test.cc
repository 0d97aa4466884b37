#include "pull/hasher.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>

namespace minerva::pull {
namespace {

std::string sha256(const std::string& text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

std::string hash_in_pieces(const std::string& text, std::size_t piece) {
  Hasher hasher(Proof::Kind::kSha256, text.size());
  for (std::size_t at = 0; at < text.size(); at += piece) hasher.update(std::string_view(text).substr(at, piece));
  return hasher.hex();
}

TEST(Hasher, TakesPiecesOfAnySize) {
  std::string text(5'000'003, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 131 >> 7U);
  for (const std::size_t piece : {std::size_t{1000}, std::size_t{1} << 20U, text.size(), std::size_t{777'777}}) {
    EXPECT_EQ(hash_in_pieces(text, piece), sha256(text)) << piece;
  }
  EXPECT_EQ(hash_in_pieces("", 1), sha256(""));
  EXPECT_EQ(hash_in_pieces("abc", 1), sha256("abc"));
}

TEST(Hasher, HashesAsGitDoes) {
  Hasher hasher(Proof::Kind::kGitBlob, 6);
  hasher.update("hello\n");
  EXPECT_EQ(hasher.hex(), "ce013625030ba8dba906f756967f9e9ca394464a");
}

TEST(Hasher, IsGivenUpInBetween) {
  Hasher hasher(Proof::Kind::kSha256, 0);
  hasher.update(std::string(20U << 20U, 'x'));
}

}  // namespace
}  // namespace minerva::pull
