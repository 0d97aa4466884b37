// Removal: removes a model's files from the disk. It removes only files that no other model has, and nothing outside of
// the models folders. The Hugging Face cache is one of these folders.
//
// Threading: any thread; both functions block on the file system. It knows no engines: the caller unloads the model
// before. In the hub's cache it removes no entry of the shared store, no folder and no ref: the hub's own tool collects
// those.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/model_spec.h"
#include "minerva/base/bytes.h"
#include "minerva/base/result.h"

namespace minerva::pull {

struct Removal {
  // A directory entry, and the file that it leads to now. If another file has that name later, it stays.
  struct Victim {
    std::filesystem::path path;  // with the links of its folder resolved
    dev_t device = 0;
    ino_t inode = 0;
  };
  std::vector<Victim> victims;               // in the order in which they are removed
  std::vector<std::filesystem::path> locks;  // the locks of the blobs among them: another program may be fetching one
  Bytes frees;                               // how much of the disk
  std::vector<std::string> stays;            // sentences: what stays, and why
};

// `others`: all other models. `folders`: the models folders.
// Errors: kConflict: the model has no file to remove, or another model needs one; kForbidden: a file lies outside of
// `folders`; kIo: a folder cannot be read.
Result<Removal> plan_removal(const ModelSpec& spec, const std::vector<ModelSpec>& others,
                             const std::vector<std::string>& folders);

// The model's own files go first: if only some are removed, the catalog takes the rest for no model.
// Errors: kConflict: another program fetches one of the files; kIo: what could not be removed, and why.
Result<void> carry_out(const Removal& removal);

// A JSON object on one line. `removed`: carry_out() has succeeded.
std::string removal_json(const ModelId& model, const Removal& removal, bool removed);

}  // namespace minerva::pull
