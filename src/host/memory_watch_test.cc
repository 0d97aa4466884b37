// MemoryWatch on a loop, with a machine made of files.
#include "host/memory_watch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace minerva {
namespace {

namespace fs = std::filesystem;

class MemoryWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "memory-watch-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    fs::create_directories(root_ + "/proc");
    put_available(8 << 20);
  }
  void TearDown() override { fs::remove_all(root_); }
  void put_available(std::uint64_t kib) {
    // Replaces the file as a whole, so that no sample reads half of one.
    std::ofstream(root_ + "/new") << "MemTotal: 16777216 kB\nMemAvailable: " << kib << " kB\n";
    fs::rename(root_ + "/new", root_ + "/proc/meminfo");
  }
  // Runs the loop until an event is told.
  PressureChanged next() {
    io::Timer bound(loop_);
    bound.arm(Clock::now() + std::chrono::seconds(60), [&] { loop_.stop(); });
    told_.reset();
    loop_.run();
    EXPECT_TRUE(told_.has_value()) << "nothing was told in time";
    return told_.value_or(PressureChanged{});
  }

  std::string root_;
  io::Loop loop_;
  std::optional<PressureChanged> told_;
};

TEST_F(MemoryWatchTest, TellsWhatChangesAndTellsItAgain) {
  MemoryWatch watch(
      loop_, std::nullopt,
      [&](const PressureChanged& event) {
        told_ = event;
        loop_.stop();
      },
      root_);
  watch.start();
  EXPECT_FALSE(told_.has_value());
  EXPECT_EQ(watch.memory().available(), Bytes::gib(8));

  put_available(512 << 10);
  PressureChanged event = next();
  EXPECT_TRUE(event.under_pressure);
  EXPECT_GE(event.short_by, Bytes::gib(1)) << "and more, since it went fast";
  EXPECT_TRUE(watch.pressure().under_pressure());

  put_available(1000 << 10);
  do {
    event = next();
    ASSERT_TRUE(event.under_pressure);
  } while (event.short_by != Bytes::mib(536));

  put_available(8 << 20);
  do event = next();
  while (event.under_pressure);
  EXPECT_EQ(event.short_by, Bytes(0));
  EXPECT_FALSE(watch.pressure().under_pressure());
}

TEST_F(MemoryWatchTest, AMarkCountsFromTheNextSampleOn) {
  MemoryWatch watch(
      loop_, Bytes(0),
      [&](const PressureChanged& event) {
        told_ = event;
        loop_.stop();
      },
      root_);
  put_available(0);
  watch.start();
  EXPECT_FALSE(told_.has_value());
  watch.set_min_free(Bytes::mib(100));
  EXPECT_TRUE(next().under_pressure);
  watch.set_min_free(Bytes(0));
  EXPECT_FALSE(next().under_pressure);
}

}  // namespace
}  // namespace minerva
