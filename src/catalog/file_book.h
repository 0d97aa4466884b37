// FileBook: what is remembered about model files. So a restart or a new file renames no model, and the kind of a file
// is known before the file is inspected again.
//
// Plain values. It is only a hint: without it models with the same stem may swap their names, and files are inspected
// anew.
#pragma once

#include <map>
#include <string>

#include "engine/model_spec.h"
#include "io/state_file.h"

namespace minerva {

struct FileNote {
  ModelId id = {};  // the id of the model in it; empty: it had none
  FileKind kind = FileKind::kModel;
  std::string identity = {};   // of the file when its kind was found; empty: nobody has inspected it
  bool stem_is_alias = false;  // the stem of its name is an alias of its model, and stays so when other files come

  bool operator==(const FileNote&) const = default;
};

// By place: the path at which a file was found; in the Hugging Face cache without the snapshot, which changes.
using FileBook = std::map<std::string, FileNote, std::less<>>;

inline constexpr io::StateFile::Format kFileBookFormat{"names", 1, "models of one name may swap their names"};
// How many notes about files that are gone are kept, beside the notes about all files that exist.
inline constexpr std::size_t kMostNotesOfGoneFiles = 2000;

// Reads the book. Empty if there is none, or if it cannot be used, which the log says. Blocks.
FileBook read_file_book(const io::StateFile& file);
std::string file_book_text(const FileBook& book);

}  // namespace minerva
