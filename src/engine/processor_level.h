// The levels of x86-64 (psABI 1.0, "Micro-Architecture Levels"), and the best engine for this processor.
//
// A package has one engine per level. An engine that was built on this machine is for exactly this processor, and is
// preferred. Threading: any. It runs no engine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace minerva {

// What CPUID and XGETBV return: the registers that define the levels.
struct ProcessorFeatures {
  std::uint32_t leaf_1_ecx = 0;
  std::uint32_t leaf_7_ebx = 0;
  std::uint32_t extended_1_ecx = 0;  // leaf 0x80000001
  std::uint64_t saved_state = 0;     // XCR0: which registers the system keeps for programs
};

// The features of this processor; all zero if it is no x86-64.
ProcessorFeatures processor_features();
// The level: 1 to 4.
unsigned processor_level(const ProcessorFeatures& features);

// `folder`/minerva-engine if it exists, else `folder`/minerva-engine-x86-64-vN with the highest N up to `level` that
// exists. If there is none: the first path, which does not exist either.
std::string engine_in(const std::filesystem::path& folder, unsigned level);

}  // namespace minerva
