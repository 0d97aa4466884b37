// Files that the engine has mapped, above all its model's: clean pages that the kernel can drop and read again.
//
// Threading: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace minerva::engine {

// A line of /proc/PID/maps. Source: Linux, Documentation/filesystems/proc.rst.
struct Mapping {
    std::uintptr_t begin;
    std::uintptr_t end;
    std::string access;    // "r--s"
    std::uint64_t offset;  // in the file
    std::uint64_t inode;   // of the file; 0: there is none
    std::string path;      // of the file; or "[heap]", or empty
};

// Parses "7f0a-7f0b r--s 00000000 fe:00 123 /path". Nothing if it is no such line.
std::optional<Mapping> parse_mapping(const std::string & line);

// Whether a mapping with this access ("r--s", as in /proc/PID/maps) and this size is one of a model file.
bool maps_model(std::string_view access, std::size_t bytes);

// A mapped part of a file. Begins at a page, in memory and in the file.
struct MappedPart {
    char * address;
    std::size_t bytes;
    std::uint64_t offset = 0;  // in the file
};
struct MappedModel {
    MappedPart part;
    std::string path;
};

std::vector<MappedModel> mapped_models();

// How many bytes of the parts are in memory, and how many are not. It looks at one page of each 2 MiB. If the kernel
// does not tell (files of other users), all count as in memory.
struct PagesInMemory {
    std::uint64_t cached = 0;
    std::uint64_t missing = 0;
};
PagesInMemory look_at(const std::vector<MappedPart> & parts);

// Gives back the last pages of `part` until `bytes` of them were in memory, or a little more. Also drops them from the
// page cache if they are clean and nobody else has them mapped. Returns how many bytes were in memory.
std::uint64_t drop_tail(const MappedPart & part, int file, std::uint64_t bytes);
void read_pages(const MappedPart & part);

}  // namespace minerva::engine
