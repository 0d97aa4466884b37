// Tests the agent over blocks of their own. The test's main thread plays the inference loop of an engine. What the
// daemon's thread does runs beside it, while it "waits for work".
#include "parking.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "full_disk.h"
#include "main_loop.h"
#include "mapped_file.h"
#include "page_map.h"
#include "plain_access.h"

namespace minerva::engine {
namespace {

constexpr std::uint64_t kNoLimit = UINT64_MAX;

// Runs `action` on another thread, while this thread rests for as long as it is held.
template <typename Action>
auto at_rest(Action action) {
  main_loop_wait_begins();
  auto result = std::async(std::launch::async, action);
  result.wait();
  main_loop_wait_ends();
  return result.get();
}

class Block {
 public:
  Block(std::size_t pages, BlockUse use)
      : data_(static_cast<char*>(map_large_block(pages * kPage, use))), pages_(pages) {}
  ~Block() { unmap_large_block(data_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  char* page(std::size_t i) const { return data_ + i * kPage; }
  std::string text() const { return {data_, pages_ * kPage}; }

 private:
  char* data_;
  std::size_t pages_;
};

std::size_t status_kib(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(name, 0) == 0) return std::stoul(line.substr(name.size()));
  }
  return 0;
}

// Parks and wakes within one rest.
std::pair<Parking::Report, Parking::Report> cycle(Parking& parking, bool drop = false) {
  return at_rest([&] {
    const auto parked = parking.park(kNoLimit);
    if (drop) parking.drop(kNoLimit);
    return std::pair(parked, parking.wake());
  });
}

// The pages of a block that are this process's own memory, and no file's, as the kernel counts them.
std::size_t own_pages(const Block& block, std::size_t pages) {
  std::vector<PageMap::Entry> entries(pages);
  EXPECT_EQ(PageMap().read(reinterpret_cast<std::uintptr_t>(block.page(0)) / kPage, entries.data(), pages), pages);
  return static_cast<std::size_t>(
      std::count_if(entries.begin(), entries.end(), [](PageMap::Entry entry) { return entry.own(); }));
}

TEST(Parking, BringsEverythingBack) {
  Parking parking(IMAGE_FOLDER);
  ASSERT_EQ(parking.why_not(), "");
  const Block weights(300, BlockUse::kWeights);
  const Block state(500, BlockUse::kState);
  const Block scratch(100, BlockUse::kScratch);
  std::mt19937 random(1);
  for (std::size_t i = 0; i < 300; ++i) std::memset(weights.page(i), static_cast<int>(1 + random() % 255), kPage);
  std::uint64_t changed = 0;
  for (int round = 0; round < 50; ++round) {
    changed = 0;
    for (std::size_t i = random() % 40; i < 500; i += 1 + random() % 40, ++changed) {
      state.page(i)[random() % kPage] = static_cast<char>(1 + random() % 255);
    }
    std::memset(scratch.page(0), 7, 100 * kPage);
    const std::string expected = weights.text() + state.text();
    const auto [parked, woken] = cycle(parking, round % 2 == 1);
    ASSERT_EQ(parked.refused, "");
    EXPECT_EQ(parked.written_bytes, (changed + (round == 0 ? 300 : 0)) * kPage) << "what changed, and no more";
    EXPECT_EQ(parked.image_bytes, woken.image_bytes);
    ASSERT_EQ(weights.text() + state.text(), expected);
    EXPECT_EQ(scratch.text(), std::string(100 * kPage, '\0')) << "nobody needs it back";
  }
}

TEST(Parking, WeightsStayReadableAndCostNoMemoryOfTheirOwn) {
  Parking parking(IMAGE_FOLDER);
  constexpr std::size_t kMany = 5000;
  const Block weights(kMany, BlockUse::kWeights);
  std::memset(weights.page(0), 1, kMany * kPage);
  EXPECT_EQ(own_pages(weights, kMany), kMany);
  for (const bool drop : {false, true, false}) {
    at_rest([&] {
      EXPECT_EQ(parking.park(kNoLimit).refused, "");
      if (drop) parking.drop(kNoLimit);
      EXPECT_EQ(own_pages(weights, kMany), 0U);
      EXPECT_EQ(weights.page(4999)[17], 1);
      return parking.wake();
    });
    EXPECT_EQ(weights.text(), std::string(kMany * kPage, 1));
    EXPECT_EQ(own_pages(weights, kMany), 0U) << "they are the image's pages";
  }
}

TEST(Parking, WhatWasStoredStaysMappedAndOnlyChangesBecomeItsOwn) {
  Parking parking(IMAGE_FOLDER);
  constexpr std::size_t kMany = 1000;
  const Block state(kMany, BlockUse::kState);
  std::memset(state.page(0), 1, 500 * kPage);
  cycle(parking);
  EXPECT_EQ(own_pages(state, kMany), 0U);
  EXPECT_TRUE(reads_plainly(state.page(0), 500 * kPage, 1));
  const auto present = [&](std::size_t pages) {
    std::vector<PageMap::Entry> entries(pages);
    PageMap().read(reinterpret_cast<std::uintptr_t>(state.page(0)) / kPage, entries.data(), pages);
    return std::count_if(entries.begin(), entries.end(), [](PageMap::Entry entry) { return entry.held(); });
  };
  ASSERT_EQ(present(500), 500);
  // A turn of a conversation: it changes the last page that was used and the pages after it, and writes zeros to a page
  // far away.
  std::memset(state.page(499), 2, 11 * kPage);
  std::memset(state.page(900), 0, kPage);
  EXPECT_EQ(own_pages(state, kMany), 12U);
  at_rest([&] {
    EXPECT_EQ(parking.park(kNoLimit).written_bytes, 11 * kPage);
    EXPECT_EQ(own_pages(state, kMany), 0U);
    EXPECT_GE(present(499), 499) << "no page faults for what did not change";
    return parking.wake();
  });
  EXPECT_EQ(state.text(), std::string(499 * kPage, 1) + std::string(11 * kPage, 2) + std::string(490 * kPage, 0));
}

TEST(Parking, TheResidueIsWhatTheProcessKeepsOfItsOwn) {
  Parking parking(IMAGE_FOLDER);
  constexpr std::size_t kMany = 10'000;
  constexpr std::uint64_t kSlack = 1000 * kPage;  // for the heap, and for a sanitizer's heap
  const Block weights(kMany, BlockUse::kWeights);
  const Block state(kMany, BlockUse::kState);
  std::memset(weights.page(0), 1, kMany * kPage);
  std::memset(state.page(0), 1, kMany * kPage);
  const OwnMemory own_memory;
  const std::uint64_t hot = own_memory.anonymous_bytes().value();
  at_rest([&] {
    const auto parked = parking.park(kNoLimit).residue_bytes;
    EXPECT_LE(parked + 2 * kMany * kPage, hot + kSlack);
    EXPECT_TRUE(reads_plainly(weights.page(0), kMany * kPage, 1)) << "now they are mapped";
    const auto touched = parking.park(0).residue_bytes;
    EXPECT_LE(touched, parked + kSlack) << "from the image, whether the disk has it or not";
    EXPECT_LE(parking.drop(kNoLimit).residue_bytes, parked + kSlack);
    EXPECT_EQ(parking.wake().residue_bytes, 0U);
    return 0;
  });
}

TEST(Parking, ItsTailIsGivenBackAndComesAgain) {
  Parking parking(IMAGE_FOLDER);
  constexpr std::size_t kMany = 16 * 256;  // 16 MiB
  constexpr std::uint64_t kMib = 1 << 20;
  const Block weights(kMany, BlockUse::kWeights);
  const Block state(512, BlockUse::kState);
  std::memset(weights.page(0), 1, kMany * kPage);
  std::memset(state.page(0), 2, 512 * kPage);
  cycle(parking, /*drop=*/true);  // the disk has the pages after this
  EXPECT_EQ(weights.text(), std::string(kMany * kPage, 1));
  EXPECT_EQ(state.text(), std::string(512 * kPage, 2));
  const auto in_memory = [&](std::size_t mib) { return look_at({{weights.page(mib * 256), kMib}}).cached == kMib; };
  at_rest([&] {
    EXPECT_EQ(parking.drop(kMib).dropped_bytes, 0U) << "it is not parked";
    EXPECT_TRUE(in_memory(15));
    EXPECT_EQ(parking.park(kNoLimit).cached_bytes, 18 * kMib);
    EXPECT_EQ(parking.drop(0).dropped_bytes, 0U);
    EXPECT_EQ(parking.drop(4 * kMib).dropped_bytes, 4 * kMib);
    EXPECT_TRUE(in_memory(0) && in_memory(11));
    EXPECT_FALSE(in_memory(12) || in_memory(15));
    EXPECT_EQ(parking.drop(2 * kMib).dropped_bytes, 2 * kMib) << "beyond those that are gone";
    EXPECT_TRUE(in_memory(0) && in_memory(9));
    EXPECT_FALSE(in_memory(10));
    const auto woken = parking.wake();
    EXPECT_EQ(woken.cached_bytes, 12 * kMib);
    EXPECT_EQ(woken.missing_bytes, 6 * kMib);
    return 0;
  });
  EXPECT_EQ(weights.text(), std::string(kMany * kPage, 1));
  EXPECT_EQ(state.text(), std::string(512 * kPage, 2));
}

// Brings the whole file into the page cache, and to disk, so that its pages can be given back.
void bring_in(const MappedFile& model) {
  ASSERT_EQ(fsync(model.descriptor()), 0);
  read_pages(model.part());
}

TEST(Parking, OfAMappedModelTheEndOfTheFileIsGivenBack) {
  Parking parking(IMAGE_FOLDER);
  const MappedFile model(/*shared=*/true);
  bring_in(model);
  at_rest([&] {
    EXPECT_EQ(parking.park(kNoLimit).cached_bytes, kBytes);
    EXPECT_EQ(parking.drop(4 << 20).dropped_bytes, 4U << 20);
    EXPECT_TRUE(model.in_memory(19));
    EXPECT_FALSE(model.in_memory(20));
    EXPECT_EQ(parking.wake().missing_bytes, 4U << 20);
    return 0;
  });
  EXPECT_TRUE(model.comes_back()) << "read ahead, as a good part of it is missing";
}

TEST(Parking, TheFileOfCopiedWeightsGoesFirstAndStaysAway) {
  Parking parking(IMAGE_FOLDER);
  const MappedFile model(/*shared=*/true);
  bring_in(model);
  const Block weights(kBytes / kPage, BlockUse::kWeights);
  std::memset(weights.page(0), 1, kBytes);
  at_rest([&] {
    EXPECT_EQ(parking.park(kNoLimit).cached_bytes, kBytes) << "of the copies alone";
    EXPECT_EQ(parking.drop(kBytes).dropped_bytes, kBytes);
    EXPECT_EQ(model.pages_in_memory(), 0U);
    EXPECT_EQ(parking.wake().missing_bytes, 0U);
    return 0;
  });
  EXPECT_EQ(model.pages_in_memory(), 0U);
}

TEST(Parking, ALittleMoreOfTheFileIsNothingOfTheCopies) {
  Parking parking(IMAGE_FOLDER);
  const MappedFile model(/*shared=*/true);
  bring_in(model);
  const Block weights(kBytes / kPage, BlockUse::kWeights);
  std::memset(weights.page(0), 1, kBytes);
  at_rest([&] {
    parking.park(kNoLimit);
    EXPECT_EQ(parking.drop(3 << 20).dropped_bytes, 4U << 20);
    EXPECT_TRUE(model.in_memory(19));
    EXPECT_FALSE(model.in_memory(20));
    parking.wake();
    return 0;
  });
}

TEST(Parking, MoreThanItsWeightsIsAllOfIt) {
  Parking parking(IMAGE_FOLDER);
  const Block weights(1024, BlockUse::kWeights);
  const Block state(1024, BlockUse::kState);
  std::memset(weights.page(0), 1, 1024 * kPage);
  std::memset(state.page(0), 2, 1024 * kPage);
  cycle(parking, /*drop=*/true);
  EXPECT_EQ(weights.text() + state.text(), std::string(1024 * kPage, 1) + std::string(1024 * kPage, 2));
  at_rest([&] {
    parking.park(kNoLimit);
    EXPECT_EQ(parking.drop(1025 * kPage).dropped_bytes, 1024 * kPage);
    EXPECT_EQ(parking.wake().cached_bytes, 0U);
    return 0;
  });
}

TEST(Parking, PagesOfZerosCostNothing) {
  Parking parking(IMAGE_FOLDER);
  const Block state(1000, BlockUse::kState);
  std::memset(state.page(0), 0, 900 * kPage);  // the pages are touched
  state.page(5)[0] = 1;
  EXPECT_EQ(cycle(parking).first.written_bytes, kPage);
  EXPECT_EQ(cycle(parking).first.written_bytes, 0U);
  state.page(5)[0] = 0;
  cycle(parking);
  EXPECT_EQ(state.text(), std::string(1000 * kPage, '\0'));
}

TEST(Parking, AScatteredBlockTakesFewMappings) {
  Parking parking(IMAGE_FOLDER);
  constexpr std::size_t kBlockPages = 60'000;
  const Block state(kBlockPages, BlockUse::kState);
  for (std::size_t i = 0; i < kBlockPages; i += 20) state.page(i)[0] = 1;
  const auto mappings = [] {
    std::ifstream maps("/proc/self/maps");
    return std::count(std::istreambuf_iterator<char>(maps), {}, '\n');
  };
  const auto before = mappings();
  EXPECT_EQ(cycle(parking).first.written_bytes, kBlockPages / 20 * kPage);
  EXPECT_LT(mappings(), before + 1100);
  for (std::size_t i = 0; i < kBlockPages; ++i) ASSERT_EQ(state.page(i)[0], i % 20 == 0 ? 1 : 0) << i;
  EXPECT_EQ(cycle(parking).first.written_bytes, 0U);
}

TEST(Parking, BlocksComeAndGo) {
  Parking parking(IMAGE_FOLDER);
  const Block kept(10, BlockUse::kState);
  std::memset(kept.page(0), 1, 10 * kPage);
  for (int i = 0; i < 20; ++i) {
    const Block other(10 + i % 3, BlockUse::kState);
    std::memset(other.page(0), 2, 10 * kPage);
    EXPECT_EQ(cycle(parking).first.image_bytes, 20 * kPage);
    EXPECT_EQ(other.page(9)[0], 2);
  }
  EXPECT_EQ(cycle(parking).first.image_bytes, 10 * kPage);
  EXPECT_EQ(kept.text(), std::string(10 * kPage, 1));
}

TEST(Parking, ABlockMayGoWhileItIsParked) {
  Parking parking(IMAGE_FOLDER);
  const Block kept(10, BlockUse::kState);
  auto gone = std::make_unique<Block>(10, BlockUse::kState);
  std::memset(kept.page(0), 1, 10 * kPage);
  std::memset(gone->page(0), 2, 10 * kPage);
  at_rest([&] {
    parking.park(kNoLimit);
    gone = nullptr;
    // Most likely at the address of the block that is gone.
    const Block born(10, BlockUse::kState);
    std::memset(born.page(0), 3, 10 * kPage);
    parking.drop(kNoLimit);
    EXPECT_EQ(parking.wake().image_bytes, 10 * kPage);
    EXPECT_EQ(born.text(), std::string(10 * kPage, 3));
    return 0;
  });
  EXPECT_EQ(kept.text(), std::string(10 * kPage, 1));
}

TEST(Parking, AWorkingLoopIsNotParked) {
  Parking parking(IMAGE_FOLDER);
  const Block state(1, BlockUse::kState);
  const auto report = std::async(std::launch::async, [&] { return parking.park(kNoLimit); }).get();
  EXPECT_EQ(report.refused, "it is working");
  EXPECT_EQ(report.image_wanted_bytes, 0U);
  EXPECT_FALSE(parking.parked());
  state.page(0)[0] = 1;
}

TEST(Parking, TheLoopRestsUntilItIsWoken) {
  Parking parking(IMAGE_FOLDER);
  const Block state(1, BlockUse::kState);
  state.page(0)[0] = 1;
  main_loop_wait_begins();
  std::async(std::launch::async, [&] { parking.park(kNoLimit); }).get();
  std::atomic<bool> woken{false};
  const auto daemon = std::async(std::launch::async, [&] {
    woken = true;
    parking.wake();
  });
  main_loop_wait_ends();
  EXPECT_TRUE(woken);
  EXPECT_EQ(state.page(0)[0], 1);
}

TEST(Parking, AnImageOverItsLimitIsRefused) {
  Parking parking(IMAGE_FOLDER);
  const Block state(10, BlockUse::kState);
  std::memset(state.page(0), 1, 10 * kPage);
  const auto park = [&](std::uint64_t most) {
    return at_rest([&, most] {
      const auto report = parking.park(most);
      parking.wake();
      return report;
    });
  };
  const auto refused = park(10 * kPage - 1);
  EXPECT_EQ(refused.refused, "its image would take 40960 bytes, 40959 are allowed");
  EXPECT_EQ(refused.image_wanted_bytes, 10 * kPage);
  EXPECT_EQ(refused.residue_bytes, 0U);
  EXPECT_EQ(park(10 * kPage).refused, "");
  EXPECT_EQ(park(10 * kPage).image_wanted_bytes, 0U);
  std::memset(state.page(0), 2, 10 * kPage);
  EXPECT_EQ(park(10 * kPage).refused, "") << "the same pages again";
  EXPECT_EQ(park(0).written_bytes, 0U);
  EXPECT_EQ(state.text(), std::string(10 * kPage, 2));
}

TEST(Parking, AFullDiskLeavesItHot) {
  Parking parking(IMAGE_FOLDER);
  const Block state(100, BlockUse::kState);
  std::memset(state.page(0), 1, 50 * kPage);
  cycle(parking);
  for (std::size_t i = 0; i < 100; i += 3) state.page(i)[1] = 5;
  const std::string expected = state.text();
  const auto refused = at_rest([&] {
    const FullDisk full(40 * kPage);
    return parking.park(kNoLimit);
  });
  EXPECT_NE(refused.refused.find("cannot write its image"), std::string::npos) << refused.refused;
  EXPECT_FALSE(parking.parked());
  EXPECT_EQ(state.text(), expected);
  EXPECT_EQ(cycle(parking).first.refused, "");
  EXPECT_EQ(state.text(), expected);
}

TEST(Parking, WhatAFullDiskTookHalfIsNotWhatComesBack) {
  Parking parking(IMAGE_FOLDER);
  const Block state(50, BlockUse::kState);
  std::memset(state.page(0), 1, 50 * kPage);
  cycle(parking);
  std::memset(state.page(30), 2, 20 * kPage);
  const auto refused = at_rest([&] {
    const FullDisk full(40 * kPage);
    return parking.park(kNoLimit);
  });
  ASSERT_NE(refused.refused, "");
  // Zeros are not written, so the image must have zeros in their place.
  std::memset(state.page(30), 0, 20 * kPage);
  EXPECT_EQ(cycle(parking).first.refused, "");
  EXPECT_EQ(state.text(), std::string(30 * kPage, 1) + std::string(20 * kPage, 0));
}

TEST(Parking, WithoutAFolder) {
  Parking parking("");
  EXPECT_NE(parking.why_not(), "");
  EXPECT_EQ(at_rest([&] { return parking.park(kNoLimit); }).refused, parking.why_not());
  EXPECT_FALSE(parking.parked());
}

TEST(ParkingDeathTest, ATouchOfAParkedBlockEndsTheProcess) {
  for (const auto use : {BlockUse::kState, BlockUse::kScratch}) {
    const Block block(10, use);
    for (const bool write : {false, true}) {
      EXPECT_EXIT(
          {
            // Without the sanitizer's handler, which would turn the signal into an ordinary exit.
            ::signal(SIGSEGV, SIG_DFL);
            Parking parking(IMAGE_FOLDER);
            main_loop_wait_begins();
            std::async(std::launch::async, [&] { parking.park(kNoLimit); }).get();
            volatile char* const touched = block.page(9);
            if (write) *touched = 1;
            std::_Exit(*touched);
          },
          ::testing::KilledBySignal(SIGSEGV), "");
    }
  }
}

TEST(ParkingDeathTest, NobodyWritesToWeightsThatAreStored) {
  EXPECT_EXIT(
      {
        ::signal(SIGSEGV, SIG_DFL);
        Parking parking(IMAGE_FOLDER);
        const Block weights(10, BlockUse::kWeights);
        std::memset(weights.page(0), 1, 10 * kPage);
        cycle(parking);
        weights.page(7)[0] = 2;
        std::_Exit(0);
      },
      ::testing::KilledBySignal(SIGSEGV), "");
}

TEST(ParkingDeathTest, ADamagedImageEndsTheProcess) {
  EXPECT_EXIT(
      {
        ::signal(SIGABRT, SIG_DFL);
        Parking parking(IMAGE_FOLDER);
        const Block state(100, BlockUse::kState);
        std::memset(state.page(0), 1, 100 * kPage);
        main_loop_wait_begins();
        std::async(std::launch::async, [&] { parking.park(kNoLimit); }).get();
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
          std::error_code gone;
          if (std::filesystem::read_symlink(entry, gone).string().starts_with(IMAGE_FOLDER "/#")) {
            std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
            file.seekp(99 * kPage + 1).put(0);
          }
        }
        std::async(std::launch::async, [&] { parking.wake(); }).get();
        while (true) ::pause();
      },
      ::testing::KilledBySignal(SIGABRT), "its image is damaged");
}

// ---- many times ----

std::size_t open_descriptors() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) count += entry.exists() ? 1 : 0;
  return count;
}

