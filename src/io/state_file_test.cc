#include "io/state_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <utility>

namespace minerva::io {
namespace {

namespace fs = std::filesystem;

class StateFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "state-file-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = (folder_ / "state" / "things.json").string();
  }
  void TearDown() override { fs::remove_all(folder_); }

  static constexpr StateFile::Format kFormat{"things", 3, "nothing is lost"};
  StateFile file(unsigned version = kFormat.version) const {
    return StateFile(path_, {kFormat.name, version, kFormat.loss});
  }
  std::string raw() const {
    std::ostringstream text;
    text << std::ifstream(path_).rdbuf();
    return text.str();
  }
  void put_raw(const std::string& text) const { std::ofstream(path_, std::ios::trunc) << text; }

  fs::path folder_;
  std::string path_;
};

TEST_F(StateFileTest, WhatIsWrittenComesBack) {
  EXPECT_EQ(file().read(), std::nullopt);
  for (const std::string& content :
       {std::string(), std::string("{}\n"), std::string("\0\n\xff", 3), std::string(1U << 20, 'x')}) {
    ASSERT_TRUE(file().write(content));
    EXPECT_EQ(file().read(), content);
  }
}

TEST_F(StateFileTest, OnlyItsOwnerMayReadItAndNothingIsLeftBesideIt) {
  ASSERT_TRUE(file().write("secret"));
  put_raw("litter of a write that was killed");
  fs::rename(path_, path_ + ".new");
  ASSERT_TRUE(file().write("secret"));
  struct stat status{};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "state"), fs::directory_iterator()), 1);
}

TEST_F(StateFileTest, EveryDamageIsSeenAndSetAside) {
  ASSERT_TRUE(file().write("some content\n"));
  const std::string good = raw();
  std::vector<std::string> damages;
  for (std::size_t i = 0; i < good.size(); ++i) {
    damages.push_back(good.substr(0, i));
    damages.push_back(good);
    damages.back()[i] = static_cast<char>(damages.back()[i] ^ 1);
  }
  damages.push_back(good + " ");
  for (const std::string& damaged : damages) EXPECT_FALSE(StateFile::unwrap(kFormat, damaged)) << damaged;
  put_raw(damages.back());
  EXPECT_EQ(file().read(), std::nullopt);
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_TRUE(fs::exists(path_ + ".damaged"));
}

TEST_F(StateFileTest, AnotherVersionIsSetAside) {
  ASSERT_TRUE(file(3).write("old"));
  EXPECT_EQ(file(30).read(), std::nullopt);
  EXPECT_TRUE(fs::exists(path_ + ".damaged"));
  ASSERT_TRUE(file(30).write("new"));
  EXPECT_EQ(file(30).read(), "new");
}

TEST_F(StateFileTest, WhatIsNoFileIsIgnored) {
  fs::create_directories(path_);
  EXPECT_EQ(file().read(), std::nullopt);
  EXPECT_FALSE(file().write("x"));
}

TEST_F(StateFileTest, ManyChangesAreOneWrite) {
  Loop loop;
  int asked = 0;
  StateSaver saver(loop, file(), std::chrono::hours(1), [&]() -> std::optional<std::string> {
    loop.stop();
    return std::to_string(++asked);
  });
  for (int i = 0; i < 10; ++i) saver.changed();
  EXPECT_EQ(asked, 0) << "not by the one who changes something";
  loop.run();
  EXPECT_EQ(asked, 1);
  // The period is not over: only an orderly end does not wait for it.
  saver.changed();
  saver.finish();
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(file().read(), "2");
}

TEST_F(StateFileTest, WhatCouldNotBeWrittenIsWrittenInTheEnd) {
  fs::create_directories(path_);  // a folder is in the place of the file
  Loop loop;
  std::optional<std::string> content = "once";
  StateSaver saver(loop, file(), std::chrono::hours(1), [&] {
    loop.stop();
    return std::exchange(content, std::nullopt);
  });
  saver.changed();
  loop.run();
  saver.finish();
  EXPECT_TRUE(fs::is_directory(path_));
  fs::remove(path_);
  saver.finish();
  EXPECT_EQ(file().read(), "once") << "although it did not change any more";
}

