// Removal: a model's files leave the disk: those that are its alone, and nothing outside of the models folders, of
// which the Hugging Face cache is one.
//
// Threading: any thread; both functions block on the file system. It knows of no engine: who calls it has the model
// unloaded before. Of the hub's cache no entry of the shared store goes, no folder and no ref: the hub's own tool
// collects those.
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
  // A directory entry, and what it is now: another one of that name is left.
  struct Victim {
    std::filesystem::path path;  // its folder's links resolved
    dev_t device = 0;
    ino_t inode = 0;
  };
  std::vector<Victim> victims;               // in the order in which they go
  std::vector<std::filesystem::path> locks;  // of the hub's blobs among them: another program may be at one
  Bytes frees;                               // of the disk
  std::vector<std::string> stays;            // in sentences: what does, and why
};

// `others`: all other models. `folders`: the models folders.
// Errors: kConflict: it has no file to remove, or another model needs one; kForbidden: it lies outside of `folders`;
// kIo: its folder cannot be read.
Result<Removal> plan_removal(const ModelSpec& spec, const std::vector<ModelSpec>& others,
                             const std::vector<std::string>& folders);

// The model's own files go first: when only some are gone, what is left is no model to the catalog.
// Errors: kConflict: another program fetches one of them; kIo: what could not be removed, and why.
Result<void> carry_out(const Removal& removal);

// A JSON object on one line. `removed`: it was carried out.
std::string removal_json(const ModelId& model, const Removal& removal, bool removed);

}  // namespace minerva::pull