// The variable AGENT_CYCLES says how many cycles (500).
TEST(Parking, NothingGrows) {
  const char* const text = std::getenv("AGENT_CYCLES");
  const int cycles = text == nullptr ? 500 : std::atoi(text);
  Parking parking(IMAGE_FOLDER);
  const std::size_t descriptors = open_descriptors();
  const Block weights(2000, BlockUse::kWeights);
  const Block state(3000, BlockUse::kState);
  for (std::size_t i = 0; i < 2000; ++i) std::memset(weights.page(i), static_cast<int>(i % 255 + 1), kPage);
  std::vector<char> expected(3000, 0);
  std::vector<std::unique_ptr<Block>> conversations(4);
  std::mt19937 random(3);
  std::size_t early_kib = 0;
  std::size_t last_kib = 0;
  std::uint64_t most_image = 0;
  const int settled = std::min(cycles / 2, 200);
  for (int i = 0; i < cycles; ++i) {
    // Always the same pages, so that the size of the image settles.
    for (int n = 0; n < 30; ++n) {
      const std::size_t page = random() % 1000 * 3;
      expected[page] = static_cast<char>(1 + random() % 127);
      state.page(page)[17] = expected[page];
    }
    auto& conversation = conversations[random() % conversations.size()];
    conversation = std::make_unique<Block>(256 + random() % 3 * 10, BlockUse::kState);
    std::memset(conversation->page(0), 9, 256 * kPage);
    const auto [parked, woken] = cycle(parking, i % 50 == 49);
    ASSERT_EQ(parked.refused, "");
    ASSERT_LE(parked.written_bytes, (30 + 276) * kPage + (i == 0 ? 2000 * kPage : 0));
    most_image = std::max(most_image, parked.image_bytes);
    last_kib = status_kib("RssAnon:");
    if (i == settled) early_kib = last_kib;
  }
  // The thread that reads ahead after the last wake has the list of mappings open for a moment.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (open_descriptors() > descriptors && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  EXPECT_EQ(open_descriptors(), descriptors);
  // If each of 10,000 cycles lost a page, this would show it.
  EXPECT_LE(last_kib, early_kib + 16 * 1024);
  EXPECT_LE(most_image, (2000 + 1000 + 4 * 276) * kPage);
  for (std::size_t page = 0; page < 3000; ++page) ASSERT_EQ(state.page(page)[17], expected[page]);
  for (std::size_t i = 0; i < 2000; ++i) ASSERT_EQ(weights.page(i)[100], static_cast<char>(i % 255 + 1));
  std::printf("%d cycles: %zu KiB anonymous memory (%zu after %d), image at most %llu KiB\n", cycles, last_kib,
              early_kib, settled, static_cast<unsigned long long>(most_image >> 10));
}

