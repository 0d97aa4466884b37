#include "cli/input.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

namespace minerva::cli {
namespace {

// The reading end of a pipe that holds `text`.
class Piped {
 public:
  explicit Piped(std::string text) {
    EXPECT_EQ(::pipe(ends_), 0);
    writer_ = std::thread([this, text = std::move(text)] {
      for (std::size_t at = 0; at < text.size();) {
        const ssize_t count = ::write(ends_[1], text.data() + at, text.size() - at);
        if (count <= 0) break;
        at += static_cast<std::size_t>(count);
      }
      ::close(ends_[1]);
    });
  }
  Piped(const Piped&) = delete;
  Piped& operator=(const Piped&) = delete;
  ~Piped() {
    writer_.join();
    ::close(ends_[0]);
  }
  int descriptor() const { return ends_[0]; }

 private:
  int ends_[2] = {-1, -1};
  std::thread writer_;
};

TEST(LineReader, ReadsLines) {
  const Piped piped("one\r\n\ntwo\nlast");
  LineReader reader(piped.descriptor());
  std::string line;
  for (const std::string expected : {"one", "", "two", "last"}) {
    ASSERT_EQ(reader.read(line), LineReader::End::kLine);
    EXPECT_EQ(line, expected);
  }
  EXPECT_EQ(reader.read(line), LineReader::End::kEof);
  EXPECT_EQ(reader.read(line), LineReader::End::kEof);
}

TEST(LineReader, CutsWhatIsTooLong) {
  const Piped piped(std::string(LineReader::kMaxLine + 3, 'x') + "\nnext\n");
  LineReader reader(piped.descriptor());
  std::string line;
  ASSERT_EQ(reader.read(line), LineReader::End::kLine);
  EXPECT_EQ(line.size(), LineReader::kMaxLine);
  ASSERT_EQ(reader.read(line), LineReader::End::kLine);
  EXPECT_EQ(line, "xxx");
  ASSERT_EQ(reader.read(line), LineReader::End::kLine);
  EXPECT_EQ(line, "next");
  EXPECT_EQ(reader.read(line), LineReader::End::kEof);
}

TEST(ReadAll, ReadsToTheEnd) {
  const std::string text(300'000, 'y');
  const Piped piped(text);
  const Result<std::string> read = read_all(piped.descriptor());
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, text);
  EXPECT_EQ(read_all(-1).error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace minerva::cli
