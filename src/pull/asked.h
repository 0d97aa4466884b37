// Asked: what a person wants to pull, as it is written. "org/repo", "org/repo:Q4_K_M", "org/repo/file.gguf", the same
// behind "hf.co/" or as the hub's page has it, or an address of another host.
//
// Plain values; any thread. Nothing here asks the hub whether there is such a thing.
#pragma once

#include <string>
#include <string_view>

#include "minerva/base/result.h"
#include "pull/address.h"

namespace minerva::pull {

// What comes along that a model can do without: it is used where the model's `args` name it.
struct With {
  bool draft = false;  // a small model that guesses ahead
  bool mtp = false;    // the model's own head that does

  bool any() const { return draft || mtp; }
  bool operator==(const With&) const = default;
};

struct Asked {
  std::string repo;               // "org/repo"; empty: `url`
  std::string revision = "main";  // a branch, a tag or a commit
  std::string quant;              // "Q4_K_M"; empty: whichever fits best, or `file`
  std::string file;               // "folder/x.gguf", in the repository; of several parts any
  std::string url;                // of a file elsewhere
  With with = {};                 // not in the text

  bool operator==(const Asked&) const = default;
};

// Errors: kInvalidArgument, which says how it is written.
Result<Asked> parse_asked(std::string_view text, const Url& hub);

// Whether a path that somebody else wrote stays below the folder that it is put into, and can be a file's there.
bool is_safe_path(std::string_view path);
// "org/repo", as the hub lets people call theirs.
bool is_repo_name(std::string_view name);
// 40 hex digits.
bool is_commit(std::string_view text);
bool is_hex(std::string_view text, std::size_t digits);

}  // namespace minerva::pull
