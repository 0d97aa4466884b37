#include "read_ahead.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "mapped_file.h"

namespace minerva::engine {
namespace {

TEST(ReadAhead, WhatWasDroppedComesBackWithoutBeingTouched) {
  const MappedFile image(false);
  ReadAhead read_ahead;
  for (int round = 0; round < 3; ++round) {
    image.drop();
    ASSERT_LT(image.pages_in_memory(), kBytes / kPage / 2);
    read_ahead.start({image.part()}, look_at({image.part()}));
    EXPECT_TRUE(image.comes_back());
    read_ahead.stop();
  }
}

TEST(ReadAhead, ALittleIsLeftToPageFaults) {
  const MappedFile image(false);
  image.drop();
  ASSERT_LT(image.pages_in_memory(), kBytes / kPage / 2);
  {
    ReadAhead read_ahead;
    read_ahead.start({image.part()}, {.cached = 16 * kBytes, .missing = kBytes});
  }
  EXPECT_LT(image.pages_in_memory(), kBytes / kPage / 2);
}

TEST(ReadAhead, WhatIsMappedInsteadComesToNoHarm) {
  ReadAhead read_ahead;
  for (int round = 0; round < 5; ++round) {
    const MappedFile file(false);
    file.drop();
    read_ahead.start({file.part()}, look_at({file.part()}));
    read_ahead.stop();
    void* const fence = mmap(file.part().address, kBytes, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(fence, MAP_FAILED);
  }
}

}  // namespace
}  // namespace minerva::engine
