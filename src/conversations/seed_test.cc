#include "conversations/seed.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace minerva::conversations {
namespace {

namespace fs = std::filesystem;

class SeedTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "seed-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return (folder_ / name).string();
  }
  fs::path folder_;
};

TEST_F(SeedTest, DependsOnWhatFilesHold) {
  const std::string large(3'000'000, 'x');
  const auto with = [&](std::size_t at) {
    std::string text = large;
    text[at] = 'y';
    return text;
  };
  std::set<std::string> seen;
  // A change at the beginning, in a sample, and at the end; another size; nothing.
  for (const std::string& text : {large, with(0), with(200'000), with(large.size() - 1), large + "x", std::string()}) {
    const auto digest = files_digest({file("model", text)});
    ASSERT_TRUE(digest);
    EXPECT_EQ(digest->size(), kSeedDigits);
    EXPECT_TRUE(seen.insert(*digest).second);
    EXPECT_EQ(files_digest({file("copy", text)}).value(), *digest) << "the name does not count";
  }
}

TEST_F(SeedTest, KeepsFilesApart) {
  const std::string ab = file("1", "ab");
  const std::string a = file("2", "a");
  const std::string b = file("3", "b");
  EXPECT_NE(files_digest({ab}).value(), files_digest({a, b}).value());
  EXPECT_NE(files_digest({a, b}).value(), files_digest({b, a}).value());
  EXPECT_FALSE(files_digest({a, (folder_ / "missing").string()}));
}

TEST_F(SeedTest, HasEachPartOfTheMeaning) {
  const std::set<std::string> seeds = {seed_of("a", "b"), seed_of("ab", ""), seed_of("", "ab"), seed_of("b", "a")};
  EXPECT_EQ(seeds.size(), 4U);
  EXPECT_EQ(seed_of("a", "b"), seed_of("a", "b"));
}

}  // namespace
}  // namespace minerva::conversations
