#include "footprint.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "plain_access.h"

namespace minerva::engine {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
// What the test itself may come to hold between two looks. A sanitizer maps 8 MiB beside a block, which the kernel
// joins with it: once the block is touched they count too, as nobody can tell whose pages are resident.
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr std::uint64_t kSlack = 16 * kMiB;
#else
constexpr std::uint64_t kSlack = kMiB / 2;
#endif

constexpr const char* kProgram = "/usr/bin/program with spaces";

LargeBlock block(std::uintptr_t address, std::size_t bytes, BlockUse use = BlockUse::kState) {
  return {1, reinterpret_cast<char*>(address), bytes, use};  // NOLINT(performance-no-int-to-ptr): never followed
}

std::string mapping(const std::string& head, std::uint64_t clean_kib, std::uint64_t dirty_kib,
                    const std::string& more = "") {
  return head +
         "\nSize:  4 kB\nRss:  999 kB\nPss:  99 kB\nShared_Clean:  7 kB\nPrivate_Clean: " + std::to_string(clean_kib) +
         " kB\nPrivate_Dirty:\t" + std::to_string(dirty_kib) + " kB\n" + more + "VmFlags: rd wr\n";
}

Footprint count(const std::string& smaps, const std::vector<LargeBlock>& blocks = {}) {
  std::istringstream text(smaps);
  const auto footprint = count_mappings(text, blocks, kProgram);
  EXPECT_TRUE(footprint.has_value());
  return footprint.value_or(Footprint{});
}

TEST(Footprint, EachMappingCountsByWhatItIs) {
  const Footprint footprint =
      count(mapping("00400000-00500000 r-xp 00000000 fe:00 1    /usr/bin/program with spaces", 100, 0) +
            mapping("00500000-00600000 rw-p 00100000 fe:00 1    /usr/bin/program", 100, 3) +
            mapping("01000000-01900000 rw-p 00000000 00:00 0    [heap]", 0, 9000, "Swap:  24 kB\n") +
            mapping("10000000-10200000 r--s 00000000 fe:00 2    /models/m.gguf", 1000, 0) +
            mapping("10200000-10220000 r--s 00000000 fe:00 3    /usr/lib/small", 16, 0) +
            mapping("10300000-10500000 rw-s 00000000 fe:00 4    /dev/shm/x", 0, 40));
  EXPECT_EQ(footprint.weights_mapped, 2 * kMiB);
  EXPECT_EQ(footprint.rest, (999 + 3 + 9024 + 40) * 1024U);
  EXPECT_EQ(footprint.blocks, 0U);
  EXPECT_EQ(footprint.total(), footprint.weights_mapped + footprint.rest);
}

TEST(Footprint, BlocksCountAsAWhole) {
  const std::vector<LargeBlock> blocks = {block(0x10000000, 2 * kMiB), block(0x10200000, kMiB, BlockUse::kConversation),
                                          block(0x20000000, 4 * kMiB)};
  const Footprint footprint = count(  // two blocks that the kernel joined, and memory of somebody else behind them
      mapping("10000000-10400000 rw-p 00000000 00:00 0", 0, 4096) +
          // a block in three mappings, as after a wake
          mapping("20000000-20100000 rw-p 00000000 fe:00 9    /images/#1 (deleted)", 512, 512) +
          mapping("20100000-20300000 rw-p 00000000 00:00 0", 0, 10) +
          mapping("20300000-20500000 rw-p 00000000 00:00 0", 0, 8),
      blocks);
  EXPECT_EQ(footprint.blocks, 7 * kMiB);
  EXPECT_EQ(footprint.rest, kMiB + 8 * 1024U);
  EXPECT_EQ(footprint.conversations, kMiB);
}

TEST(Footprint, ConversationsCountAsMuchAsTheyMayComeTo) {
  Footprint footprint;
  footprint.blocks = 10;
  footprint.rest = 5;
  footprint.conversations = 4;
  EXPECT_EQ(footprint.total_with_conversations(0), 15U);
  EXPECT_EQ(footprint.total_with_conversations(4), 15U);
  EXPECT_EQ(footprint.total_with_conversations(100), 111U);
}

TEST(Footprint, WithoutMappingsThereIsNone) {
  for (const char* const text : {"", "\n\n", "Private_Dirty: 4 kB\n", "not a mapping\n", "5-4 rw-p\n"}) {
    std::istringstream smaps(text);
    EXPECT_FALSE(count_mappings(smaps, {}, kProgram)) << text;
  }
}

// ---- of this process ----

Footprint here() {
  const auto footprint = measure_footprint();
  EXPECT_TRUE(footprint.has_value());
  return footprint.value_or(Footprint{});
}

TEST(FootprintOfThisProcess, ABlockCountsBeforeItIsTouched) {
  const Footprint before = here();
  auto* const data = static_cast<char*>(map_large_block(64 * kMiB, BlockUse::kState));
  const Footprint made = here();
  EXPECT_EQ(made.blocks, before.blocks + 64 * kMiB);
  EXPECT_LT(made.rest, before.rest + kSlack);
  write_plainly(data, 64 * kMiB, 1);
  const Footprint touched = here();
  EXPECT_EQ(touched.blocks, made.blocks);
  EXPECT_LT(touched.rest, before.rest + kSlack);
  unmap_large_block(data);
  EXPECT_EQ(here().blocks, before.blocks);
}

TEST(FootprintOfThisProcess, OtherMemoryCountsWhenItIsTouched) {
  const Footprint before = here();
  void* const data = mmap(nullptr, 64 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(data, MAP_FAILED);
  EXPECT_LT(here().rest, before.rest + kSlack);
  write_plainly(static_cast<char*>(data), 32 * kMiB, 1);
  const Footprint touched = here();
  EXPECT_GE(touched.rest, before.rest + 32 * kMiB);
  EXPECT_LT(touched.rest, before.rest + 32 * kMiB + kSlack);
  EXPECT_EQ(touched.blocks, before.blocks);
  munmap(data, 64 * kMiB);
}

TEST(FootprintOfThisProcess, AMappedModelCountsAsAWhole) {
  std::string file = std::string(IMAGE_FOLDER) + "/footprint-XXXXXX";
  const int fd = mkstemp(file.data());
  ASSERT_GE(fd, 0);
  std::filesystem::remove(file);
  ASSERT_EQ(ftruncate(fd, static_cast<off_t>(8 * kMiB)), 0);
  const Footprint before = here();
  void* const data = mmap(nullptr, 8 * kMiB, PROT_READ, MAP_SHARED, fd, 0);
  ASSERT_NE(data, MAP_FAILED);
  const Footprint mapped = here();
  EXPECT_EQ(mapped.weights_mapped, before.weights_mapped + 8 * kMiB);
  EXPECT_LT(mapped.rest, before.rest + kSlack);
  munmap(data, 8 * kMiB);
  close(fd);
}

TEST(FootprintOfThisProcess, SmallConversationsAreTold) {
  note_small_conversations(12345);
  EXPECT_EQ(here().conversations, 12345U);
  note_small_conversations(0);
  EXPECT_EQ(here().conversations, 0U);
}

}  // namespace
}  // namespace minerva::engine
