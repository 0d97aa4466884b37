#include "engine/processor_level.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

namespace minerva {
namespace {

// What CPUID returns on processors that are sold.
constexpr ProcessorFeatures kNehalem = {0x0098e3fd, 0, 0x1, 0};
constexpr ProcessorFeatures kHaswell = {0x7ffafbff, 0x000027ab, 0x21, 0x7};
constexpr ProcessorFeatures kSkylakeServer = {0x7ffefbff, 0xd39ffffb, 0x121, 0x2ff};

TEST(ProcessorLevel, IsTheHighestWhoseInstructionsAreAllThere) {
  EXPECT_EQ(processor_level({}), 1U);
  EXPECT_EQ(processor_level(kNehalem), 2U);
  EXPECT_EQ(processor_level(kHaswell), 3U);
  EXPECT_EQ(processor_level(kSkylakeServer), 4U);
}

TEST(ProcessorLevel, EachInstructionOfALevelCounts) {
  const auto without = [](ProcessorFeatures features, std::uint32_t ProcessorFeatures::* where, unsigned bit) {
    features.*where &= ~(1U << bit);
    return processor_level(features);
  };
  for (const unsigned bit : {0U, 9U, 13U, 19U, 20U, 23U}) {
    EXPECT_EQ(without(kHaswell, &ProcessorFeatures::leaf_1_ecx, bit), 1U) << bit;
  }
  for (const unsigned bit : {12U, 22U, 27U, 28U, 29U}) {
    EXPECT_EQ(without(kSkylakeServer, &ProcessorFeatures::leaf_1_ecx, bit), 2U) << bit;
  }
  for (const unsigned bit : {3U, 5U, 8U}) {
    EXPECT_EQ(without(kSkylakeServer, &ProcessorFeatures::leaf_7_ebx, bit), 2U) << bit;
  }
  EXPECT_EQ(without(kSkylakeServer, &ProcessorFeatures::extended_1_ecx, 5), 2U);
  for (const unsigned bit : {16U, 17U, 28U, 30U, 31U}) {
    EXPECT_EQ(without(kSkylakeServer, &ProcessorFeatures::leaf_7_ebx, bit), 3U) << bit;
  }
}

TEST(ProcessorLevel, WhatTheSystemDoesNotKeepIsNotUsed) {
  ProcessorFeatures features = kSkylakeServer;
  features.saved_state = 0x7;  // AVX, not AVX-512
  EXPECT_EQ(processor_level(features), 3U);
  features.saved_state = 0x3;
  EXPECT_EQ(processor_level(features), 2U);
}

TEST(ProcessorLevel, OfThisProcessorIsWhatTheCompilersLibrarySays) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const unsigned level = processor_level(processor_features());
  EXPECT_EQ(level >= 2, __builtin_cpu_supports("sse4.2") != 0);
  EXPECT_EQ(level >= 3, __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0);
  EXPECT_EQ(level >= 4, __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vl") != 0);
#else
  EXPECT_EQ(processor_level(processor_features()), 1U);
#endif
}

class EngineIn : public testing::Test {
 public:
  EngineIn() : folder_(::mkdtemp(name_.data())) {}
  ~EngineIn() override { std::filesystem::remove_all(folder_); }

 protected:
  void add(const std::string& name) { std::ofstream(folder_ / name) << "an engine"; }
  // The name of the chosen engine.
  std::string taken(unsigned level) const { return std::filesystem::path(engine_in(folder_, level)).filename(); }

 private:
  std::string name_ = testing::TempDir() + "engines-XXXXXX";
  std::filesystem::path folder_;
};

TEST_F(EngineIn, TheBestThatRunsIsTaken) {
  add("minerva-engine-x86-64-v2");
  add("minerva-engine-x86-64-v3");
  add("minerva-engine-x86-64-v4");
  EXPECT_EQ(taken(2), "minerva-engine-x86-64-v2");
  EXPECT_EQ(taken(3), "minerva-engine-x86-64-v3");
  EXPECT_EQ(taken(4), "minerva-engine-x86-64-v4");
  EXPECT_EQ(taken(1), "minerva-engine");  // the error names it
}

TEST_F(EngineIn, ALowerOneIsTakenWhereTheBestIsMissing) {
  add("minerva-engine-x86-64-v2");
  EXPECT_EQ(taken(4), "minerva-engine-x86-64-v2");
}

TEST_F(EngineIn, OneThatWasBuiltHereIsPreferred) {
  add("minerva-engine-x86-64-v2");
  add("minerva-engine");
  EXPECT_EQ(taken(3), "minerva-engine");
}

}  // namespace
}  // namespace minerva
