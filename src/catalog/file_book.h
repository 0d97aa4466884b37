// FileBook: what is remembered of model files, so that a restart or a new file renames no model, and what a file turned
// out to be is known before it is looked into again.
//
// Plain values. It is a hint: without it models of one name may swap their names, and files are inspected anew.
#pragma once

#include <map>
#include <string>

#include "engine/model_spec.h"
#include "io/state_file.h"

namespace minerva {

struct FileNote {
  ModelId id = {};  // of the model in it; empty: it has had none
  FileKind kind = FileKind::kModel;
  std::string identity = {};  // of the file that was found to be of that kind; empty: nobody has looked into it

  bool operator==(const FileNote&) const = default;
};

// By place: the path a file was found by; in the Hugging Face cache without the snapshot, which changes.
using FileBook = std::map<std::string, FileNote, std::less<>>;

inline constexpr io::StateFile::Format kFileBookFormat{"names", 1, "models of one name may swap their names"};
// Of files that are gone, so many notes are kept beside those of all that are there.
inline constexpr std::size_t kMostNotesOfGoneFiles = 2000;

// What is in `file`; an empty one if there is none, or it is of no use, which is said in the log. Blocks.
FileBook read_file_book(const io::StateFile& file);
std::string file_book_text(const FileBook& book);

}  // namespace minerva
