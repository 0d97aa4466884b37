#include "engine/processor_level.h"

#include <fmt/format.h>

#include <initializer_list>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace minerva {
namespace {

constexpr unsigned kLowestEngine = 2;

constexpr std::uint32_t bits(std::initializer_list<unsigned> numbers) {
  std::uint32_t result = 0;
  for (const unsigned number : numbers) result |= 1U << number;
  return result;
}
template <typename Register>
constexpr bool has(Register value, Register wanted) {
  return (value & wanted) == wanted;
}

// Version 2: SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; LAHF.
constexpr std::uint32_t kLeaf1OfV2 = bits({0, 9, 13, 19, 20, 23});
constexpr std::uint32_t kExtended1OfV2 = bits({0});
// Version 3: FMA, MOVBE, OSXSAVE, AVX, F16C; BMI1, AVX2, BMI2; LZCNT; and the registers XMM and YMM are kept.
constexpr std::uint32_t kLeaf1OfV3 = bits({12, 22, 27, 28, 29});
constexpr std::uint32_t kLeaf7OfV3 = bits({3, 5, 8});
constexpr std::uint32_t kExtended1OfV3 = bits({5});
constexpr std::uint64_t kStateOfV3 = bits({1, 2});
// Version 4: AVX-512 F, DQ, CD, BW, VL; and its masks and registers are kept.
constexpr std::uint32_t kLeaf7OfV4 = bits({16, 17, 28, 30, 31});
constexpr std::uint64_t kStateOfV4 = bits({5, 6, 7});

}  // namespace

ProcessorFeatures processor_features() {
  ProcessorFeatures result;
#if defined(__x86_64__)
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) != 0) result.leaf_1_ecx = c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) result.leaf_7_ebx = b;
  if (__get_cpuid(0x80000001U, &a, &b, &c, &d) != 0) result.extended_1_ecx = c;
  if (has(result.leaf_1_ecx, bits({27}))) {
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    result.saved_state = std::uint64_t{high} << 32 | low;
  }
#endif
  return result;
}

unsigned processor_level(const ProcessorFeatures& features) {
  if (!has(features.leaf_1_ecx, kLeaf1OfV2) || !has(features.extended_1_ecx, kExtended1OfV2)) return 1;
  if (!has(features.leaf_1_ecx, kLeaf1OfV3) || !has(features.leaf_7_ebx, kLeaf7OfV3) ||
      !has(features.extended_1_ecx, kExtended1OfV3) || !has(features.saved_state, kStateOfV3)) {
    return 2;
  }
  return has(features.leaf_7_ebx, kLeaf7OfV4) && has(features.saved_state, kStateOfV4) ? 4 : 3;
}

std::string engine_in(const std::filesystem::path& folder, unsigned level) {
  std::string built_here = folder / "minerva-engine";
  std::error_code error;
  if (std::filesystem::exists(built_here, error)) return built_here;
  for (unsigned n = level; n >= kLowestEngine; --n) {
    std::string engine = folder / fmt::format("minerva-engine-x86-64-v{}", n);
    if (std::filesystem::exists(engine, error)) return engine;
  }
  return built_here;
}

}  // namespace minerva
