#include "mapped_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

namespace minerva::engine {
namespace {

// Vocabularies and templates are no files of their own; libraries are mapped privately.
constexpr std::size_t kSmallest = std::size_t{1} << 20;

}  // namespace

std::optional<Mapping> parse_mapping(const std::string & line) {
    Mapping mapping{};
    char access[5] = {};
    int path_at = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %n", &mapping.begin, &mapping.end, access,
                    &path_at) < 3 ||
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
    // Shared and read-only: how llama.cpp maps a model.
    return access == "r--s" && bytes >= kSmallest;
}

std::vector<MappedPart> mapped_models() {
    std::vector<MappedPart> result;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        if (const auto mapping = parse_mapping(line);
            mapping && !mapping->path.empty() && maps_model(mapping->access, mapping->end - mapping->begin)) {
            result.push_back({reinterpret_cast<char *>(mapping->begin), mapping->end - mapping->begin, mapping->path});
        }
    }
    return result;
}

void drop_mapped_files() {
    for (const MappedPart & mapping : mapped_models()) {
        madvise(mapping.address, mapping.bytes, MADV_DONTNEED);
        const int fd = open(mapping.path.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
            close(fd);
        }
    }
}

void read_pages(char * address, std::size_t bytes) { madvise(address, bytes, MADV_POPULATE_READ); }

}  // namespace minerva::engine
