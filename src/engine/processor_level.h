// The levels of x86-64 (psABI 1.0, "Micro-Architecture Levels"), and the engine that is the best for this processor.
//
// A package holds one engine per level; one that was built here is for exactly this processor, and is preferred.
// Threading: any. It runs no engine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace minerva {

// What CPUID and XGETBV say: the registers that the levels are defined by.
struct ProcessorFeatures {
  std::uint32_t leaf_1_ecx = 0;
  std::uint32_t leaf_7_ebx = 0;
  std::uint32_t extended_1_ecx = 0;  // leaf 0x80000001
  std::uint64_t saved_state = 0;     // XCR0: which registers the system keeps for programs
};

// Of this processor; all zero where it is no x86-64.
ProcessorFeatures processor_features();
// 1 to 4.
unsigned processor_level(const ProcessorFeatures& features);

// `folder`/minerva-engine if it is there, else the highest `folder`/minerva-engine-x86-64-vN with N up to `level`.
// Where there is none of them: the first, which is not there either.
std::string engine_in(const std::filesystem::path& folder, unsigned level);

}  // namespace minerva
