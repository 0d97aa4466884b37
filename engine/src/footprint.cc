#include "footprint.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <istream>
#include <string>
#include <string_view>

#include "image.h"
#include "mapped_files.h"

namespace minerva::engine {
namespace {

std::atomic<std::uint64_t> small_conversations{0};

// A longer stretch without blocks is reserved address space only, such as the shadow memory of a sanitizer.
constexpr std::uintptr_t kLongestLook = std::uintptr_t{64} << 30;

enum class Kind { kModel, kProgram, kOtherFile, kNoFile };

bool counts(PageMap::Entry page, Kind kind) {
    switch (kind) {
        case Kind::kProgram:
            return page.held();
        case Kind::kOtherFile:
            return page.own();
        case Kind::kNoFile:
            return page.exclusive();
        case Kind::kModel:
            break;  // the mapping counts as a whole
    }
    return false;
}

// Adds up mappings, which come in the order of their addresses. So do the blocks.
class Sum {
  public:
    Sum(const std::vector<LargeBlock> & blocks, const ReadPages & read_pages)
        : blocks_(blocks), read_pages_(read_pages), entries_(1 << 12) {
        for (const LargeBlock & block : blocks) {
            result_.blocks += block.bytes;
            result_.conversations += block.use == BlockUse::kConversation ? block.bytes : 0;
        }
    }

    void add(const Mapping & mapping, Kind kind) {
        if (kind == Kind::kModel) {
            result_.weights_mapped += mapping.end - mapping.begin;
            return;
        }
        // The kernel may join the mapping of a block with its neighbours.
        std::uintptr_t at = mapping.begin;
        for (; next_ < blocks_.size(); ++next_) {
            const auto begin = reinterpret_cast<std::uintptr_t>(blocks_[next_].address);
            const std::uintptr_t end = begin + blocks_[next_].bytes;
            if (begin >= mapping.end) {
                break;
            }
            look(at, begin, kind);
            at = std::max(at, end);
            if (end > mapping.end) {
                break;  // the block goes on in the next mapping
            }
        }
        look(at, mapping.end, kind);
    }

    const Footprint & result() const { return result_; }

  private:
    void look(std::uintptr_t from, std::uintptr_t to, Kind kind) {
        if (from >= to || to - from > kLongestLook) {
            return;
        }
        for (std::uintptr_t page = from / kPage; page < to / kPage;) {
            const std::size_t wanted = std::min<std::size_t>(to / kPage - page, entries_.size());
            const std::size_t got = read_pages_(page, entries_.data(), wanted);
            if (got == 0) {
                return;  // memory of the kernel, such as [vsyscall]
            }
            const auto end = entries_.begin() + static_cast<std::ptrdiff_t>(got);
            result_.rest += kPage * static_cast<std::uint64_t>(std::count_if(
                                        entries_.begin(), end, [kind](PageMap::Entry e) { return counts(e, kind); }));
            page += got;
        }
    }

    const std::vector<LargeBlock> & blocks_;
    const ReadPages & read_pages_;
    std::vector<PageMap::Entry> entries_;
    std::size_t next_ = 0;
    Footprint result_;
};

Kind kind_of(const Mapping & mapping, std::string_view program) {
    if (maps_model(mapping.access, mapping.end - mapping.begin)) {
        return Kind::kModel;
    }
    if (mapping.path.empty() || mapping.path.front() != '/') {
        return Kind::kNoFile;
    }
    return mapping.path == program ? Kind::kProgram : Kind::kOtherFile;
}

std::string own_program() {
    char path[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
    return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : std::string();
}

}  // namespace

std::optional<Footprint> count_mappings(std::istream & maps, const std::vector<LargeBlock> & blocks,
                                        std::string_view program, const ReadPages & read_pages) {
    Sum sum(blocks, read_pages);
    bool any = false;
    for (std::string line; std::getline(maps, line);) {
        if (const auto mapping = parse_mapping(line)) {
            sum.add(*mapping, kind_of(*mapping, program));
            any = true;
        }
    }
    return any ? std::optional(sum.result()) : std::nullopt;
}

std::optional<Footprint> measure_footprint() {
    const PageMap pages;
    if (!pages.is_open()) {
        return std::nullopt;
    }
    const LargeBlocks blocks;
    std::ifstream maps("/proc/self/maps");
    std::optional<Footprint> footprint = count_mappings(
        maps, blocks.all(), own_program(), [&pages](std::uint64_t first, PageMap::Entry * entries, std::size_t count) {
            return pages.read(first, entries, count);
        });
    if (footprint) {
        footprint->conversations += small_conversations;
    }
    return footprint;
}

void note_small_conversations(std::uint64_t bytes) { small_conversations = bytes; }

}  // namespace minerva::engine
