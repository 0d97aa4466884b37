#include "pull/removal.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "catalog/catalog.h"
#include "pull/layout.h"

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

const std::string kOld(40, 'a');
const std::string kNew(40, 'b');

class RemovalTest : public testing::Test {
 protected:
  RemovalTest() {
    std::string pattern = (fs::temp_directory_path() / "removal-XXXXXX").string();
    root_ = fs::canonical(::mkdtemp(pattern.data()));
    models_ = root_ / "models";
    fs::create_directory(models_);
  }
  void TearDown() override { fs::remove_all(root_); }

  static void write(const fs::path& path, std::size_t size = 100) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << std::string(size, 'x');
  }
  // Makes a file of a repository in the hub's layout.
  void add(const std::string& name, char etag, const std::string& commit = kNew, std::size_t size = 100) {
    const HubLayout layout(models_, "o/r");
    ASSERT_TRUE(layout.make_folders());
    const std::string hex(64, etag);
    if (!fs::exists(layout.blob(hex))) write(layout.blob(hex), size);
    ASSERT_TRUE(layout.link(commit, name, hex));
    ASSERT_TRUE(layout.set_ref("main", commit));
  }
  fs::path blob(char etag) const { return HubLayout(models_, "o/r").blob(std::string(64, etag)); }
  bool is_there(const fs::path& path) const {
    std::error_code error;
    return fs::exists(fs::symlink_status(path, error));
  }

  std::vector<ModelSpec> scan() const {
    CatalogOptions options;
    options.models_dirs = {models_.string()};
    options.entries = entries_;
    return Catalog::scan(options).models;
  }
  std::vector<ModelId> ids() const {
    std::vector<ModelId> list;
    for (const ModelSpec& spec : scan()) list.push_back(spec.id);
    return list;
  }
  Result<Removal> plan(const ModelId& id) const {
    const auto all = scan();
    const auto spec = std::find_if(all.begin(), all.end(), [&](const ModelSpec& s) { return s.id == id; });
    if (spec == all.end()) return fail(ErrorCode::kModelNotFound, id);
    return plan_removal(*spec, all, {models_.string()});
  }
  // Removes the model. Returns how much was freed. Fails the test if that does not work.
  std::uint64_t remove(const ModelId& id) const {
    const auto removal = plan(id);
    EXPECT_TRUE(removal) << removal.error().message;
    if (!removal) return 0;
    const auto done = carry_out(*removal);
    EXPECT_TRUE(done) << done.error().message;
    return removal->frees.count();
  }

  fs::path root_;
  fs::path models_;
  std::vector<ModelEntry> entries_;
};

TEST_F(RemovalTest, OfTheHubsCacheLinksAndBlobsGo) {
  add("m-Q4_K_M.gguf", '1');
  add("m-Q8_0.gguf", '2');
  EXPECT_EQ(remove("o/r:Q8_0"), 100U);
  EXPECT_EQ(ids(), std::vector<ModelId>{"o/r:Q4_K_M"});
  EXPECT_FALSE(is_there(blob('2')));
  EXPECT_TRUE(is_there(blob('1')));
  EXPECT_FALSE(is_there(HubLayout(models_, "o/r").snapshot(kNew, "m-Q8_0.gguf")));
}

TEST_F(RemovalTest, AllSnapshotsGiveItUp) {
  add("m-Q8_0.gguf", '1', kOld);
  add("m-Q8_0.gguf", '2', kNew, 50);
  EXPECT_EQ(remove("o/r:Q8_0"), 150U);
  EXPECT_TRUE(ids().empty());
  EXPECT_FALSE(is_there(blob('1')));
  EXPECT_FALSE(is_there(blob('2')));
}

TEST_F(RemovalTest, ABlobThatAnotherFileLinksToStays) {
  add("m-Q8_0.gguf", '1');
  add("copy/other-Q8_0.gguf", '1');
  const auto all = scan();
  ASSERT_EQ(all.size(), 2U);
  const auto removal = plan(all.front().id);
  ASSERT_TRUE(removal) << removal.error().message;
  EXPECT_EQ(removal->frees, Bytes());
  EXPECT_EQ(removal->victims.size(), 1U);
  EXPECT_EQ(removal->stays.size(), 1U);
  ASSERT_TRUE(carry_out(*removal));
  const auto left = scan();
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left.front().place, all.back().place);
  EXPECT_TRUE(is_there(blob('1')));
}

TEST_F(RemovalTest, ProjectorsGoWithTheLastModelThatHasThem) {
  add("m-Q4_K_M.gguf", '1');
  add("m-Q8_0.gguf", '2');
  add("mmproj-m-f16.gguf", '3');
  EXPECT_EQ(remove("o/r:Q8_0"), 100U);
  EXPECT_TRUE(is_there(blob('3')));
  EXPECT_EQ(remove("o/r:Q4_K_M"), 200U);
  EXPECT_FALSE(is_there(blob('3')));
}

