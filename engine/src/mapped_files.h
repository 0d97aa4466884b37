// Files that the engine has mapped, its model's above all: clean pages that the kernel can drop and read again.
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
    std::string path;      // of a file, "[heap]", or empty
};

// "7f0a-7f0b r--s 00000000 fe:00 123 /path". Nothing if it is no such line.
std::optional<Mapping> parse_mapping(const std::string & line);

// Whether a mapping with this access ("r--s", as in /proc/PID/maps) and size is one of a model file.
bool maps_model(std::string_view access, std::size_t bytes);

// A part of a file, mapped. At a page, in the file too.
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

// How many bytes of them are in memory, and how many are not, by a look at one page of each 2 MiB. All are where the
// kernel does not tell (files of other users).
struct PagesInMemory {
    std::uint64_t cached = 0;
    std::uint64_t missing = 0;
};
PagesInMemory look_at(const std::vector<MappedPart> & parts);

// Gives back the last pages of `part`, with the page cache as far as it is clean and nobody else has it mapped, until
// `bytes` of them were in memory, or a little more. Returns how many were.
std::uint64_t drop_tail(const MappedPart & part, int file, std::uint64_t bytes);
void read_pages(const MappedPart & part);

}  // namespace minerva::engine