// ---- memory of devices ----

// A device that holds one page of conversation, and a file of weights.
class FakeDevices final : public DeviceMemory {
 public:
  explicit FakeDevices(std::vector<std::string>& did, int refusals = 0) : did_(did), refusals_(refusals) {}

  std::string why_not() const override { return ""; }
  void store(Image& image, std::uint64_t max_image_bytes, protocol::ParkReport& report) override {
    did_.push_back("store " + std::to_string(max_image_bytes / kPage));
    if (max_image_bytes < kPage) {
      report.refused = "too large";
      report.image_wanted_bytes = kPage;
      return;
    }
    if (!place_) place_ = image.allocate(1);
    ASSERT_TRUE(image.write(place_->first, page_.data(), 1));
    report.written_bytes += kPage;
  }
  void release() override {
    did_.emplace_back("release");
    page_.assign(kPage, '?');
    files_.push_back({file_.data(), file_.size(), 0});
  }
  std::map<std::string, std::uint64_t> taken() const override { return {{"D", page_[0] == '?' ? 1 : kPage}}; }
  const std::vector<MappedPart>& files() const override { return files_; }
  bool restore(const Image& image, std::string& refused) override {
    did_.emplace_back("restore");
    if (refusals_ > 0) {
      --refusals_;
      refused = "no room";
      return false;
    }
    EXPECT_TRUE(image.read(place_->first, page_.data(), 1));
    files_.clear();
    return true;
  }

