// The model files that the engine has mapped: clean pages that the kernel can read again.
//
// Threading: any.
#pragma once

#include <cstddef>
#include <string_view>

namespace minerva::engine {

// Whether a mapping with this access ("r--s", as in /proc/PID/maps) and size is one of a model file.
bool maps_model(std::string_view access, std::size_t bytes);

// Gives back their pages, also those in the page cache, as far as nobody else has the file mapped.
void drop_mapped_files();
// Reads their pages ahead.
void read_mapped_files();
// The same for any mapping of a file. Requires: `address` at a page.
void read_pages(char * address, std::size_t bytes);

}  // namespace minerva::engine
