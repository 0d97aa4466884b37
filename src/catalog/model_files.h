// Model files on disk: which files make one model, and whether a path may be used.
//
// Blocks on the file system; touches no state; any thread. Never opens a file to read it: only a child process parses
// GGUF.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model_spec.h"
#include "minerva/base/bytes.h"
#include "minerva/base/result.h"

namespace minerva {

// The facts in a file's name: "x-00001-of-00003.gguf" is one of the 3 parts of "x".
struct ModelFileName {
  std::string stem;
  unsigned parts = 0;  // 0: the model has one file
  unsigned part = 0;   // which of the parts this is, from 1
};
ModelFileName parse_model_file_name(std::string_view name);

bool is_gguf_file_name(std::string_view name);  // *.gguf, not hidden

// All parts of the model that the file `path` belongs to, the first part first. Symlinks of the folder are resolved,
// and also those of a file that is a model by itself.
// Errors: kModelNotFound when `path` does not exist; kInvalidModel with the missing part.
Result<std::vector<std::string>> model_parts(const std::string& path);

// Sets size, modified_ns and identity of `spec` to what its files are like now. No effect for a command.
// Errors: as model_parts(); `spec` does not change then.
Result<void> describe_files(ModelSpec& spec);

// The value that ModelSpec::identity would have now: inode, size and time of each file; "gone" for a file that does not
// exist. It needs one stat() per file, which is cheap enough before each use of a model. The device is left out: its
// number may change at a reboot although the file is the same.
std::string files_identity(const ModelSpec& spec);

// The path rule: finds a file that may be used by `path`, which is absolute or relative to one of `folders`. The file
// must be regular, readable, and inside one of `folders` after symlinks are resolved, with all its parts. Returns the
// path in the form of ModelSpec::path.
// Errors: kModelNotFound, with one message for missing, forbidden and unreadable files; kInvalidModel for a missing
// part.
Result<std::string> resolve_model_path(std::string_view path, const std::vector<std::string>& folders);

// The value that ModelSpec::identity would have for a spec with only this file.
std::string file_identity(const std::string& path);

// The projector beside the model file `path` that belongs to it, by the files' names; empty if there is none.
std::string projector_of(const std::string& path);

}  // namespace minerva
