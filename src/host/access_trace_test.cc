#include "host/access_trace.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <vector>

#include "host/host_fixture.h"
#include "io/failing_files.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

const std::string kFirstLine = "arrival_s,model,user,service_s\n";

class AccessTraceTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "trace-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    base_ = pattern;
    folder_ = base_ / "trace";
  }
  void TearDown() override {
    fs::permissions(base_, fs::perms::owner_all);
    fs::remove_all(base_);
  }

  std::string text(const std::string& name) const {
    std::ostringstream all;
    all << std::ifstream(folder_ / name, std::ios::binary).rdbuf();
    return all.str();
  }
  std::size_t count() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  static unsigned mode(const fs::path& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 0777;
  }

  fs::path base_;
  fs::path folder_;
};

TEST_F(AccessTraceTest, OthersCannotReadIt) {
  const mode_t before = ::umask(0);
  AccessFiles files(folder_.string(), {});
  ASSERT_TRUE(files.append("1,a,0,1\n"));
  ::umask(before);
  EXPECT_EQ(mode(folder_), 0700U);
  EXPECT_EQ(mode(folder_ / "access.csv"), 0600U);
  EXPECT_EQ(text("access.csv"), kFirstLine + "1,a,0,1\n");
}

TEST_F(AccessTraceTest, GoesOnWhereAnotherLifeEndedWithoutItsHalfLine) {
  const auto append = [&](std::string_view lines) {
    AccessFiles files(folder_.string(), {});
    ASSERT_TRUE(files.append(lines));
  };
  append("1,a,0,1\n");
  append("2,b,0,1\n");
  EXPECT_EQ(text("access.csv"), kFirstLine + "1,a,0,1\n2,b,0,1\n");
  for (const std::string& half : {std::string("3,"), std::string(10'000, 'x')}) {
    std::ofstream(folder_ / "access.csv", std::ios::app) << half;
    append("");
    EXPECT_EQ(text("access.csv"), kFirstLine + "1,a,0,1\n2,b,0,1\n");
  }
  std::ofstream(folder_ / "access.csv", std::ios::trunc) << "arriv";
  append("3,c,0,1\n");
  EXPECT_EQ(text("access.csv"), kFirstLine + "3,c,0,1\n");
}

TEST_F(AccessTraceTest, KeepsAFewFilesOfABoundedSize) {
  const std::uint64_t room = kFirstLine.size() + 2 * std::string("1,a,0,1\n").size();
  AccessFiles files(folder_.string(), {.file = Bytes(room), .files = 3});
  for (int i = 1; i <= 9; ++i) ASSERT_TRUE(files.append(fmt::format("{},a,0,1\n", i)));
  EXPECT_EQ(count(), 3U);
  EXPECT_EQ(text("access.csv"), kFirstLine + "9,a,0,1\n");
  EXPECT_EQ(text("access.1.csv"), kFirstLine + "7,a,0,1\n8,a,0,1\n");
  EXPECT_EQ(text("access.2.csv"), kFirstLine + "5,a,0,1\n6,a,0,1\n");
  EXPECT_EQ(mode(folder_ / "access.2.csv"), 0600U);
}

TEST_F(AccessTraceTest, WritesNothingThroughASymlink) {
  fs::create_directories(folder_);
  fs::create_symlink(base_ / "elsewhere", folder_ / "access.csv");
  AccessFiles files(folder_.string(), {});
  const Result<void> done = files.append("1,a,0,1\n");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kIo);
  EXPECT_FALSE(fs::exists(base_ / "elsewhere"));
  fs::remove(folder_ / "access.csv");
  EXPECT_TRUE(files.append("1,a,0,1\n")) << "it is tried anew";
}

TEST_F(AccessTraceTest, WhatIsNoTraceStaysAsItIs) {
  fs::create_directories(folder_);
  fs::permissions(folder_, fs::perms::owner_all | fs::perms::group_all);
  const std::string notes = "my notes\nwithout an end";
  const auto put = [&](const std::string& name) { std::ofstream(folder_ / name) << notes; };
  put("access.csv");
  {
    AccessFiles files(folder_.string(), {});
    const Result<void> done = files.append("1,a,0,1\n");
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().message.find("move it away"), std::string::npos) << done.error().message;
  }
  EXPECT_EQ(text("access.csv"), notes);
  EXPECT_EQ(mode(folder_), 0770U) << "whoever made it knows why";

  fs::remove(folder_ / "access.csv");
  put("access.1.csv");
  AccessFiles files(folder_.string(), {.file = Bytes(kFirstLine.size() + 1), .files = 2});
  ASSERT_TRUE(files.append("1,a,0,1\n"));
  EXPECT_FALSE(files.append("2,a,0,1\n")) << "it has nowhere to go";
  EXPECT_EQ(text("access.1.csv"), notes);
  EXPECT_EQ(text("access.csv"), kFirstLine + "1,a,0,1\n");
}

