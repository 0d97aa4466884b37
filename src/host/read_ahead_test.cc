#include "host/read_ahead.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace minerva {
namespace {

namespace fs = std::filesystem;

class FileReadAheadTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "read-ahead-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  // Sparse: what is asked for counts here, not what the kernel makes of it.
  std::string file(const std::string& name, Bytes size) {
    const std::string path = folder_ + "/" + name;
    std::FILE* const made = std::fopen(path.c_str(), "w");
    std::fclose(made);
    fs::resize_file(path, size.count());
    return path;
  }
  // Runs until it has asked for memory `times`, and what follows is done.
  void run_until_asked(int times) {
    stop_at_ = times;
    io::Timer bound(loop_);
    bound.arm(Clock::now() + std::chrono::seconds(60), [&] {
      ADD_FAILURE() << "it never asked " << stop_at_ << " times";
      loop_.stop();
    });
    loop_.run();
  }

  io::Loop loop_;
  std::string folder_;
  bool idle_ = true;
  Bytes spare_ = Bytes::gib(64);
  int asked_ = 0;
  int stop_at_ = 0;
  FileReadAhead ahead_{loop_,
                       [this] {
                         if (asked_++ == stop_at_) loop_.stop();
                         return idle_;
                       },
                       [this] { return spare_; }};
};

TEST_F(FileReadAheadTest, ReadsOneFileAfterTheOtherAPieceAtATime) {
  // 3 pieces, 1, none that is there, 1.
  ahead_.read_if_idle({file("a", Bytes::mib(40)), file("b", Bytes::mib(16)), folder_ + "/missing"});
  ahead_.read_if_idle({file("c", Bytes::mib(1))});
  ahead_.read_if_idle({file("d", Bytes::mib(1))});
  run_until_asked(6);
  EXPECT_EQ(ahead_.read_idly(), Bytes::mib(57));
}

TEST_F(FileReadAheadTest, GivesUpOnceSomethingGoesOn) {
  ahead_.read_if_idle({file("a", Bytes::mib(64))});
  run_until_asked(2);
  EXPECT_EQ(ahead_.read_idly(), Bytes::mib(32));
  idle_ = false;
  ahead_.read_if_idle({file("b", Bytes::mib(64))});
  idle_ = true;
  EXPECT_LE(ahead_.read_idly(), Bytes::mib(48));
}

TEST_F(FileReadAheadTest, TakesNoMemoryThatSomebodyUses) {
  spare_ = Bytes::mib(15);
  stop_at_ = -1;
  ahead_.read_if_idle({file("a", Bytes::mib(64))});
  // It is given up for the lack of memory, and then there is a turn for what fits.
  const std::string small = file("b", Bytes::mib(5));
  io::Timer again(loop_);
  const std::function<void()> ask = [&] {
    if (ahead_.read_idly() > Bytes()) return loop_.stop();
    ahead_.read_if_idle({small});
    again.arm(Clock::now() + std::chrono::milliseconds(10), ask);
  };
  ask();
  loop_.run();
  EXPECT_EQ(ahead_.read_idly().count() % Bytes::mib(5).count(), 0U);
}

}  // namespace
}  // namespace minerva
