#include "read_ahead.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include "image.h"

namespace minerva::engine {
namespace {

constexpr std::size_t kSlice = std::size_t{4} << 20;
constexpr std::size_t kToldAhead = 4;
constexpr std::size_t kLookEvery = std::size_t{1} << 20;
// Fewer than one page in so many that was looked at: page faults bring them back as well.
constexpr std::size_t kFewMissing = 16;

bool many_missing(const std::vector<MappedPart> & parts) {
    std::size_t looks = 0;
    std::size_t missing = 0;
    for (const MappedPart & part : parts) {
        for (std::size_t at = 0; at < part.bytes; at += kLookEvery, ++looks) {
            unsigned char there = 1;
            missing += mincore(part.address + at, kPage, &there) == 0 && (there & 1) == 0 ? 1 : 0;
        }
    }
    return missing * kFewMissing > looks;
}

// Of a model whose weights are copies the file is read no more, but for a row of a large table now and then. By default
// the kernel reads megabytes around each.
void add_models(std::vector<MappedPart> & parts, std::size_t weights_bytes) {
    const std::vector<MappedPart> models = mapped_models();
    const std::size_t bytes = std::accumulate(models.begin(), models.end(), std::size_t{0},
                                              [](std::size_t sum, const MappedPart & m) { return sum + m.bytes; });
    if (weights_bytes < bytes / 4 * 3) {
        parts.insert(parts.begin(), models.begin(), models.end());
        return;
    }
    for (const MappedPart & model : models) {
        madvise(model.address, model.bytes, MADV_RANDOM);
    }
}

}  // namespace

ReadAhead::~ReadAhead() {
    stop();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void ReadAhead::start(std::vector<MappedPart> parts, std::size_t weights_bytes) {
    if (thread_.joinable()) {
        thread_.join();
    }
    stopped_ = false;
    thread_ = std::thread([this, parts = std::move(parts), weights_bytes]() mutable {
        add_models(parts, weights_bytes);
        if (many_missing(parts)) {
            run(parts);
        }
    });
}

void ReadAhead::run(const std::vector<MappedPart> & parts) const {
    std::vector<MappedPart> slices;
    for (const MappedPart & part : parts) {
        for (std::size_t at = 0; at < part.bytes; at += kSlice) {
            slices.push_back({part.address + at, std::min(kSlice, part.bytes - at)});
        }
    }
    // The disk is told of some slices before they are waited for.
    std::size_t told = 0;
    for (std::size_t i = 0; i < slices.size() && !stopped_; ++i) {
        for (; told < slices.size() && told <= i + kToldAhead; ++told) {
            madvise(slices[told].address, slices[told].bytes, MADV_WILLNEED);
        }
        read_pages(slices[i].address, slices[i].bytes);
    }
}

}  // namespace minerva::engine
