// State on a disk that fails at each call in turn, and on a machine that loses its power.
#include "io/files.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <optional>

#include "io/failing_files.h"
#include "io/state_file.h"

namespace minerva::io {
namespace {

namespace fs = std::filesystem;
using Loss = FailingFiles::Loss;

constexpr StateFile::Format kFormat{"things", 1, "nothing is lost"};

class FilesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "files-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = (folder_ / "things.json").string();
  }
  void TearDown() override { fs::remove_all(folder_); }
  void begin_with(const std::optional<std::string>& content) const {
    for (const auto& entry : fs::directory_iterator(folder_)) fs::remove(entry.path());
    if (content) ASSERT_TRUE(StateFile(path_, kFormat).write(*content));
  }
  std::optional<std::string> on_disk() const { return StateFile(path_, kFormat).read(); }

  // `deed` on files of which the n-th call fails, for each n that there is, in each way and with each loss afterwards;
  // `look` says what must be so then.
  void at_each_call(const std::optional<std::string>& before, const std::function<bool(FailingFiles&)>& deed,
                    const std::function<void(FailingFiles&, bool done)>& look) const {
    for (const int error : {EIO, ENOSPC}) {
      for (const bool also_after : {false, true}) {
        for (const std::optional<Loss> loss :
             {std::optional<Loss>(), std::optional(Loss::kAll), std::optional(Loss::kBytes)}) {
          int n = 1;
          for (bool failed = true; failed; ++n) {
            begin_with(before);
            FailingFiles files(folder_);
            files.fail_at(n, error, also_after);
            const bool done = deed(files);
            failed = files.failed();
            if (loss) files.lose_power(*loss);
            files.fail_no_more();
            SCOPED_TRACE(testing::Message() << "call " << n << ", error " << error << ", also after: " << also_after
                                            << ", loss " << (loss ? static_cast<int>(*loss) : -1));
            look(files, done);
          }
          ASSERT_GT(n, 2);
        }
      }
    }
  }

  fs::path folder_;
  std::string path_;
};

TEST_F(FilesTest, TheFakeForgetsWhatWasNotSynced) {
  begin_with({});
  FailingFiles files(folder_);
  const auto text = [&](const char* name) {
    std::ostringstream all;
    all << std::ifstream(folder_ / name).rdbuf();
    return all.str();
  };
  const auto put = [&](const char* name, bool syncs) {
    const Descriptor fd = files.open(folder_ / name, O_WRONLY | O_CREAT, 0600);
    ASSERT_EQ(files.write(*fd, "bytes"), 5);
    if (syncs) ASSERT_EQ(files.sync(*fd), 0);
  };
  put("synced", true);
  put("not synced", false);
  const Descriptor names = files.open(folder_, O_RDONLY | O_DIRECTORY, 0);
  ASSERT_EQ(files.sync(*names), 0);
  put("without a name", true);
  ASSERT_EQ(files.rename(folder_ / "synced", folder_ / "renamed", 0), 0);
  ASSERT_EQ(files.unlink(folder_ / "not synced"), 0);
  files.lose_power(Loss::kAll);
  EXPECT_EQ(text("synced"), "bytes");
  EXPECT_FALSE(fs::exists(folder_ / "renamed"));
  EXPECT_FALSE(fs::exists(folder_ / "without a name"));
  EXPECT_TRUE(fs::exists(folder_ / "not synced"));
  EXPECT_EQ(text("not synced"), "");
  // What a StateFile would lose without its sync.
  put("new", false);
  ASSERT_EQ(files.rename(folder_ / "new", folder_ / "synced", 0), 0);
  files.lose_power(Loss::kBytes);
  EXPECT_EQ(text("synced"), "");
}

TEST_F(FilesTest, AStateFileHoldsTheOldOrTheNew) {
  for (const std::optional<std::string>& before : {std::optional<std::string>(), std::optional<std::string>("old")}) {
    std::string said;
    at_each_call(
        before,
        [&](FailingFiles& files) {
          const Result<void> written = StateFile(path_, kFormat, files).write("new");
          said = written ? "" : written.error().message;
          return written.has_value();
        },
        [&](FailingFiles& files, bool done) {
          const auto found = on_disk();
          EXPECT_TRUE(found == before || found == "new") << found.value_or("nothing");
          if (done) EXPECT_EQ(found, "new") << "it was said to be on disk";
          EXPECT_EQ(said.empty(), done);
          EXPECT_FALSE(fs::exists(path_ + ".damaged"));
          ASSERT_TRUE(StateFile(path_, kFormat, files).write("newer"));
          EXPECT_EQ(on_disk(), "newer");
        });
  }
}

TEST_F(FilesTest, WhatIsSetAsideIsNotLost) {
  at_each_call(
      "content",
      [&](FailingFiles& files) {
        StateFile(path_, kFormat, files).set_aside("of the test");
        return true;
      },
      [&](FailingFiles&, bool) {
        const bool aside = fs::exists(path_ + ".damaged");
        EXPECT_NE(aside, fs::exists(path_));
        EXPECT_EQ(StateFile(aside ? path_ + ".damaged" : path_, kFormat).read(), "content");
      });
}

TEST_F(FilesTest, ASaverGoesOnAndSaysSo) {
  for (int n = 1; n <= 6; ++n) {
    SCOPED_TRACE(n);
    begin_with("old");
    FailingFiles files(folder_);
    files.fail_at(n, EIO);
    testing::internal::CaptureStderr();
    {
      Loop loop;
      StateSaver saver(loop, StateFile(path_, kFormat, files), std::chrono::milliseconds(1),
                       [content = std::optional<std::string>("new")]() mutable { return std::exchange(content, {}); });
      saver.save_now([&] { loop.stop(); });
      loop.run();
    }
    EXPECT_EQ(on_disk(), "new");
    const std::string log = testing::internal::GetCapturedStderr();
    // The first call removes what an earlier write may have left: there is nothing.
    if (n > 1) EXPECT_NE(log.find("things.json: Input/output error"), std::string::npos) << log;
  }
}

}  // namespace
}  // namespace minerva::io