// Whichever call fails, and whatever a loss of power takes: the files then hold whole lines in order, each once.
TEST_F(AccessTraceTest, HoldsWholeLinesOnADiskThatFails) {
  using Loss = io::FailingFiles::Loss;
  const AccessFiles::Limits limits{.file = Bytes(kFirstLine.size() + 2 * std::string("1,a,0,1\n").size()), .files = 3};
  for (const int error : {EIO, ENOSPC}) {
    for (const bool also_after : {false, true}) {
      for (const std::optional<Loss> loss :
           {std::optional<Loss>(), std::optional(Loss::kAll), std::optional(Loss::kBytes)}) {
        int n = 1;
        for (bool failed = true; failed; ++n) {
          SCOPED_TRACE(testing::Message() << "call " << n << ", error " << error << ", also after: " << also_after
                                          << ", loss " << (loss ? static_cast<int>(*loss) : -1));
          fs::remove_all(folder_);
          fs::create_directory(folder_);
          ASSERT_TRUE(AccessFiles(folder_.string(), limits).append("1,a,0,1\n"));
          io::FailingFiles disk(folder_);
          AccessFiles files(folder_.string(), limits, disk);
          disk.fail_at(n, error, also_after);
          std::vector<std::string> added = {"1,a,0,1"};
          for (int i = 2; i <= 9; ++i) {
            const Result<void> done = files.append(fmt::format("{},a,0,1\n", i));
            if (done) added.push_back(fmt::format("{},a,0,1", i));
            if (!done) EXPECT_FALSE(done.error().message.empty());
          }
          failed = disk.failed();
          disk.fail_no_more();
          if (loss) disk.lose_power(*loss);
          if (!loss) EXPECT_TRUE(files.append("10,a,0,1\n")) << "it goes on";
          added.push_back("10,a,0,1");
          const Result<void> next = AccessFiles(folder_.string(), limits).append("11,a,0,1\n");
          ASSERT_TRUE(next) << next.error().message;
          added.push_back("11,a,0,1");
          auto expected = added.begin();
          for (const char* const name : {"access.2.csv", "access.1.csv", "access.csv"}) {
            std::istringstream lines(text(name));
            std::string line;
            if (!std::getline(lines, line)) continue;
            EXPECT_EQ(line + "\n", kFirstLine);
            while (std::getline(lines, line)) {
              expected = std::find(expected, added.end(), line);
              ASSERT_NE(expected, added.end()) << line << " in " << name;
              ++expected;
            }
          }
          EXPECT_EQ(expected, added.end()) << "the newest line is there";
        }
        ASSERT_GT(n, 8);
      }
    }
  }
}

TEST_F(AccessTraceTest, WarnsOnceWhenTheDiskFails) {
  std::ofstream(folder_) << "no folder";
  testing::internal::CaptureStderr();
  {
    io::Loop loop;
    AccessTrace trace(loop, folder_.string());
    for (int i = 0; i < 100; ++i) trace.record({"a", UserId{}, Clock::now(), {}});
  }
  const std::string log = testing::internal::GetCapturedStderr();
  const std::size_t first = log.find("requests are missing in the trace");
  ASSERT_NE(first, std::string::npos) << log;
  EXPECT_EQ(log.find("requests are missing", first + 1), std::string::npos) << log;
}

