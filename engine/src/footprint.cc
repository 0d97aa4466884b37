#include "footprint.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <istream>
#include <string>

#include "mapped_files.h"

namespace minerva::engine {
namespace {

std::atomic<std::uint64_t> small_conversations{0};

struct Mapping {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    bool of_model = false;
    std::uint64_t own = 0;  // bytes that no other process has mapped, in memory or swapped out
};

// Adds mappings up; they come by address, as the blocks do.
class Sum {
  public:
    explicit Sum(const std::vector<LargeBlock> & blocks) : blocks_(blocks) {
        for (const LargeBlock & block : blocks) {
            result_.blocks += block.bytes;
            result_.conversations += block.use == BlockUse::kConversation ? block.bytes : 0;
        }
    }

    void add(const Mapping & mapping) {
        const std::uint64_t bytes = mapping.end - mapping.begin;
        if (mapping.of_model) {
            result_.weights_mapped += bytes;
            return;
        }
        // The kernel may join a block with its neighbours.
        result_.rest += std::min(mapping.own, bytes - in_blocks(mapping));
    }

    const Footprint & result() const { return result_; }

  private:
    std::uint64_t in_blocks(const Mapping & mapping) {
        std::uint64_t sum = 0;
        for (; next_ < blocks_.size(); ++next_) {
            const auto begin = reinterpret_cast<std::uintptr_t>(blocks_[next_].address);
            const std::uintptr_t end = begin + blocks_[next_].bytes;
            if (begin >= mapping.end) {
                break;
            }
            const std::uintptr_t from = std::max(begin, mapping.begin);
            const std::uintptr_t to = std::min(end, mapping.end);
            sum += to > from ? to - from : 0;
            if (end > mapping.end) {
                break;  // it goes on in the next mapping
            }
        }
        return sum;
    }

    const std::vector<LargeBlock> & blocks_;
    std::size_t next_ = 0;
    Footprint result_;
};

// "7f0a-7f0b r--s 00000000 fe:00 123 /path": false if it is no such line.
bool parse_head(const std::string & line, Mapping & mapping) {
    char access[5] = {};
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s", &mapping.begin, &mapping.end, access) != 3 ||
        mapping.end <= mapping.begin) {
        return false;
    }
    mapping.of_model = maps_model(access, mapping.end - mapping.begin);
    return true;
}

// Of a line "Name:   N kB", if it is one of those that count.
std::uint64_t own_bytes(const std::string & line) {
    std::uint64_t kib = 0;
    for (const char * const name : {"Private_Clean:", "Private_Dirty:", "Swap:"}) {
        if (line.rfind(name, 0) == 0 &&
            std::sscanf(line.c_str() + std::char_traits<char>::length(name), "%" SCNu64, &kib) == 1) {
            return kib << 10;
        }
    }
    return 0;
}

}  // namespace

std::optional<Footprint> count_mappings(std::istream & smaps, const std::vector<LargeBlock> & blocks) {
    Sum sum(blocks);
    std::optional<Mapping> mapping;
    for (std::string line; std::getline(smaps, line);) {
        // Names of fields begin with a capital letter, addresses never.
        if (!line.empty() && std::isupper(static_cast<unsigned char>(line[0])) != 0) {
            if (mapping) {
                mapping->own += own_bytes(line);
            }
            continue;
        }
        Mapping next;
        if (!parse_head(line, next)) {
            continue;
        }
        if (mapping) {
            sum.add(*mapping);
        }
        mapping = next;
    }
    if (!mapping) {
        return std::nullopt;
    }
    sum.add(*mapping);
    return sum.result();
}

std::optional<Footprint> measure_footprint() {
    const LargeBlocks blocks;
    std::ifstream smaps("/proc/self/smaps");
    std::optional<Footprint> footprint = count_mappings(smaps, blocks.all());
    if (footprint) {
        footprint->conversations += small_conversations;
    }
    return footprint;
}

void note_small_conversations(std::uint64_t bytes) { small_conversations = bytes; }

}  // namespace minerva::engine