TEST_F(StateFileTest, AFailedWriteIsTriedAgainByItself) {
  fs::create_directories(path_);
  Loop loop;
  int asked = 0;
  StateSaver saver(loop, file(), std::chrono::milliseconds(1), [&]() -> std::optional<std::string> {
    if (++asked == 1) return "once";
    if (asked == 3) fs::remove(path_);
    return std::nullopt;
  });
  Timer bound(loop);
  bound.arm(Clock::now() + std::chrono::seconds(60), [&] {
    ADD_FAILURE() << "it was never written";
    loop.stop();
  });
  Timer look(loop);
  const std::function<void()> look_again = [&] {
    if (!fs::is_directory(path_) && file().read()) return loop.stop();
    look.arm(Clock::now() + std::chrono::milliseconds(1), look_again);
  };
  look.arm(Clock::now(), look_again);
  saver.changed();
  loop.run();
  EXPECT_EQ(file().read(), "once");
}

TEST_F(StateFileTest, NothingIsWrittenOnceTheSaverIsGone) {
  constexpr int kRounds = 50;
  for (int i = 0; i < kRounds; ++i) {
    Loop loop;
    {
      StateSaver saver(loop, file(), std::chrono::hours(1), [&]() -> std::optional<std::string> {
        loop.stop();
        return std::string(1U << 20, 'x');
      });
      saver.changed();
      loop.run();
    }
    std::error_code error;
    fs::remove_all(path_.substr(0, path_.rfind('/')), error);
    ASSERT_FALSE(error) << error.message();
    // A writer's thread would have written before the next task of its lane ends.
    loop.offload(Lane::kDisk, [] {}, [&] { loop.stop(); });
    loop.run();
    ASSERT_FALSE(fs::exists(path_));
  }
}

TEST_F(StateFileTest, WhatIsNotMinervasIsNeverReplaced) {
  fs::create_directories(fs::path(path_).parent_path());
  put_raw("my notes\n");
  const Result<void> refused = file().write("x");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("move it away"), std::string::npos) << refused.error().message;
  EXPECT_EQ(raw(), "my notes\n");
  // The file was read but could not be used: it gets a name that no other file has.
  for (const char* name : {".damaged", ".damaged.2"}) std::ofstream(path_ + name) << "mine too";
  EXPECT_EQ(file().read(), std::nullopt);
  ASSERT_TRUE(file().write("x"));
  const auto text_of = [](const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  };
  EXPECT_EQ(text_of(path_ + ".damaged"), "mine too");
  EXPECT_EQ(text_of(path_ + ".damaged.2"), "mine too");
  EXPECT_EQ(text_of(path_ + ".damaged.3"), "my notes\n");
}

TEST_F(StateFileTest, WhoAsksIsToldOnceItIsOnDisk) {
  fs::create_directories(path_);  // in the way
  Loop loop;
  int asked = 0;
  StateSaver saver(loop, file(), std::chrono::milliseconds(1), [&]() -> std::optional<std::string> {
    if (++asked == 1) return "new";
    if (asked == 2) fs::remove(path_);  // the second try goes well
    return std::nullopt;
  });
  int told = 0;
  const auto then = [&] {
    EXPECT_EQ(file().read(), "new");
    if (++told == 3) loop.stop();
  };
  saver.save_now(then);
  saver.save_now([&] {
    then();
    saver.save_now(then);  // nothing changed since
  });
  loop.run();
  EXPECT_EQ(told, 3);
}

TEST_F(StateFileTest, SavingAtOnceWaitsForNoPeriod) {
  Loop loop;
  int asked = 0;
  StateSaver saver(loop, file(), std::chrono::hours(1),
                   [&]() -> std::optional<std::string> { return std::to_string(++asked); });
  saver.save_now([&] { saver.save_now([&] { loop.stop(); }); });
  saver.changed();
  loop.run();
  EXPECT_EQ(file().read(), "2");
}

TEST_F(StateFileTest, WhatDidNotChangeIsNotWritten) {
  Loop loop;
  StateSaver saver(loop, file(), std::chrono::seconds(1), [] { return std::nullopt; });
  saver.changed();
  saver.finish();
  EXPECT_FALSE(fs::exists(path_));
}

}  // namespace
}  // namespace minerva::io
