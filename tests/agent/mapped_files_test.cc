#include "mapped_files.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "mapped_file.h"

namespace minerva::engine {
namespace {

constexpr std::uint64_t kMib = 1 << 20;

TEST(MappedFiles, ALineSaysWhatIsMapped) {
  const auto mapping = parse_mapping("7f0a000-7f0b000 r--s 00002000 fe:00 123    /a path");
  ASSERT_TRUE(mapping);
  EXPECT_EQ(mapping->begin, 0x7f0a000U);
  EXPECT_EQ(mapping->end, 0x7f0b000U);
  EXPECT_EQ(mapping->access, "r--s");
  EXPECT_EQ(mapping->offset, 0x2000U);
  EXPECT_EQ(mapping->path, "/a path");
  EXPECT_FALSE(parse_mapping("7f0b000-7f0a000 r--s 00002000 fe:00 123"));
  EXPECT_FALSE(parse_mapping("no mapping"));
}

TEST(MappedFiles, AModelIsFoundWithThePartOfItThatIsMapped) {
  const MappedFile file(/*shared=*/false);
  void* const part = mmap(nullptr, 2 * kMib, PROT_READ, MAP_SHARED, file.descriptor(), 5 * kMib);
  ASSERT_NE(part, MAP_FAILED);
  const auto models = mapped_models();
  munmap(part, 2 * kMib);
  const auto model = std::find_if(models.begin(), models.end(), [&](const auto& m) { return m.path == file.name(); });
  ASSERT_NE(model, models.end());
  EXPECT_EQ(model->part.address, part);
  EXPECT_EQ(model->part.bytes, 2 * kMib);
  EXPECT_EQ(model->part.offset, 5 * kMib);
}

TEST(MappedFiles, TheTailIsGivenBackAsFarAsItIsThere) {
  for (const bool shared : {false, true}) {
    const MappedFile file(shared);
    ASSERT_EQ(fsync(file.descriptor()), 0);
    read_pages(file.part());
    EXPECT_EQ(look_at({file.part()}).cached, kBytes);
    EXPECT_EQ(drop_tail(file.part(), file.descriptor(), 0), 0U);
    EXPECT_EQ(file.pages_in_memory(), kBytes / kPage);
    EXPECT_EQ(drop_tail(file.part(), file.descriptor(), 4 * kMib), 4 * kMib);
    EXPECT_EQ(file.pages_in_memory(), (kBytes - 4 * kMib) / kPage);
    EXPECT_TRUE(file.in_memory(19));
    EXPECT_FALSE(file.in_memory(20));
    EXPECT_EQ(drop_tail(file.part(), file.descriptor(), kMib), 2 * kMib) << "of what is left, and a little more";
    EXPECT_TRUE(file.in_memory(17));
    EXPECT_FALSE(file.in_memory(18));
    const PagesInMemory found = look_at({file.part()});
    EXPECT_EQ(found.cached, kBytes - 6 * kMib);
    EXPECT_EQ(found.missing, 6 * kMib);
    EXPECT_EQ(drop_tail(file.part(), file.descriptor(), UINT64_MAX), kBytes - 6 * kMib);
    EXPECT_EQ(drop_tail(file.part(), file.descriptor(), UINT64_MAX), 0U);
    EXPECT_EQ(file.part().address[kBytes - 1], 'x') << "it is read again";
  }
}

TEST(MappedFiles, APartOfAFileIsDroppedWhereItIs) {
  const MappedFile file(/*shared=*/true);
  ASSERT_EQ(fsync(file.descriptor()), 0);
  read_pages(file.part());
  const MappedPart middle{file.part().address + 8 * kMib, 4 * kMib, 8 * kMib};
  EXPECT_EQ(drop_tail(middle, file.descriptor(), 2 * kMib), 2 * kMib);
  EXPECT_TRUE(file.in_memory(9) && file.in_memory(12));
  EXPECT_FALSE(file.in_memory(10) || file.in_memory(11));
}

}  // namespace
}  // namespace minerva::engine