TEST_F(AccessTraceTest, RecordsWallClockTimesAndWritesAllInTheEnd) {
  const auto seconds_now = [] {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  };
  const double begun = seconds_now();
  {
    io::Loop loop;
    AccessTrace trace(loop, folder_.string());
    for (int i = 0; i < 1000; ++i)
      trace.record({"m/a:b@c", UserId{}, Clock::now() - milliseconds(90'000), milliseconds(1250)});
  }
  const double ended = seconds_now();
  std::istringstream lines(text("access.csv"));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  int count = 0;
  while (std::getline(lines, line)) {
    ++count;
    const double arrival = std::stod(line);
    EXPECT_GE(arrival, begun - 90.002);
    EXPECT_LE(arrival, ended - 89.998);
    EXPECT_EQ(line.substr(line.find(',')), ",m/a:b@c,0,1.250");
  }
  EXPECT_EQ(count, 1000);
}

TEST_F(AccessTraceTest, WritesWhileTheLoopRuns) {
  io::Loop loop;
  AccessTrace trace(loop, folder_.string());
  io::Timer look(loop);
  io::Timer watchdog(loop);
  watchdog.arm(Clock::now() + std::chrono::seconds(60), [&] {
    ADD_FAILURE() << "not written within a minute";
    loop.stop();
  });
  std::size_t expected = 0;
  const std::function<void()> look_again = [&] {
    if (static_cast<std::size_t>(std::ranges::count(text("access.csv"), '\n')) > expected) return loop.stop();
    look.arm(Clock::now() + milliseconds(1), look_again);
  };
  for (const int lines : {1, 1, 1000}) {
    expected += static_cast<std::size_t>(lines);
    for (int i = 0; i < lines; ++i) trace.record({"a", UserId{}, Clock::now(), {}});
    look.arm(Clock::now(), look_again);
    loop.run();
  }
}

TEST_F(AccessTraceTest, TellsUsersApartByNumbersOfItsOwn) {
  constexpr UserId kAnn{0x1234'5678'9abc'def0};
  constexpr UserId kBob{7};
  const auto users = [&] {
    {
      io::Loop loop;
      AccessTrace trace(loop, folder_.string());
      for (const UserId user : {kAnn, kBob, kAnn}) trace.record({"a", user, Clock::now(), {}});
    }
    std::istringstream lines(text("access.csv"));
    fs::remove_all(folder_);
    std::vector<std::string> found;
    for (std::string line; std::getline(lines, line);) {
      line.resize(line.rfind(','));
      found.push_back(line.substr(line.rfind(',') + 1));
    }
    return found;
  };
  const std::vector<std::string> first = users();
  ASSERT_EQ(first.size(), 4U);
  EXPECT_EQ(first[1], first[3]);
  EXPECT_NE(first[1], first[2]);
  EXPECT_NE(first[1], "0");
  EXPECT_NE(first[2], "7");
  EXPECT_NE(users()[1], first[1]) << "another life";
}

class AccessTest : public HostTest {
 protected:
  ReadyDriver driver_{loop_};
};

TEST_F(AccessTest, IsTheUseOfAModelByALeaseOnceItEnded) {
  start_host(driver_, ContextManager(std::size_t{0}), {});
  std::vector<Access> accesses;
  host_->on_access([&](const Access& access) { accesses.push_back(access); });
  Lease lease;
  const TimePoint before = Clock::now();
  const auto take = [&](Result<Lease> granted) {
    lease = std::move(*granted);
    loop_.stop();
  };
  host_->acquire("b", TimePoint::max(), take, {.user = UserId{5}});
  loop_.run();
  ASSERT_TRUE(lease);
  EXPECT_TRUE(accesses.empty());
  const TimePoint granted = Clock::now();
  while (Clock::now() - granted < milliseconds(1)) {
  }
  Lease moved = std::move(lease);
  moved.release(LeaseEnd::kCancelled);
  ASSERT_EQ(accesses.size(), 1U);
  EXPECT_EQ(accesses[0].model, "b");
  EXPECT_EQ(accesses[0].user, UserId{5});
  EXPECT_GE(accesses[0].arrival, before);
  EXPECT_LE(accesses[0].arrival, granted);
  EXPECT_GE(accesses[0].service, milliseconds(1));
  EXPECT_LE(accesses[0].service, Clock::now() - before);
}

}  // namespace
}  // namespace minerva
