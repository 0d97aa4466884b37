#include "host/read_ahead.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <vector>

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

  // Makes a sparse file, which is read in no time.
  std::string file(const std::string& name, Bytes size) {
    const std::string path = folder_ + "/" + name;
    std::FILE* const made = std::fopen(path.c_str(), "w");
    std::fclose(made);
    fs::resize_file(path, size.count());
    return path;
  }
  // Runs the loop until the reader has asked for the spare memory `times` times and carried out what follows.
  void run_until_asked(int times) {
    stop_at_ = times;
    io::Timer bound(loop_);
    bound.arm(Clock::now() + std::chrono::seconds(60), [&] {
      ADD_FAILURE() << "it never asked " << stop_at_ << " times";
      loop_.stop();
    });
    loop_.run();
  }

  void run_until(const std::function<bool()>& so) {
    stop_at_ = -1;
    const TimePoint bound = Clock::now() + std::chrono::seconds(60);
    io::Timer look(loop_);
    const std::function<void()> look_again = [&] {
      const bool late = Clock::now() > bound;
      if (late) ADD_FAILURE() << "it never came to it";
      if (late || so()) return loop_.stop();
      look.arm(Clock::now() + std::chrono::milliseconds(1), look_again);
    };
    look.arm(Clock::now(), look_again);
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

// A file on a disk, two pieces and a bit long. Its pages come into the page cache and can be dropped from it.
class FileOnDisk {
 public:
  FileOnDisk() {
    name_ = std::string(DISK_FOLDER) + "/read-ahead-XXXXXX";
    fd_ = ::mkstemp(name_.data());
    const std::string text(kBytes, 'x');
    EXPECT_EQ(::write(fd_, text.data(), kBytes), static_cast<ssize_t>(kBytes));
    EXPECT_EQ(::fsync(fd_), 0);
    EXPECT_EQ(::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED), 0);
    data_ = ::mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd_, 0);
  }
  ~FileOnDisk() {
    ::munmap(data_, kBytes);
    ::close(fd_);
    fs::remove(name_);
  }
  FileOnDisk(const FileOnDisk&) = delete;
  FileOnDisk& operator=(const FileOnDisk&) = delete;

  const std::string& name() const { return name_; }
  std::size_t in_memory() const {
    std::vector<unsigned char> there((kBytes + kPage - 1) / kPage);
    EXPECT_EQ(::mincore(data_, kBytes, there.data()), 0);
    const auto pages = std::count_if(there.begin(), there.end(), [](auto page) { return (page & 1) != 0; });
    return std::min(static_cast<std::size_t>(pages) * kPage, kBytes);
  }

  static constexpr std::size_t kBytes = (std::size_t{32} << 20) + 5000;

 private:
  static constexpr std::size_t kPage = 4096;
  std::string name_;
  int fd_ = -1;
  void* data_ = nullptr;
};

TEST_F(FileReadAheadTest, WhatItCountsIsInMemory) {
  // Where memory is short, the kernel drops pages as soon as they were read. Hence several files: it is enough if it
  // leaves one alone.
  bool all_there = false;
  for (unsigned files = 1; files <= 20 && !all_there; ++files) {
    const FileOnDisk file;
    ASSERT_LT(file.in_memory(), FileOnDisk::kBytes / 8);
    ahead_.read_if_idle({file.name()});
    run_until([&] { return ahead_.read_idly().count() == files * FileOnDisk::kBytes; });
    all_there = file.in_memory() == FileOnDisk::kBytes;
  }
  EXPECT_TRUE(all_there);
}

TEST_F(FileReadAheadTest, OneThatIsWantedIsReadToItsEndWhateverGoesOn) {
  idle_ = false;
  spare_ = Bytes();
  const FileOnDisk first;
  const FileOnDisk second;
  ASSERT_LT(first.in_memory() + second.in_memory(), FileOnDisk::kBytes / 8);
  ahead_.read({first.name(), folder_ + "/missing", first.name()});
  ahead_.read({second.name()});
  // One after the other, and each asked for again in every round: the kernel may drop pages whenever it likes.
  for (const FileOnDisk* const file : {&first, &second}) {
    run_until([&] {
      ahead_.read({file->name()});
      return file->in_memory() == FileOnDisk::kBytes;
    });
  }
  EXPECT_EQ(ahead_.read_idly(), Bytes());
}

TEST_F(FileReadAheadTest, ReadsOneFileAfterTheOtherAPieceAtATime) {
  // a has 3 pieces and b has 1; the missing file is tried once; c has 1.
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
  // The large file is given up for lack of memory, and then the file that fits has its turn.
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
