#include "mapped_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "image.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

namespace minerva::engine {
namespace {

// A smaller mapping is no model: vocabularies and templates are no files of their own, and libraries are mapped
// privately.
constexpr std::size_t kSmallest = std::size_t{1} << 20;

// The page cache may keep so many bytes as one unit, and then drops all of them or none.
constexpr std::size_t kStep = std::size_t{2} << 20;

}  // namespace

std::optional<Mapping> parse_mapping(const std::string & line) {
    Mapping mapping{};
    char access[5] = {};
    int path_at = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s %" SCNx64 " %*s %" SCNu64 " %n", &mapping.begin,
                    &mapping.end, access, &mapping.offset, &mapping.inode, &path_at) < 5 ||
        mapping.end <= mapping.begin) {
        return std::nullopt;
    }
    mapping.access = access;
    if (path_at != 0) {
        mapping.path = line.substr(static_cast<std::size_t>(path_at));
    }
    return mapping;
}

bool maps_model(std::string_view access, std::size_t bytes) {
    // llama.cpp maps a model shared and read-only.
    return access == "r--s" && bytes >= kSmallest;
}

std::vector<MappedModel> mapped_models() {
    std::vector<MappedModel> result;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        if (const auto mapping = parse_mapping(line);
            mapping && !mapping->path.empty() && maps_model(mapping->access, mapping->end - mapping->begin)) {
            result.push_back(
                {{reinterpret_cast<char *>(mapping->begin), mapping->end - mapping->begin, mapping->offset},
                 mapping->path});
        }
    }
    return result;
}

PagesInMemory look_at(const std::vector<MappedPart> & parts) {
    PagesInMemory found;
    for (const MappedPart & part : parts) {
        for (std::size_t at = 0; at < part.bytes; at += kStep) {
            unsigned char there = 1;
            const bool missing = mincore(part.address + at, 1, &there) == 0 && (there & 1) == 0;
            (missing ? found.missing : found.cached) += std::min(kStep, part.bytes - at);
        }
    }
    return found;
}

std::uint64_t drop_tail(const MappedPart & part, int file, std::uint64_t bytes) {
    std::vector<unsigned char> there(kStep / kPage);
    std::uint64_t found = 0;
    std::size_t from = part.bytes;
    while (from > 0 && found < bytes) {
        const std::size_t step = std::min<std::size_t>(from, (part.offset + from - 1) % kStep + 1);
        from -= step;
        if (mincore(part.address + from, step, there.data()) == 0) {
            const auto end = there.begin() + static_cast<std::ptrdiff_t>((step + kPage - 1) / kPage);
            found += kPage * static_cast<std::uint64_t>(
                                 std::count_if(there.begin(), end, [](unsigned char page) { return (page & 1) != 0; }));
        }
    }
    // Unmaps the pages first, since the page cache keeps what is mapped.
    madvise(part.address + from, part.bytes - from, MADV_DONTNEED);
    posix_fadvise(file, static_cast<off_t>(part.offset + from), static_cast<off_t>(part.bytes - from),
                  POSIX_FADV_DONTNEED);
    return found;
}

void read_pages(const MappedPart & part) { madvise(part.address, part.bytes, MADV_POPULATE_READ); }

}  // namespace minerva::engine
