#include "conversations/store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "conversations/folder_name.h"
#include "io/failing_files.h"

namespace minerva::conversations {
namespace {

namespace fs = std::filesystem;
using protocol::SegmentName;

constexpr const char* kStoreSeed = "0123456789abcdef0123456789abcdef";
constexpr const char* kOther = "1";  // another tenant

SegmentName name(std::uint64_t n, std::uint64_t parent = 0) {
  const auto from = static_cast<std::uint32_t>(parent * 10);
  return {{0, n}, {0, parent}, from, from + 10};
}

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "store-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = fs::canonical(pattern);
    root_ = folder_ / "conversations";
    std::ofstream(folder_ / "model.gguf") << "GGUF";
    files_.emplace(folder_);
  }
  void TearDown() override {
    store_.reset();
    fs::remove_all(folder_);
  }

  // Starts what takes itself for a new process.
  void start(bool enabled = true) {
    store_.reset();
    store_.emplace(loop_, root_.string(), [this](const ModelId&) { return cost_; }, *files_);
    apply(enabled);
  }
  void apply(bool enabled = true) {
    std::optional<Store::Settings> settings;
    if (enabled) settings = Store::Settings{[this](Bytes) { return budget_; }, max_age_, tenants_};
    store_->apply(settings);
    settle();
  }
  // Runs until everything that was begun is done.
  void settle() {
    for (int i = 0; i < 10; ++i) {
      store_->finish();
      loop_.post([this] { loop_.stop(); });
      loop_.run();
    }
  }
  std::string prepare(const ModelId& model = "m", const std::string& meaning = "x") {
    std::optional<std::string> folder;
    store_->prepare(model, {(folder_ / "model.gguf").string()}, meaning, [&](std::string made) {
      folder = std::move(made);
      loop_.stop();
    });
    loop_.run();
    return folder.value_or("never");
  }
  // nullptr: there is none to write in.
  std::shared_ptr<NewFile> make_file(const std::string& folder) {
    std::shared_ptr<NewFile> file;
    store_->make_file(folder, [&](Store::MadeFile made) { file = std::move(made.file); });
    settle();
    return file;
  }
  // Whether there is a file to write in. Then writes `bytes` and hands it back.
  bool save(const std::string& folder, const SegmentName& segment, const std::string& tenant = "0",
            std::size_t bytes = 100) {
    std::shared_ptr<NewFile> file = make_file(folder);
    if (!file) return false;
    EXPECT_EQ(::write(file->descriptor(), std::string(bytes, 'x').data(), bytes), static_cast<ssize_t>(bytes));
    bool done = false;
    store_->keep(folder, std::move(file), tenant, segment, [&](bool) { done = true; });
    settle();
    EXPECT_TRUE(done);
    return true;
  }
  // The names of all files below the root.
  std::vector<std::string> on_disk() {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::recursive_directory_iterator it(root_, error), end; !error && it != end; ++it) {
      if (it->is_regular_file()) names.push_back(it->path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  static std::vector<std::string> texts(const std::vector<SegmentName>& segments) {
    std::vector<std::string> names;
    for (const SegmentName& segment : segments) names.push_back(to_text(segment));
    std::sort(names.begin(), names.end());
    return names;
  }

  fs::path folder_;
  fs::path root_;
  io::Loop loop_;
  Bytes budget_ = Bytes(10'000);
  std::chrono::hours max_age_{100};
  std::set<std::string> tenants_ = {"0", kOther};
  double cost_ = 1;
  std::optional<io::FailingFiles> files_;
  std::optional<Store> store_;
};

TEST_F(StoreTest, WhatWasSavedIsThereAfterARestart) {
  start();
  const std::string folder = prepare();
  ASSERT_TRUE(folder.starts_with(root_.string())) << folder;
  EXPECT_TRUE(save(folder, name(1)));
  EXPECT_TRUE(save(folder, name(2, 1), "0", 200));
  EXPECT_TRUE(save(folder, name(1), kOther));
  EXPECT_EQ(on_disk(), texts({name(1), name(1), name(2, 1)}));
  for (const auto& entry : fs::recursive_directory_iterator(root_)) {
    const auto mode = entry.is_directory() ? fs::perms::owner_all : fs::perms::owner_read | fs::perms::owner_write;
    EXPECT_EQ(entry.status().permissions(), mode) << entry.path();
  }
  EXPECT_EQ(store_->bytes(), Bytes(400));
  EXPECT_EQ(store_->segments(), 3U);
  EXPECT_EQ(store_->counts().saved, Bytes(400));
  EXPECT_EQ(store_->sums("").at("m").bytes, Bytes(400));
  EXPECT_EQ(store_->sums(kOther).at("m").segments, 1U);
  start();
  EXPECT_EQ(store_->bytes(), Bytes(400));
  EXPECT_EQ(store_->segments(), 3U);
  EXPECT_EQ(prepare(), folder) << "the same files and settings";
  EXPECT_NE(prepare("m", "y"), folder);
  std::ofstream(folder_ / "model.gguf") << "gguf";
  EXPECT_NE(prepare(), folder) << "overwritten in place";
}

TEST_F(StoreTest, AMachineThatLosesItsPowerHasNamesOfWholeFilesOnly) {
  for (const auto loss : {io::FailingFiles::Loss::kAll, io::FailingFiles::Loss::kBytes}) {
    for (int n = 1; n <= 4; ++n) {
      SCOPED_TRACE(n);
      start();
      const std::string folder = prepare();
      ASSERT_TRUE(save(folder, name(1)));
      files_->fail_at(n, EIO, /*also_after=*/true);
      save(folder, name(2, 1));
      EXPECT_TRUE(files_->failed()) << "all calls were tried";
      files_->fail_no_more();
      files_->lose_power(loss);
      start();
      EXPECT_TRUE(on_disk() == texts({name(1)}) || on_disk() == texts({name(1), name(2, 1)}));
      EXPECT_EQ(store_->bytes(), Bytes(100 * store_->segments())) << "of the whole size";
      apply(false);
    }
  }
}

TEST_F(StoreTest, AFileThatIsWrittenAgainIsTheOldOneOrTheNewOne) {
  for (int n = 1; n <= 6; ++n) {
    SCOPED_TRACE(n);
    start();
    const std::string folder = prepare();
    ASSERT_TRUE(save(folder, name(1)));
    files_->fail_at(n, EIO, /*also_after=*/true);
    save(folder, name(1), "0", 200);
    EXPECT_TRUE(files_->failed()) << "all calls were tried";
    files_->fail_no_more();
    start();
    ASSERT_EQ(on_disk(), texts({name(1)}));
    EXPECT_TRUE(store_->bytes() == Bytes(100) || store_->bytes() == Bytes(200)) << store_->bytes().count();
    apply(false);
  }
  start();
  const std::string folder = prepare();
  ASSERT_TRUE(save(folder, name(1)));
  ASSERT_TRUE(save(folder, name(1), "0", 200));
  EXPECT_EQ(store_->bytes(), Bytes(200));
  EXPECT_EQ(store_->segments(), 1U);
  SegmentName other = name(1);
  ++other.to;
  ASSERT_TRUE(save(folder, other));
  EXPECT_EQ(on_disk(), texts({name(1)})) << "one id has one file";
  EXPECT_EQ(store_->bytes(), Bytes(200));
}

TEST_F(StoreTest, FoldersWithoutFilesGoAtTheEnd) {
  start();
  const std::string kept = prepare("m");
  ASSERT_TRUE(save(kept, name(1)));
  const std::string empty = prepare("n");
  EXPECT_TRUE(fs::exists(empty));
  store_.reset();
  EXPECT_TRUE(fs::exists(kept));
  EXPECT_FALSE(fs::exists(empty));
}

TEST_F(StoreTest, WhatIsNotOursStays) {
  start();
  const fs::path folder = prepare();
  ASSERT_TRUE(save(folder, name(1)));
  store_.reset();
  const std::vector<fs::path> foreign = {root_ / "notes", folder / "notes", folder / "0" / "notes", folder / ".new-me",
                                         root_ / "elsewhere" / to_text(name(1))};
  for (const fs::path& path : foreign) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << "mine";
  }
  fs::create_symlink(folder_ / "model.gguf", folder / "0" / to_text(name(5)));
  fs::create_directory_symlink(folder_, root_ / folder_name("n", kStoreSeed));
  const fs::path litter = folder / ".new-123-4";
  std::ofstream(litter) << "half";
  std::ofstream(folder / "0" / to_text(name(3, 2))) << "an orphan";
  start();
  EXPECT_EQ(store_->segments(), 1U);
  EXPECT_EQ(store_->bytes(), Bytes(100));
  EXPECT_FALSE(fs::exists(litter)) << "an earlier process has left it";
  EXPECT_FALSE(fs::exists(folder / "0" / to_text(name(3, 2))));
  apply(false);
  for (const fs::path& path : foreign) EXPECT_TRUE(fs::exists(path)) << path;
  EXPECT_TRUE(fs::exists(folder_ / "model.gguf"));
  EXPECT_TRUE(fs::is_symlink(folder / "0" / to_text(name(5))));
}

TEST_F(StoreTest, OffLeavesNothing) {
  start();
  const std::string folder = prepare();
  ASSERT_TRUE(save(folder, name(1)));
  apply(false);
  EXPECT_FALSE(fs::exists(root_));
  EXPECT_EQ(store_->bytes(), Bytes());
  EXPECT_EQ(prepare(), "");
  EXPECT_FALSE(save(folder, name(2)));
  EXPECT_FALSE(fs::exists(root_));
  apply(true);
  EXPECT_FALSE(save(folder, name(2))) << "of an engine that was started before";
  EXPECT_EQ(store_->counts().failed, 0U);
  ASSERT_TRUE(save(prepare(), name(1)));
  start(false);
  EXPECT_FALSE(fs::exists(root_)) << "off at the next start";
}

TEST_F(StoreTest, TheBudgetCountsAtOnce) {
  start();
  const std::string folder = prepare();
  for (std::uint64_t n = 1; n <= 9; ++n) ASSERT_TRUE(save(folder, name(n, n - 1), "0", 1000));
  EXPECT_EQ(store_->segments(), 9U);
  ASSERT_TRUE(save(folder, name(10), "0", 1900));
  EXPECT_LE(store_->bytes(), budget_);
  EXPECT_EQ(on_disk().size(), store_->segments());
  budget_ = Bytes(2000);
  apply();
  EXPECT_LE(store_->bytes(), Bytes(2000));
  EXPECT_EQ(on_disk().size(), store_->segments());
  budget_ = Bytes(10);
  apply();
  EXPECT_EQ(on_disk(), std::vector<std::string>{});
}

TEST_F(StoreTest, OldOnesGo) {
  start();
  const std::string folder = prepare();
  for (const std::uint64_t n : {1, 2}) ASSERT_TRUE(save(folder, name(n)));
  const auto file = fs::path(folder) / "0" / to_text(name(1));
  fs::last_write_time(file, fs::last_write_time(file) - std::chrono::hours(101));
  start();
  EXPECT_EQ(on_disk(), texts({name(2)}));
  const auto younger = fs::path(folder) / "0" / to_text(name(2));
  fs::last_write_time(younger, fs::last_write_time(younger) - std::chrono::hours(99));
  start();
  store_->used(folder, "0", {0, 2}, {7, std::chrono::seconds(3)});
  settle();
  EXPECT_EQ(store_->counts().restored_tokens, 7U);
  EXPECT_EQ(store_->counts().time_saved, std::chrono::seconds(3));
  max_age_ = std::chrono::hours(50);
  start();
  EXPECT_EQ(on_disk(), texts({name(2)})) << "its use is known after a restart";
}

TEST_F(StoreTest, ATenantThatIsNoMoreHasNothing) {
  start();
  const std::string folder = prepare();
  ASSERT_TRUE(save(folder, name(1)));
  ASSERT_TRUE(save(folder, name(2), kOther));
  ASSERT_TRUE(save(folder, name(3), "2")) << "there is no such tenant";
  EXPECT_EQ(on_disk(), texts({name(1), name(2)}));
  tenants_ = {"0"};
  apply();
  EXPECT_EQ(on_disk(), texts({name(1)}));
  tenants_ = {kOther};
  start();
  EXPECT_EQ(on_disk(), texts({}));
}

TEST_F(StoreTest, ClearsByModelAndTenant) {
  start();
  const std::string m = prepare("m");
  const std::string n = prepare("org/n");
  const auto fill = [&] {
    for (const std::string& folder : {m, n}) {
      ASSERT_TRUE(save(folder, name(1)));
      ASSERT_TRUE(save(folder, name(2), kOther));
    }
  };
  fill();
  EXPECT_EQ(store_->clear("org/n", kOther).segments, 1U);
  settle();
  EXPECT_EQ(on_disk(), texts({name(1), name(1), name(2)}));
  EXPECT_EQ(store_->clear("", "0").bytes, Bytes(200));
  settle();
  EXPECT_EQ(on_disk(), texts({name(2)}));
  EXPECT_TRUE(save(m, name(3, 1))) << "its parent is gone";
  EXPECT_EQ(on_disk(), texts({name(2)}));
  fill();
  EXPECT_EQ(store_->clear("m", "").segments, 2U);
  EXPECT_EQ(store_->clear("", "").segments, 2U);
  settle();
  EXPECT_EQ(on_disk(), texts({}));
}

TEST_F(StoreTest, FilesThatCannotBeRemovedAreCountedAndSaid) {
  start();
  const std::string folder = prepare();
  ASSERT_TRUE(save(folder, name(1)));
  ASSERT_TRUE(save(folder, name(2, 1)));
  files_->fail_at(1, EROFS, /*also_after=*/true);
  std::optional<std::string> why_not;
  EXPECT_EQ(store_->clear("", "", [&](std::string why) { why_not = std::move(why); }).segments, 2U);
  settle();
  EXPECT_EQ(why_not, "Read-only file system");
  EXPECT_EQ(store_->segments(), 2U) << "they are still there";
  files_->fail_no_more();
  store_->clear("", "", [&](std::string why) { why_not = std::move(why); });
  settle();
  EXPECT_EQ(why_not, "");
  EXPECT_EQ(store_->segments(), 0U);
  EXPECT_EQ(on_disk(), texts({}));
}

TEST_F(StoreTest, ItIsSaidWhenAFileIsNotKept) {
  start();
  const std::string folder = prepare();
  std::shared_ptr<NewFile> file = make_file(folder);
  ASSERT_TRUE(file);
  files_->fail_at(1, EIO, /*also_after=*/true);
  std::optional<bool> kept;
  store_->keep(folder, std::move(file), "0", name(1), [&](bool is_kept) { kept = is_kept; });
  settle();
  EXPECT_EQ(kept, false);
  files_->fail_no_more();
  file = make_file(folder);
  ASSERT_FALSE(file) << "the disk is left alone for a while";
}

TEST_F(StoreTest, UsesOfAClockThatWasAheadCountAsNow) {
  start();
  const std::string folder = prepare();
  ASSERT_TRUE(save(folder, name(1)));
  fs::path file;
  for (fs::recursive_directory_iterator it(root_), end; it != end; ++it) {
    if (it->is_regular_file()) file = it->path();
  }
  fs::last_write_time(file, fs::file_time_type::clock::now() + std::chrono::hours(72));
  budget_ = Bytes(150);
  start();
  ASSERT_TRUE(save(folder, name(2)));
  EXPECT_EQ(on_disk(), texts({name(2)})) << "the newest one stays";
}

TEST_F(StoreTest, WhatAnotherFileOfTheModelHasLeftGoesFirst) {
  start();
  const std::string old = prepare("m", "x");
  ASSERT_TRUE(save(old, name(1), "0", 400));
  const std::string now = prepare("m", "y");
  ASSERT_NE(old, now);
  ASSERT_TRUE(save(now, name(2), "0", 1000));
  budget_ = Bytes(1450);
  start();
  ASSERT_EQ(prepare("m", "y"), now);
  ASSERT_TRUE(save(now, name(3)));
  EXPECT_EQ(on_disk(), texts({name(2), name(3)}));
}

TEST_F(StoreTest, WhatIsClearedWhileItIsKeptIsGone) {
  start();
  const std::string folder = prepare();
  std::shared_ptr<NewFile> file = make_file(folder);
  ASSERT_TRUE(file);
  store_->keep(folder, std::move(file), "0", name(1), [](bool) {});
  store_->clear("", "");
  settle();
  EXPECT_EQ(on_disk(), texts({}));
  EXPECT_EQ(store_->segments(), 0U);
}

TEST_F(StoreTest, WhatIsClearedOfOneTenantIsNoOtherTenants) {
  start();
  const std::string folder = prepare();
  std::shared_ptr<NewFile> file = make_file(folder);
  ASSERT_TRUE(file);
  store_->keep(folder, std::move(file), "0", name(1), [](bool) {});
  store_->clear("", kOther);
  store_->clear("n", "");
  settle();
  EXPECT_EQ(on_disk(), texts({name(1)}));
}

TEST_F(StoreTest, AClearThatComesBeforeTheDiskIsKnownCounts) {
  start();
  const std::string folder = prepare();
  ASSERT_TRUE(save(folder, name(1)));
  ASSERT_TRUE(save(folder, name(2), kOther));
  store_.reset();
  store_.emplace(loop_, root_.string(), [this](const ModelId&) { return cost_; }, *files_);
  store_->apply(Store::Settings{[this](Bytes) { return budget_; }, max_age_, tenants_});
  EXPECT_FALSE(store_->is_read());
  store_->clear("", "0");
  settle();
  EXPECT_TRUE(store_->is_read());
  EXPECT_EQ(on_disk(), texts({name(2)}));
  EXPECT_EQ(store_->segments(), 1U);
}

TEST_F(StoreTest, TheFolderMayBeALinkToAnotherDisk) {
  fs::create_directory(folder_ / "large");
  fs::permissions(folder_ / "large", fs::perms::all);
  fs::create_directory_symlink(folder_ / "large", root_);
  start();
  ASSERT_TRUE(save(prepare(), name(1)));
  EXPECT_EQ(fs::status(folder_ / "large").permissions(), fs::perms::owner_all) << "nobody else may look";
  start();
  EXPECT_EQ(store_->segments(), 1U);
  apply(false);
  EXPECT_TRUE(fs::is_empty(folder_ / "large"));
}

TEST_F(StoreTest, AFolderThatCannotBeMadeIsSaid) {
  std::ofstream(root_) << "mine";
  start();
  testing::internal::CaptureStderr();
  EXPECT_EQ(prepare(), "");
  EXPECT_NE(testing::internal::GetCapturedStderr().find("cannot be saved"), std::string::npos);
  store_.reset();
  EXPECT_TRUE(fs::is_regular_file(root_));
}

TEST_F(StoreTest, AFolderThatSomebodyRemovedIsNotCounted) {
  start();
  const std::string folder = prepare();
  ASSERT_TRUE(save(folder, name(1)));
  fs::remove_all(root_);
  std::optional<bool> never;
  store_->make_file(folder, [&](const Store::MadeFile& made) { never = made.never; });
  settle();
  EXPECT_EQ(never, true);
  EXPECT_EQ(store_->bytes(), Bytes());
  EXPECT_EQ(store_->counts().failed, 0U);
}

TEST_F(StoreTest, WhatIsEvictedAtOnceIsNotWrittenAgainAndAgain) {
  budget_ = Bytes(50);
  start();
  const std::string folder = prepare();
  testing::internal::CaptureStderr();
  EXPECT_TRUE(save(folder, name(1)));
  EXPECT_FALSE(save(folder, name(1)));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("conversations.disk"), std::string::npos);
  EXPECT_EQ(on_disk(), texts({}));
}

TEST_F(StoreTest, AFileThatAnEngineRefusesGoesWithAllThatFollowsIt) {
  start();
  const std::string folder = prepare();
  for (const std::uint64_t n : {1, 2, 3}) ASSERT_TRUE(save(folder, name(n, n - 1)));
  store_->unusable(folder, "0", {0, 2});
  settle();
  EXPECT_EQ(on_disk(), texts({name(1)}));
  EXPECT_EQ(store_->counts().unusable, 1U);
  EXPECT_TRUE(save(folder, name(2, 1)));
  EXPECT_EQ(on_disk(), texts({name(1), name(2, 1)}));
}

TEST_F(StoreTest, AFullDiskWarnsOnceAndIsLeftAlone) {
  start();
  const std::string folder = prepare();
  testing::internal::CaptureStderr();
  files_->fail_at(1, ENOSPC, /*also_after=*/true);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(save(folder, name(1)));
  store_->note_failure("the engine says so");
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("No space left"), std::string::npos) << log;
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_EQ(files_->calls(), 1) << "it is not tried again at once";
  EXPECT_EQ(store_->counts().failed, 2U);
  EXPECT_EQ(store_->failure(), "the engine says so");
}

TEST_F(StoreTest, AFileSystemThatHasNoFilesWithoutNames) {
  start();
  const std::string folder = prepare();
  files_->fail_at(1, EOPNOTSUPP);
  ASSERT_TRUE(save(folder, name(1)));
  EXPECT_EQ(on_disk(), texts({name(1)})) << "by a temporary";
  files_->fail_at(1, EOPNOTSUPP);
  std::shared_ptr<NewFile> file = make_file(folder);
  EXPECT_EQ(on_disk().size(), 2U);
  file.reset();
  settle();
  EXPECT_EQ(on_disk(), texts({name(1)})) << "an engine that died has left nothing";
}

}  // namespace
}  // namespace minerva::conversations
