#include "config/api_keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace minerva {
namespace {

// The hash of "secret", by sha256sum.
constexpr std::string_view kSecretHash = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

TEST(ApiKeys, AreHashed) {
  EXPECT_EQ(hash_api_key("secret").value(), kSecretHash);
  EXPECT_EQ(hash_api_key(kSecretHash).value(), kSecretHash);
}

TEST(ApiKeys, AcceptsTheKeyAndNotItsHash) {
  ApiKeys keys;
  EXPECT_TRUE(keys.empty());
  EXPECT_FALSE(keys.find(""));
  keys.add(hash_api_key("secret").value());
  keys.add(hash_api_key("other").value());
  EXPECT_FALSE(keys.empty());
  EXPECT_TRUE(keys.find("secret"));
  EXPECT_TRUE(keys.find("other"));
  for (const std::string_view wrong : {"", "secre", "secret ", "Secret", "secretother"}) {
    EXPECT_FALSE(keys.find(wrong)) << wrong;
  }
  EXPECT_FALSE(keys.find(kSecretHash));
}

TEST(ApiKeys, HaveNames) {
  EXPECT_EQ(hash_api_key("Anna's phone: secret").value(), "Anna's phone: " + std::string(kSecretHash));
  EXPECT_EQ(hash_api_key("anna: " + std::string(kSecretHash)).value(), "anna: " + std::string(kSecretHash));
  EXPECT_EQ(hash_api_key("a:b").value().find("sha256:"), 0U) << "a key";
  ApiKeys keys;
  keys.add(hash_api_key("anna: secret").value());
  keys.add(hash_api_key("secret").value(), Priority::kHigh);
  keys.add(hash_api_key("other").value());
  const auto anna = keys.find("secret");
  ASSERT_TRUE(anna);
  EXPECT_EQ(anna->priority, Priority::kHigh);
  EXPECT_EQ(keys.name_of(anna->user), "anna");
  EXPECT_EQ(keys.name_of(keys.find("other")->user), "");
  EXPECT_FALSE(keys.find("anna: secret"));
  EXPECT_EQ(keys.name_of(UserId{7}), "");
  for (const std::string& bad :
       {std::string(": secret"), std::string("a:b: secret"), std::string(" a: secret"), std::string("a : secret"),
        std::string("a\tb: secret"), std::string(65, 'a') + ": secret", std::string("anna: "),
        std::string("anna: sec ret"), std::string("anna: sha256:12")}) {
    const auto hash = hash_api_key(bad);
    ASSERT_FALSE(hash.has_value()) << bad;
    EXPECT_EQ(hash.error().message.find("sec"), std::string::npos) << bad;
  }
}

TEST(ApiKeys, RefusesWhatNoHeaderCanCarryWithoutRepeatingIt) {
  for (const std::string& bad :
       {std::string(), std::string("two words"), std::string("tab\t"), std::string("n\xc3\xa4h"), std::string(513, 'k'),
        std::string("sha256:"), std::string("sha256:ABC"), "sha256:" + std::string(64, 'g')}) {
    const auto hash = hash_api_key(bad);
    ASSERT_FALSE(hash.has_value()) << bad;
    EXPECT_EQ(hash.error().code, ErrorCode::kInvalidArgument);
    if (bad.size() > 7) EXPECT_EQ(hash.error().message.find(bad), std::string::npos);
  }
}

class KeyFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "keys-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& text, mode_t mode) {
    const std::string path = folder_ + "/keys";
    std::ofstream(path, std::ios::trunc) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }

  std::string folder_;
};

TEST_F(KeyFileTest, OneKeyPerLine) {
  const auto hashes = read_api_key_file(write("# ours\nanna: secret\r\n\n  \nother", 0600));
  ASSERT_TRUE(hashes.has_value()) << hashes.error().message;
  EXPECT_EQ(*hashes, (std::vector<std::string>{"anna: " + std::string(kSecretHash), hash_api_key("other").value()}));
}

TEST_F(KeyFileTest, MayBeReadByItsOwnerOnly) {
  for (const mode_t mode : {0640, 0604, 0660, 0606}) {
    const auto hashes = read_api_key_file(write("secret\n", mode));
    ASSERT_FALSE(hashes.has_value()) << mode;
    EXPECT_NE(hashes.error().message.find("chmod 600"), std::string::npos) << hashes.error().message;
  }
  EXPECT_TRUE(read_api_key_file(write("secret\n", 0400)).has_value());
}

TEST_F(KeyFileTest, ErrorsSayWhereAndNotWhat) {
  const auto bad = read_api_key_file(write("good\nvery bad key\n", 0600));
  ASSERT_FALSE(bad.has_value());
  EXPECT_NE(bad.error().message.find("keys:2: "), std::string::npos) << bad.error().message;
  EXPECT_EQ(bad.error().message.find("very"), std::string::npos) << bad.error().message;
  EXPECT_FALSE(read_api_key_file(write("# nothing\n", 0600)).has_value());
  EXPECT_FALSE(read_api_key_file(folder_ + "/missing").has_value());
  EXPECT_FALSE(read_api_key_file(folder_).has_value());
  EXPECT_FALSE(read_api_key_file("/dev/zero").has_value());
}

}  // namespace
}  // namespace minerva
