#include "read_ahead.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace minerva::engine {
namespace {

constexpr std::size_t kSlice = std::size_t{4} << 20;
constexpr std::size_t kToldAhead = 4;
// If less than one part in so many is missing, page faults bring it back as quickly.
constexpr std::uint64_t kFewMissing = 16;

}  // namespace

ReadAhead::~ReadAhead() {
    stop();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void ReadAhead::start(std::vector<MappedPart> parts, PagesInMemory found) {
    if (thread_.joinable()) {
        thread_.join();
    }
    stopped_ = false;
    if (found.missing * kFewMissing > found.cached + found.missing) {
        thread_ = std::thread([this, parts = std::move(parts)] { run(parts); });
    }
}

void ReadAhead::run(const std::vector<MappedPart> & parts) const {
    std::vector<MappedPart> slices;
    for (const MappedPart & part : parts) {
        for (std::size_t at = 0; at < part.bytes; at += kSlice) {
            slices.push_back({part.address + at, std::min(kSlice, part.bytes - at)});
        }
    }
    // The disk learns of some slices before the thread waits for them.
    std::size_t told = 0;
    for (std::size_t i = 0; i < slices.size() && !stopped_; ++i) {
        for (; told < slices.size() && told <= i + kToldAhead; ++told) {
            madvise(slices[told].address, slices[told].bytes, MADV_WILLNEED);
        }
        read_pages(slices[i]);
    }
}

}  // namespace minerva::engine
