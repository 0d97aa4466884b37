#include "pull/layout.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "catalog/hub_cache.h"

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

const std::string kLayoutCommit(40, 'c');
const std::string kLayoutEtag(64, 'e');

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
  EXPECT_EQ(layout.blob(kLayoutEtag), cache_ / "models--org--repo" / "blobs" / kLayoutEtag);
  EXPECT_EQ(layout.part(kLayoutEtag), cache_ / "models--org--repo" / "blobs" / (kLayoutEtag + ".minerva.incomplete"));
  EXPECT_EQ(layout.lock(kLayoutEtag), cache_ / ".locks" / "models--org--repo" / (kLayoutEtag + ".lock"));
  EXPECT_EQ(layout.snapshot(kLayoutCommit, "a/x.gguf"),
            cache_ / "models--org--repo" / "snapshots" / kLayoutCommit / "a/x.gguf");
}

TEST_F(Layout, WhatIsLinkedIsFoundByTheCatalog) {
  const HubLayout layout(cache_, "org/repo");
  ASSERT_TRUE(layout.make_folders());
  std::ofstream(layout.blob(kLayoutEtag)) << "GGUF";
  ASSERT_TRUE(layout.link(kLayoutCommit, "deep/x-Q8_0.gguf", kLayoutEtag));
  ASSERT_TRUE(layout.link(kLayoutCommit, "x-Q4_0.gguf", kLayoutEtag));
  ASSERT_TRUE(layout.link(kLayoutCommit, "x-Q4_0.gguf", kLayoutEtag)) << "again";
  ASSERT_TRUE(layout.set_ref("main", kLayoutCommit));
  EXPECT_EQ(fs::read_symlink(layout.snapshot(kLayoutCommit, "x-Q4_0.gguf")), "../../blobs/" + kLayoutEtag);
  EXPECT_EQ(fs::read_symlink(layout.snapshot(kLayoutCommit, "deep/x-Q8_0.gguf")), "../../../blobs/" + kLayoutEtag);
  std::stringstream ref;
  ref << std::ifstream(layout.folder() / "refs" / "main").rdbuf();
  EXPECT_EQ(ref.str(), kLayoutCommit);

  const HubRepo repo = read_hub_repo(fs::canonical(layout.folder()));
  EXPECT_EQ(repo.name, "org/repo");
  ASSERT_EQ(repo.files.size(), 2U);
  EXPECT_TRUE(repo.problems.empty());
}

TEST_F(Layout, ARevisionThatIsACommitIsNoBranch) {
  const HubLayout layout(cache_, "org/repo");
  ASSERT_TRUE(layout.set_ref(kLayoutCommit, kLayoutCommit));
  EXPECT_FALSE(fs::exists(layout.folder() / "refs"));
}

TEST_F(Layout, ALinkTakesTheOldOnesPlace) {
  const HubLayout layout(cache_, "org/repo");
  const std::string other(64, 'f');
  ASSERT_TRUE(layout.link(kLayoutCommit, "x.gguf", other));
  ASSERT_TRUE(layout.link(kLayoutCommit, "x.gguf", kLayoutEtag));
  EXPECT_EQ(fs::read_symlink(layout.snapshot(kLayoutCommit, "x.gguf")), "../../blobs/" + kLayoutEtag);
}

TEST_F(Layout, ALockIsOnes) {
  const HubLayout layout(cache_, "org/repo");
  ASSERT_TRUE(layout.make_folders());
  {
    const FileLock mine(layout.lock(kLayoutEtag));
    EXPECT_TRUE(mine.owned());
    EXPECT_FALSE(FileLock(layout.lock(kLayoutEtag)).owned());
  }
  EXPECT_TRUE(FileLock(layout.lock(kLayoutEtag)).owned());
}

}  // namespace
}  // namespace minerva::pull
