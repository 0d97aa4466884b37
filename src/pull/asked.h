// Asked: what a person wants to pull, in the form in which it was written: "org/repo", "org/repo:Q4_K_M",
// "org/repo/file.gguf", the same behind "hf.co/" or as an address of the hub's pages, or an address of another host.
//
// Plain values; any thread. Nothing here asks the hub whether that exists.
#pragma once

#include <string>
#include <string_view>

#include "minerva/base/result.h"
#include "pull/address.h"

namespace minerva::pull {

// Files that come with a model, but that it can do without. They are used where the model's `args` name them.
struct With {
  bool draft = false;  // a small model that guesses the next tokens
  bool mtp = false;    // the model's own head that guesses them

  bool any() const { return draft || mtp; }
  bool operator==(const With&) const = default;
};

struct Asked {
  std::string repo;               // "org/repo"; empty: `url` is set
  std::string revision = "main";  // a branch, a tag or a commit
  std::string quant;              // "Q4_K_M"; empty: the one that fits best, or `file`
  std::string file;               // "folder/x.gguf" in the repository; any part of a model of several parts
  std::string url;                // the address of a file on another host
  With with = {};                 // not part of the text

  bool operator==(const Asked&) const = default;
};

// Errors: kInvalidArgument, which says how to write it.
Result<Asked> parse_asked(std::string_view text, const Url& hub);

// Whether a path that somebody else wrote stays below the folder that it is put into, and can be the path of a file
// there.
bool is_safe_path(std::string_view path);
// Whether the hub allows `name` as "org/repo".
bool is_repo_name(std::string_view name);
// Whether the text is 40 hex digits.
bool is_commit(std::string_view text);
bool is_hex(std::string_view text, std::size_t digits);

}  // namespace minerva::pull