 private:
  std::vector<std::string>& did_;
  int refusals_;  // of wakes that come
  std::optional<Image::Extent> place_;
  std::string page_ = std::string(kPage, 'd');
  std::string file_ = std::string(kPage, 'f');
  std::vector<MappedPart> files_;
};

using Did = std::vector<std::string>;

TEST(ParkingDevices, AreStoredReleasedAndRestoredWithTheRest) {
  Did did;
  Parking parking(IMAGE_FOLDER, std::make_unique<FakeDevices>(did));
  const Block state(3, BlockUse::kState);
  std::memset(state.page(0), 's', 3 * kPage);
  const auto [parked, woken] = cycle(parking);
  EXPECT_EQ(parked.refused, "");
  EXPECT_EQ(parked.written_bytes, 4 * kPage) << "of the host and of the device";
  EXPECT_EQ(parked.devices, (std::map<std::string, std::uint64_t>{{"D", 1}})) << "what is left there";
  EXPECT_EQ(parked.image_bytes, 4 * kPage);
  EXPECT_FALSE(woken.parked);
  EXPECT_EQ(did.size(), 3U);
  EXPECT_EQ(Did(did.begin() + 1, did.end()), (Did{"release", "restore"}));
  EXPECT_EQ(state.text(), std::string(3 * kPage, 's'));
}

