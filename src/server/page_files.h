// The page's files, as tools/embed_page.py builds them into the program.
//
// Plain constants; any thread.
#pragma once

#include <span>
#include <string_view>

namespace minerva {

struct PageFile {
  std::string_view name;  // "index.html"
  std::string_view etag;  // with its quotes
  std::string_view gzip;  // its content, compressed
};

// Sorted by name.
std::span<const PageFile> page_files();

}  // namespace minerva
