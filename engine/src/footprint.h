// The footprint of this process: what it holds in memory, and what it may come to hold with what it has allocated.
//
// Purpose: a mapping counts by its kind, not by the pages that happen to be resident.
//   - A mapped model file counts as a whole, since the model reads all of it.
//   - A large block (large_blocks.h) counts as a whole, since conversations fill a KV cache or scratch only as they
//     grow.
//   - Of the program's code the resident pages count, whoever else runs the program: the figure must not depend on
//     others.
//   - Of other files (libraries) the pages count that this process changed.
//   - Of everything else the pages count that no other process has mapped.
// Only the pages of the last three are looked at, since a park may be waiting. /proc/self/smaps has the same numbers,
// but for it the kernel walks all of an engine's memory (20 to 60 ms for 3.5 GiB).
// Conversations outside of slots (llama.cpp's host prompt cache, context checkpoints) come and go. Their share is a
// figure of its own, so that the caller can add what may still come.
// Threading: any. During the look other threads wait before they make or free a large block, for a millisecond or two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string_view>
#include <vector>

#include "large_blocks.h"
#include "page_map.h"

namespace minerva::engine {

// In bytes.
struct Footprint {
    std::uint64_t weights_mapped = 0;
    std::uint64_t blocks = 0;
    std::uint64_t rest = 0;           // heap, stacks, code
    std::uint64_t conversations = 0;  // the part of `blocks` and `rest` that is outside of slots

    std::uint64_t total() const { return weights_mapped + blocks + rest; }
    // The total if conversations come to `bound`, whatever they hold now.
    std::uint64_t total_with_conversations(std::uint64_t bound) const {
        return total() + (bound > conversations ? bound - conversations : 0);
    }
};

// Nothing if the kernel does not say enough.
std::optional<Footprint> measure_footprint();

// Notes how many bytes of conversations outside of slots are too small for blocks of their own.
void note_small_conversations(std::uint64_t bytes);

// PageMap::read(), or its replacement in a test.
using ReadPages = std::function<std::size_t(std::uint64_t first, PageMap::Entry * entries, std::size_t count)>;

// `maps`: the text of /proc/PID/maps; `blocks`: in the order of addresses; `program`: the path of the process's own
// program. Nothing if the program has no mapping.
std::optional<Footprint> count_mappings(std::istream & maps, const std::vector<LargeBlock> & blocks,
                                        std::string_view program, const ReadPages & read_pages);

}  // namespace minerva::engine