TEST(ParkingDevices, WithoutRoomThereItStaysParkedAndWakesLater) {
  Did did;
  Parking parking(IMAGE_FOLDER, std::make_unique<FakeDevices>(did, 2));
  const Block state(3, BlockUse::kState);
  std::memset(state.page(0), 's', 3 * kPage);
  at_rest([&] {
    EXPECT_TRUE(parking.park(kNoLimit).parked);
    for (int round = 0; round < 2; ++round) {
      const auto refused = parking.wake();
      EXPECT_TRUE(refused.parked && parking.parked());
      EXPECT_EQ(refused.refused, "no room");
      EXPECT_EQ(refused.image_bytes, 4 * kPage);
      EXPECT_GT(refused.residue_bytes, 0U);
    }
    const auto woken = parking.wake();
    EXPECT_FALSE(woken.parked);
    EXPECT_EQ(woken.refused, "");
    return woken;
  });
  EXPECT_EQ(did.size(), 5U) << "stored and released once";
  EXPECT_EQ(state.text(), std::string(3 * kPage, 's'));
}

TEST(ParkingDevices, ShareTheImagesLimitWithTheHost) {
  Did did;
  Parking parking(IMAGE_FOLDER, std::make_unique<FakeDevices>(did));
  const Block state(3, BlockUse::kState);
  std::memset(state.page(0), 's', 3 * kPage);
  const auto parked = at_rest([&] { return parking.park(3 * kPage); });
  EXPECT_FALSE(parked.parked);
  EXPECT_EQ(parked.refused, "its image would take 16384 bytes, 12288 are allowed");
  EXPECT_EQ(parked.image_wanted_bytes, 4 * kPage) << "the host's part counts";
  EXPECT_EQ(did, Did{"store 0"}) << "nothing was released";
}

}  // namespace
}  // namespace minerva::engine
