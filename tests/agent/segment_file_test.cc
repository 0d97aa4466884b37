// The file of a segment: what is written is read again, and what was not written as it is is never read.
#include "segment_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>

namespace minerva::engine {
namespace {

// Two lines of 3 bytes, one of 1000, and two blobs, for `rows` rows.
SegmentHeader header(std::uint32_t rows) {
  SegmentHeader result;
  result.name.to = rows;
  result.shape = 77;
  result.complete = 1;
  result.goes_back_to = rows - 1;
  result.tokens.resize(rows);
  std::iota(result.tokens.begin(), result.tokens.end(), 100);
  result.cell_bytes = 2;
  result.cells = std::string(std::size_t{2} * rows, 'c');
  result.strips = {{"f16", 3, 2}, {"q8_0", 1000, 1}};
  result.blobs = {{0, rows, 0, 0, 50, 0}, {kCheckpoint, rows - 1, -1, 7, 60, 0}, {kCheckpoint, 1, 0, 0, 0, 1}};
  result.name.id = segment_id(result.name, true, result.tokens);
  return result;
}

std::string payload(const SegmentHeader& header) {
  std::string result(header.payload_bytes(), '\0');
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = static_cast<char>(i * 31 + i / 1000);
  return result;
}

class SegmentFile : public testing::Test {
 public:
  SegmentFile() { std::filesystem::create_directories(folder_); }
  ~SegmentFile() override { std::filesystem::remove_all(folder_); }

 protected:
  std::string path() const { return folder_ + "/segment"; }

