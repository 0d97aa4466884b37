#include "footprint.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "image.h"
#include "plain_access.h"

namespace minerva::engine {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
// How much memory the test itself may come to hold between two looks. A sanitizer maps 8 MiB beside a block, and the
// kernel joins these with it. Once the block is touched they count too, since nobody can tell whose pages are resident.
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr std::uint64_t kSlack = 16 * kMiB;
#else
constexpr std::uint64_t kSlack = kMiB / 2;
#endif

constexpr const char* kProgram = "/usr/bin/program with spaces";

LargeBlock block(std::uintptr_t address, std::size_t bytes, BlockUse use = BlockUse::kState) {
  return {1, reinterpret_cast<char*>(address), bytes, use};  // NOLINT(performance-no-int-to-ptr): never followed
}

constexpr PageMap::Entry kHeld(PageMap::Entry::kPresent);
constexpr PageMap::Entry kSwapped(PageMap::Entry::kSwapped);
constexpr PageMap::Entry kAlone(PageMap::Entry::kPresent | PageMap::Entry::kExclusive);
constexpr PageMap::Entry kOfFile(PageMap::Entry::kPresent | PageMap::Entry::kOfFile);

// Pages from an address on, all in the same state. Pages that are in no stretch were never touched.
struct Stretch {
  std::uint64_t address;
  std::size_t pages;
  PageMap::Entry entry;
};

Footprint count(const std::string& maps, const std::vector<Stretch>& stretches,
                const std::vector<LargeBlock>& blocks = {}) {
  std::map<std::uint64_t, PageMap::Entry> pages;
  for (const Stretch& stretch : stretches) {
    for (std::size_t i = 0; i < stretch.pages; ++i) pages[stretch.address / kPage + i] = stretch.entry;
  }
  std::istringstream text(maps);
  const auto footprint =
      count_mappings(text, blocks, kProgram, [&](std::uint64_t first, PageMap::Entry* entries, std::size_t count) {
        const std::size_t some = std::min<std::size_t>(count, 100);
        for (std::size_t i = 0; i < some; ++i) {
          const auto found = pages.find(first + i);
          entries[i] = found == pages.end() ? PageMap::Entry() : found->second;
        }
        return first >= 0xffffffffff600 ? 0 : some;
      });
  EXPECT_TRUE(footprint.has_value());
  return footprint.value_or(Footprint{});
}

TEST(Footprint, EachMappingCountsByWhatItIs) {
  const Footprint footprint = count(
      "00400000-00500000 r-xp 00000000 fe:00 1    /usr/bin/program with spaces\n"
      "00500000-00600000 rw-p 00100000 fe:00 1    /usr/bin/program\n"
      "01000000-01900000 rw-p 00000000 00:00 0    [heap]\n"
      "10000000-10200000 r--s 00000000 fe:00 2    /models/m.gguf\n"
      "10200000-10220000 r--s 00000000 fe:00 3    /usr/lib/small\n"
      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]\n",
      {{0x400000, 60, kOfFile},
       {0x43c000, 4, kHeld},
       {0x500000, 100, kOfFile},
       {0x564000, 3, kAlone},
       {0x1000000, 2000, kAlone},
       {0x17d0000, 6, kSwapped},
       {0x17d6000, 5, kHeld},  // shared with a child process
       {0x10000000, 250, kOfFile},
       {0x10200000, 4, kOfFile}});
  EXPECT_EQ(footprint.weights_mapped, 2 * kMiB);
  EXPECT_EQ(footprint.rest, (64 + 3 + 2006) * kPage);
  EXPECT_EQ(footprint.blocks, 0U);
  EXPECT_EQ(footprint.total(), footprint.weights_mapped + footprint.rest);
}

TEST(Footprint, BlocksCountAsAWhole) {
  const std::vector<LargeBlock> blocks = {block(0x10000000, 2 * kMiB), block(0x10200000, kMiB, BlockUse::kConversation),
                                          block(0x20000000, 4 * kMiB)};
  const Footprint footprint = count(
      // two blocks that the kernel joined, with foreign memory before and behind them
      "0ffff000-10400000 rw-p 00000000 00:00 0\n"
      // a block in three mappings, as after a wake, with foreign memory joined to the last one
      "20000000-20100000 rw-p 00000000 fe:00 9    /images/#1 (deleted)\n"
      "20100000-20300000 rw-p 00000000 00:00 0\n"
      "20300000-20500000 rw-p 00000000 00:00 0\n",
      {{0xffff000, 1, kAlone},
       {0x10000000, 1024, kAlone},
       {0x20000000, 128, kOfFile},
       {0x20080000, 128, kAlone},
       {0x20400000, 2, kAlone}},
      blocks);
  EXPECT_EQ(footprint.blocks, 7 * kMiB);
  EXPECT_EQ(footprint.rest, kMiB + 3 * kPage);
  EXPECT_EQ(footprint.conversations, kMiB);
}

TEST(Footprint, AddressSpaceThatIsOnlyReservedIsNotLookedAt) {
  EXPECT_EQ(count("7fff8000-10007fff8000 rw-p 00000000 00:00 0\n", {{0x7fff8000, 1, kAlone}}).rest, 0U);
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
  const auto no_pages = [](std::uint64_t, PageMap::Entry*, std::size_t) { return std::size_t{0}; };
  for (const char* const text : {"", "\n\n", "Private_Dirty: 4 kB\n", "not a mapping\n", "5-4 rw-p\n"}) {
    std::istringstream maps(text);
    EXPECT_FALSE(count_mappings(maps, {}, kProgram, no_pages)) << text;
  }
}

// ---- the test's own process ----

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
