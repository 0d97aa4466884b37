// What this process holds in memory, and will hold at most with what it has allocated: its footprint.
//
// Purpose: counted by what a mapping is, not by what happens to be resident. A model file that is mapped counts as a
// whole, since all of it is read when the model runs; so does a large block (large_blocks.h), of which a KV cache or
// scratch is touched only as conversations grow. Of the program's code counts what is resident, whoever else runs it:
// the figure must not depend on who does. Of other files (libraries) counts what this process changed, and of the rest
// what nobody else has mapped. Only the pages of these three are looked at, since a park may be waiting: the text of
// /proc/self/smaps would say it as well, but the kernel walks all of an engine's memory for it (20 to 60 ms for 3.5
// GiB). Conversations outside of slots (llama.cpp's host prompt cache, context checkpoints) come and go: what of them
// is held is told, so that the caller can add what may still come. Threading: any. While it looks, other threads wait
// before they make or free a large block: a millisecond or two.
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

// Bytes.
struct Footprint {
    std::uint64_t weights_mapped = 0;
    std::uint64_t blocks = 0;
    std::uint64_t rest = 0;           // heap, stacks, code
    std::uint64_t conversations = 0;  // of `blocks` and `rest`: outside of slots

    std::uint64_t total() const { return weights_mapped + blocks + rest; }
    // With conversations that come to as much as `bound`, whatever they hold at present.
    std::uint64_t total_with_conversations(std::uint64_t bound) const {
        return total() + (bound > conversations ? bound - conversations : 0);
    }
};

// Nothing if the kernel does not tell.
std::optional<Footprint> measure_footprint();

// Says how much conversations outside of slots hold that are too small for blocks of their own.
void note_small_conversations(std::uint64_t bytes);

// PageMap::read(), or what a test has in its place.
using ReadPages = std::function<std::size_t(std::uint64_t first, PageMap::Entry * entries, std::size_t count)>;

// `maps`: the text of /proc/PID/maps; `blocks`: by address; `program`: the path of the process's own program. Nothing
// if it has no mapping.
std::optional<Footprint> count_mappings(std::istream & maps, const std::vector<LargeBlock> & blocks,
                                        std::string_view program, const ReadPages & read_pages);

}  // namespace minerva::engine