  // Writes the payload in pieces of `piece` bytes.
  void write(const SegmentHeader& header, std::size_t piece = 2 * kChunk) {
    const int file = ::open(path().c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    SegmentWriter writer(file, header);
    const std::string bytes = payload(header);
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      ASSERT_TRUE(writer.append(bytes.data() + at, std::min(piece, bytes.size() - at)));
    }
    ASSERT_TRUE(writer.finish());
    EXPECT_EQ(writer.file_bytes(), std::filesystem::file_size(path()));
    ::close(file);
  }
  std::optional<SegmentReader> open() { return SegmentReader::open(AT_FDCWD, path().c_str(), why_); }
  // All of the payload; nothing if a part of it is not what was written.
  static std::optional<std::string> read(const SegmentReader& reader) {
    std::string bytes(kChunk * 3, '\0');
    std::string result;
    while (true) {
      const auto n = reader.read(result.size() / kChunk, bytes.data(), bytes.size());
      if (!n) return std::nullopt;
      if (*n == 0) return result;
      result.append(bytes, 0, *n);
      if (*n < bytes.size()) return result;
    }
  }
  std::string contents() const {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void replace(const std::string& contents) const {
    std::ofstream(path(), std::ios::binary | std::ios::trunc) << contents;
  }

  std::string folder_ = testing::TempDir() + "segment_file_" + std::to_string(::getpid());
  std::string why_;
};

TEST_F(SegmentFile, WhatIsWrittenIsRead) {
  const SegmentHeader written = header(5000);  // more than four chunks
  write(written);
  const auto reader = open();
  ASSERT_TRUE(reader) << why_;
  const SegmentHeader& read_back = reader->header();
  EXPECT_TRUE(read_back.name.id == written.name.id && read_back.name.to == 5000U);
  EXPECT_EQ(read_back.shape, 77U);
  EXPECT_EQ(read_back.complete, 1U);
  EXPECT_EQ(read_back.goes_back_to, 4999U);
  EXPECT_EQ(read_back.tokens, written.tokens);
  EXPECT_EQ(read_back.cells, written.cells);
  ASSERT_EQ(read_back.strips.size(), 2U);
  EXPECT_EQ(read_back.strips[1].kind, "q8_0");
  EXPECT_EQ(read_back.strip_bytes(), 5000U * (2 * 3 + 1000));
  ASSERT_EQ(read_back.blobs.size(), 3U);
  EXPECT_EQ(read_back.blobs[1].pos_min, -1);
  EXPECT_EQ(read_back.blobs[1].tokens, 4999U);
  EXPECT_EQ(read_back.blobs[2].elsewhere, 1U);
  EXPECT_EQ(read(*reader), payload(written));
  EXPECT_EQ(reader->file_bytes(), std::filesystem::file_size(path()));
}

TEST_F(SegmentFile, AnyChangedByteIsSeen) {
  const SegmentHeader written = header(2);
  write(written);
  const std::string good = contents();
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    replace(bad);
    const auto reader = open();
    ASSERT_TRUE(!reader || !read(*reader)) << "byte " << i;
  }
}

TEST_F(SegmentFile, AnyOtherLengthIsSeen) {
  write(header(2));
  const std::string good = contents();
  for (std::size_t size = 0; size < good.size(); ++size) {
    replace(good.substr(0, size));
    ASSERT_FALSE(open()) << size;
  }
  replace(good + "x");
  EXPECT_FALSE(open());
}

TEST_F(SegmentFile, AFileThatShrinksWhileItIsReadIsSeen) {
  write(header(5000));
  const auto reader = open();
  ASSERT_TRUE(reader);
  std::filesystem::resize_file(path(), std::filesystem::file_size(path()) - 1);
  EXPECT_FALSE(read(*reader));
  EXPECT_EQ(errno, EBADMSG);
}

// Such a file must stay.
TEST_F(SegmentFile, WhatCannotBeOpenedNowIsNotCalledWrong) {
  EXPECT_FALSE(open());
  EXPECT_EQ(errno, ENOENT);
  write(header(2));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const bool opened = open().has_value();
  const int error = errno;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_FALSE(opened);
  EXPECT_EQ(error, EMFILE);
  replace("mnrvsg01");
  EXPECT_FALSE(open());
  EXPECT_EQ(errno, EBADMSG);
}

TEST_F(SegmentFile, WhatIsNoRegularFileIsNotOpened) {
  std::filesystem::create_directory(path());
  EXPECT_FALSE(open());
  std::filesystem::remove(path());
  std::filesystem::create_symlink("/dev/zero", path());
  EXPECT_FALSE(open());
  EXPECT_EQ(errno, EBADMSG);
}

TEST_F(SegmentFile, AHeaderThatContradictsItselfIsNotDecoded) {
  const auto decodes = [](const SegmentHeader& changed) { return decode(encode(changed)).has_value(); };
  SegmentHeader good = header(40);
  good.hashes.assign(1, 0);
  ASSERT_TRUE(decodes(good));
  SegmentHeader bad = good;
  bad.tokens.pop_back();
  EXPECT_FALSE(decodes(bad)) << "fewer tokens";
  bad = good;
  bad.tokens[0] += 1;
  EXPECT_FALSE(decodes(bad)) << "other tokens than those of the id";
  bad = good;
  bad.strips[0].width = std::uint64_t{1} << 62;
  bad.strips[0].lines = 4;
  EXPECT_FALSE(decodes(bad)) << "a size that overflows";
  bad = good;
  bad.hashes.push_back(0);
  EXPECT_FALSE(decodes(bad)) << "more chunks than bytes";
  bad = good;
  bad.blobs[0].tokens = 41;
  EXPECT_FALSE(decodes(bad)) << "state of tokens that are not there";
  bad = good;
  bad.goes_back_to = 41;
  EXPECT_FALSE(decodes(bad)) << "it goes back to what is behind its end";
  bad = good;
  bad.name.from = 1;
  EXPECT_FALSE(decodes(bad)) << "a beginning without parent";
}

TEST(SegmentId, DiffersByAllThatItStandsFor) {
  const protocol::SegmentName root = {{}, {}, 0, 2};
  const protocol::SegmentName child = {{}, {1, 2}, 3, 5};
  const std::vector<std::int32_t> tokens = {7, 8};
  EXPECT_TRUE(segment_id(root, true, tokens) == segment_id(root, true, tokens));
  EXPECT_FALSE(segment_id(root, true, tokens) == segment_id(root, false, tokens));
  EXPECT_FALSE(segment_id(root, true, tokens) == segment_id(child, true, tokens));
  EXPECT_FALSE(segment_id(root, true, tokens) == segment_id(root, true, {7, 9}));
}

}  // namespace
}  // namespace minerva::engine
