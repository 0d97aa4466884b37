// Model files on disk: which files make one model, and whether a path may be used.
//
// Blocks on the file system; touches no state; any thread. Never opens a file to read it: GGUF is parsed in a child
// process only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model_spec.h"
#include "minerva/base/bytes.h"
#include "minerva/base/result.h"

namespace minerva {

// What a file's name says: "x-00001-of-00003.gguf" is one of the 3 parts of "x".
struct ModelFileName {
  std::string stem;
  unsigned parts = 0;  // 0: a model in one file
  unsigned part = 0;   // which of them this is, from 1
};
ModelFileName parse_model_file_name(std::string_view name);

bool is_gguf_file_name(std::string_view name);  // *.gguf, not hidden

// All parts of the model that the file `path` belongs to, the first one first; the folder's symlinks are resolved, and
// those of a file that is a model by itself.
// Errors: kModelNotFound when `path` is not there; kInvalidModel, naming the missing part.
Result<std::vector<std::string>> model_parts(const std::string& path);

// Fills in what the files of `spec` are like now: size, modified_ns and identity. Nothing to do for a command.
// Errors: as model_parts; `spec` stays as it was.
Result<void> describe_files(ModelSpec& spec);

// What ModelSpec::identity would be now: inode, size and time of each file, "gone" for one that is not there. One
// stat() a file, so cheap enough to be asked before a model is used. Without the device, whose number may be another
// one after a reboot although the file is the same.
std::string files_identity(const ModelSpec& spec);

// The path rule: `path`, absolute or relative to one of `folders`, as a file that may be used: regular, readable, and
// inside one of `folders` after resolving symlinks, with all its parts. Returns it as ModelSpec::path has it.
// Errors: kModelNotFound with one message for missing, forbidden and unreadable; kInvalidModel for a missing part.
Result<std::string> resolve_model_path(std::string_view path, const std::vector<std::string>& folders);

// What ModelSpec::identity would be of a spec with this file alone.
std::string file_identity(const std::string& path);

// The projector beside the model file `path` that is its own, as the files' names say; else empty.
std::string projector_of(const std::string& path);

}  // namespace minerva
