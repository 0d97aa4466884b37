#include "pull/discard.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "pull/layout.h"

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

const std::string kCommit(40, 'c');
const std::string kEtag(64, 'e');

class Discard : public testing::Test {
 protected:
  Discard() {
    std::string pattern = (fs::temp_directory_path() / "discard-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    settings_.hub_cache = folder_ / "hub";
    settings_.models_dir = folder_ / "models";
    fs::create_directories(parts_folder(settings_.models_dir));
    EXPECT_TRUE(layout().make_folders());
    asked_.repo = "org/repo";
  }
  void TearDown() override { fs::remove_all(folder_); }

  HubLayout layout() const { return {settings_.hub_cache, "org/repo"}; }
  static void put(const fs::path& path) { std::ofstream(path) << "bytes"; }

  fs::path folder_;
  FetchSettings settings_;
  Asked asked_;
};

TEST_F(Discard, TakesThePartsAndTheBlobsOfTheJobOnly) {
  const std::string other(64, 'f');
  for (const std::string& etag : {kEtag, other}) {
    put(layout().part(etag));
    put(layout().blob(etag));
    put(layout().unproven(etag));
  }
  discard(settings_, asked_, {kEtag});
  EXPECT_FALSE(fs::exists(layout().part(kEtag)));
  EXPECT_FALSE(fs::exists(layout().blob(kEtag)));
  EXPECT_FALSE(fs::exists(layout().unproven(kEtag)));
  EXPECT_TRUE(fs::exists(layout().part(other)));
  EXPECT_TRUE(fs::exists(layout().blob(other)));
}

TEST_F(Discard, LeavesABlobThatAModelHas) {
  put(layout().part(kEtag));
  put(layout().blob(kEtag));
  ASSERT_TRUE(layout().link(kCommit, "deep/x.gguf", kEtag));
  discard(settings_, asked_, {kEtag});
  EXPECT_FALSE(fs::exists(layout().part(kEtag)));
  EXPECT_TRUE(fs::exists(layout().blob(kEtag)));
}

TEST_F(Discard, LeavesWhatAnotherProgramFetches) {
  put(layout().part(kEtag));
  const FileLock lock(layout().lock(kEtag));
  ASSERT_TRUE(lock.owned());
  discard(settings_, asked_, {kEtag});
  EXPECT_TRUE(fs::exists(layout().part(kEtag)));
}

TEST_F(Discard, TakesThePartOfAnotherHost) {
  asked_ = {};
  asked_.url = "https://host/x.gguf";
  const fs::path part = parts_folder(settings_.models_dir) / "x.gguf-01234567.minerva.incomplete";
  put(part);
  put(settings_.models_dir / "x.gguf");
  discard(settings_, asked_, {part.filename().string(), "x.gguf"});
  EXPECT_FALSE(fs::exists(part));
  EXPECT_TRUE(fs::exists(settings_.models_dir / "x.gguf"));
}

TEST_F(Discard, IsLedNowhereByADamagedTable) {
  const fs::path outside = folder_ / "models/x.minerva.incomplete";
  put(outside);
  put(layout().folder() / "keep");
  discard(settings_, asked_, {"../keep", "", kEtag + "/../../keep", std::string(63, 'e')});
  EXPECT_TRUE(fs::exists(layout().folder() / "keep"));
  asked_ = {};
  asked_.url = "https://host/x.gguf";
  discard(settings_, asked_, {"../x.minerva.incomplete", "..", ""});
  EXPECT_TRUE(fs::exists(outside));
}

TEST_F(Discard, PassesOverALinkInABlobsPlace) {
  put(folder_ / "shared");
  fs::create_symlink(folder_ / "shared", layout().blob(kEtag));
  discard(settings_, asked_, {kEtag});
  EXPECT_TRUE(fs::is_symlink(layout().blob(kEtag)));
  EXPECT_TRUE(fs::exists(folder_ / "shared"));
}

}  // namespace
}  // namespace minerva::pull
