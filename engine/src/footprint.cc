#include "footprint.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <istream>
#include <string>
#include <string_view>

#include "mapped_files.h"

namespace minerva::engine {
namespace {

std::atomic<std::uint64_t> small_conversations{0};

enum class Kind { kModel, kProgram, kOtherFile, kNoFile };

struct Mapping {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    Kind kind = Kind::kNoFile;
    std::uint64_t counts = 0;  // of its bytes, in memory or swapped out; not of a model
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
        if (mapping.kind == Kind::kModel) {
            result_.weights_mapped += bytes;
            return;
        }
        // The kernel may join a block with its neighbours.
        result_.rest += std::min(mapping.counts, bytes - in_blocks(mapping));
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
bool parse_head(const std::string & line, std::string_view program, Mapping & mapping) {
    char access[5] = {};
    int path_at = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %n", &mapping.begin, &mapping.end, access,
                    &path_at) < 3 ||
        mapping.end <= mapping.begin) {
        return false;
    }
    const std::string_view path =
        path_at == 0 ? std::string_view() : std::string_view(line).substr(static_cast<std::size_t>(path_at));
    mapping.kind = maps_model(access, mapping.end - mapping.begin) ? Kind::kModel
                   : path.empty() || path.front() != '/'           ? Kind::kNoFile
                   : path == program                               ? Kind::kProgram
                                                                   : Kind::kOtherFile;
    return true;
}

// Of a line "Name:   N kB", as far as it counts.
std::uint64_t counts(const std::string & line, Kind kind) {
    static const std::array<std::vector<const char *>, 4> kNames = {{
        {},
        {"Rss:", "Swap:"},
        {"Private_Dirty:", "Swap:"},
        {"Private_Clean:", "Private_Dirty:", "Swap:"},
    }};
    std::uint64_t kib = 0;
    for (const char * const name : kNames[static_cast<std::size_t>(kind)]) {
        if (line.rfind(name, 0) == 0 &&
            std::sscanf(line.c_str() + std::char_traits<char>::length(name), "%" SCNu64, &kib) == 1) {
            return kib << 10;
        }
    }
    return 0;
}

std::string own_program() {
    char path[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
    return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : std::string();
}

}  // namespace

std::optional<Footprint> count_mappings(std::istream & smaps, const std::vector<LargeBlock> & blocks,
                                        std::string_view program) {
    Sum sum(blocks);
    std::optional<Mapping> mapping;
    for (std::string line; std::getline(smaps, line);) {
        // Names of fields begin with a capital letter, addresses never.
        if (!line.empty() && std::isupper(static_cast<unsigned char>(line[0])) != 0) {
            if (mapping) {
                mapping->counts += counts(line, mapping->kind);
            }
            continue;
        }
        Mapping next;
        if (!parse_head(line, program, next)) {
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
    std::optional<Footprint> footprint = count_mappings(smaps, blocks.all(), own_program());
    if (footprint) {
        footprint->conversations += small_conversations;
    }
    return footprint;
}

void note_small_conversations(std::uint64_t bytes) { small_conversations = bytes; }

}  // namespace minerva::engine