TEST_F(RemovalTest, EntriesOfTheSharedStoreStay) {
  const fs::path store = models_ / "blobs" / "11" / std::string(64, '1');
  write(store);
  const HubLayout layout(models_, "o/r");
  ASSERT_TRUE(layout.make_folders());
  fs::create_symlink(fs::path("../../blobs/11") / std::string(64, '1'), blob('1'));
  ASSERT_TRUE(layout.link(kNew, "m-Q8_0.gguf", std::string(64, '1')));
  ASSERT_EQ(ids(), std::vector<ModelId>{"o/r:Q8_0"});
  EXPECT_EQ(remove("o/r:Q8_0"), 0U);
  EXPECT_TRUE(is_there(store));
  EXPECT_FALSE(is_there(blob('1')));
}

TEST_F(RemovalTest, PartsGoFirst) {
  for (const char* name : {"m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"}) add(name, name[11]);
  add("mmproj-m.gguf", '9');
  const auto removal = plan("o/r:Q8_0");
  ASSERT_TRUE(removal) << removal.error().message;
  ASSERT_EQ(removal->victims.size(), 6U);
  EXPECT_EQ(removal->frees, Bytes(300));
  // A crash may come after any step: from the first step on it is no model any more.
  for (const Removal::Victim& victim : removal->victims) {
    Removal step;
    step.victims.push_back(victim);
    ASSERT_TRUE(carry_out(step));
    EXPECT_TRUE(ids().empty()) << victim.path;
  }
}

TEST_F(RemovalTest, AFileOfAModelsFolder) {
  write(models_ / "x.gguf");
  write(models_ / "sub" / "y-00001-of-00002.gguf");
  write(models_ / "sub" / "y-00002-of-00002.gguf");
  write(models_ / "sub" / "mmproj-y.gguf");
  write(models_ / "sub" / "notes.txt");
  EXPECT_EQ(remove("y"), 300U);
  EXPECT_EQ(ids(), std::vector<ModelId>{"x"});
  EXPECT_TRUE(is_there(models_ / "sub" / "notes.txt"));
  EXPECT_EQ(remove("x"), 100U);
}

TEST_F(RemovalTest, NeverThroughALinkThatLeadsOut) {
  write(root_ / "elsewhere" / "x.gguf");
  write(root_ / "elsewhere" / "deep" / "y.gguf");
  fs::create_symlink(root_ / "elsewhere" / "x.gguf", models_ / "x.gguf");
  fs::create_symlink(root_ / "elsewhere" / "deep", models_ / "deep");
  EXPECT_EQ(remove("x"), 0U);
  EXPECT_TRUE(is_there(root_ / "elsewhere" / "x.gguf"));
  EXPECT_FALSE(is_there(models_ / "x.gguf"));
  const auto refused = plan("y");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kForbidden);
  EXPECT_TRUE(is_there(root_ / "elsewhere" / "deep" / "y.gguf"));
}

TEST_F(RemovalTest, WhatAnotherModelNeedsIsRefused) {
  write(models_ / "x.gguf");
  fs::create_symlink("x.gguf", models_ / "y.gguf");
  const auto refused = plan("x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_EQ(remove("y"), 0U);
  EXPECT_EQ(remove("x"), 100U);
}

TEST_F(RemovalTest, ModelsOfTheConfig) {
  CommandSpec command;
  command.argv = {"/bin/true"};
  entries_.push_back({.id = "mine", .command = command});
  const auto refused = plan("mine");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("command of the config"), std::string::npos);
  // If the config names a file of the folder, that is another name for the same model.
  write(models_ / "x.gguf");
  entries_ = {{.id = "mine", .path = "x.gguf"}};
  EXPECT_EQ(remove("mine"), 100U);
}

TEST_F(RemovalTest, WhatWasReplacedMeanwhileIsLeft) {
  write(models_ / "x.gguf");
  const auto removal = plan("x");
  ASSERT_TRUE(removal);
  write(root_ / "other");
  fs::rename(root_ / "other", models_ / "x.gguf");
  EXPECT_FALSE(carry_out(*removal));
  EXPECT_TRUE(is_there(models_ / "x.gguf"));
  // The same with a folder that has become a link.
  write(models_ / "sub" / "y.gguf");
  const auto inside = plan("y");
  ASSERT_TRUE(inside);
  fs::rename(models_ / "sub", root_ / "moved");
  fs::create_directory_symlink(root_ / "moved", models_ / "sub");
  EXPECT_FALSE(carry_out(*inside));
  EXPECT_TRUE(is_there(root_ / "moved" / "y.gguf"));
}

TEST_F(RemovalTest, ALockedBlobIsLeft) {
  add("m-Q8_0.gguf", '1');
  const auto removal = plan("o/r:Q8_0");
  ASSERT_TRUE(removal);
  {
    const FileLock lock(HubLayout(models_, "o/r").lock(std::string(64, '1')));
    ASSERT_TRUE(lock.owned());
    const auto refused = carry_out(*removal);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  }
  EXPECT_EQ(ids().size(), 1U);
  EXPECT_TRUE(carry_out(*removal));
}

}  // namespace
}  // namespace minerva::pull
