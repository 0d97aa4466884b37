#include "pull/layout.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "catalog/hub_cache.h"

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

const std::string kCommit(40, 'c');
const std::string kEtag(64, 'e');

class Layout : public testing::Test {
 protected:
  Layout() {
    std::string pattern = (fs::temp_directory_path() / "layout-XXXXXX").string();
    cache_ = ::mkdtemp(pattern.data());
  }
  void TearDown() override { fs::remove_all(cache_); }

  fs::path cache_;
};

TEST_F(Layout, IsTheHubsOwn) {
  const HubLayout layout(cache_, "org/repo");
  EXPECT_EQ(layout.blob(kEtag), cache_ / "models--org--repo" / "blobs" / kEtag);
  EXPECT_EQ(layout.part(kEtag), cache_ / "models--org--repo" / "blobs" / (kEtag + ".minerva.incomplete"));
  EXPECT_EQ(layout.lock(kEtag), cache_ / ".locks" / "models--org--repo" / (kEtag + ".lock"));
  EXPECT_EQ(layout.snapshot(kCommit, "a/x.gguf"), cache_ / "models--org--repo" / "snapshots" / kCommit / "a/x.gguf");
}

TEST_F(Layout, WhatIsLinkedIsFoundByTheCatalog) {
  const HubLayout layout(cache_, "org/repo");
  ASSERT_TRUE(layout.make_folders());
  std::ofstream(layout.blob(kEtag)) << "GGUF";
  ASSERT_TRUE(layout.link(kCommit, "deep/x-Q8_0.gguf", kEtag));
  ASSERT_TRUE(layout.link(kCommit, "x-Q4_0.gguf", kEtag));
  ASSERT_TRUE(layout.link(kCommit, "x-Q4_0.gguf", kEtag)) << "again";
  ASSERT_TRUE(layout.set_ref("main", kCommit));
  EXPECT_EQ(fs::read_symlink(layout.snapshot(kCommit, "x-Q4_0.gguf")), "../../blobs/" + kEtag);
  EXPECT_EQ(fs::read_symlink(layout.snapshot(kCommit, "deep/x-Q8_0.gguf")), "../../../blobs/" + kEtag);
  std::stringstream ref;
  ref << std::ifstream(layout.folder() / "refs" / "main").rdbuf();
  EXPECT_EQ(ref.str(), kCommit);

  const HubRepo repo = read_hub_repo(fs::canonical(layout.folder()));
  EXPECT_EQ(repo.name, "org/repo");
  ASSERT_EQ(repo.files.size(), 2U);
  EXPECT_TRUE(repo.problems.empty());
}

TEST_F(Layout, ARevisionThatIsACommitIsNoBranch) {
  const HubLayout layout(cache_, "org/repo");
  ASSERT_TRUE(layout.set_ref(kCommit, kCommit));
  EXPECT_FALSE(fs::exists(layout.folder() / "refs"));
}

TEST_F(Layout, ALinkTakesTheOldOnesPlace) {
  const HubLayout layout(cache_, "org/repo");
  const std::string other(64, 'f');
  ASSERT_TRUE(layout.link(kCommit, "x.gguf", other));
  ASSERT_TRUE(layout.link(kCommit, "x.gguf", kEtag));
  EXPECT_EQ(fs::read_symlink(layout.snapshot(kCommit, "x.gguf")), "../../blobs/" + kEtag);
}

TEST_F(Layout, ALockIsOnes) {
  const HubLayout layout(cache_, "org/repo");
  ASSERT_TRUE(layout.make_folders());
  {
    const FileLock mine(layout.lock(kEtag));
    EXPECT_TRUE(mine.owned());
    EXPECT_FALSE(FileLock(layout.lock(kEtag)).owned());
  }
  EXPECT_TRUE(FileLock(layout.lock(kEtag)).owned());
}

}  // namespace
}  // namespace minerva::pull
