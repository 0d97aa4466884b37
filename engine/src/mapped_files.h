// The model files that the engine has mapped: clean pages that the kernel can read again.
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
    std::string access;  // "r--s"
    std::string path;    // of a file, "[heap]", or empty
};

// "7f0a-7f0b r--s 00000000 fe:00 123 /path". Nothing if it is no such line.
std::optional<Mapping> parse_mapping(const std::string & line);

// Whether a mapping with this access ("r--s", as in /proc/PID/maps) and size is one of a model file.
bool maps_model(std::string_view access, std::size_t bytes);

struct MappedPart {
    char * address;
    std::size_t bytes;
    std::string path = {};  // of a whole file
};

std::vector<MappedPart> mapped_models();

// Gives back their pages, also those in the page cache, as far as nobody else has the file mapped.
void drop_mapped_files();
// Reads a part of any mapped file. Requires: `address` at a page.
void read_pages(char * address, std::size_t bytes);

}  // namespace minerva::engine
