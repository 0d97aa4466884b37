// RuntimeFolder: a private folder for the engines' sockets. Its path is short, since a socket's path has at most 107
// bytes.
//
// Ownership: the folder and the sockets in it are removed when the object is destroyed. A process that is killed leaves
// its folder behind, and the next make() removes it: each folder has a locked file in it, and a lock ends with its
// process. A folder is removed only if its owner, its mode (0700), its name and the first line of that file are right.
// Files in it that are neither an engine's socket nor the locked file stay, and then the folder stays too.
// Threading: any one thread.
#pragma once

#include <string>

#include "io/descriptor.h"
#include "minerva/base/result.h"

namespace minerva {

class RuntimeFolder {
 public:
  // Makes the folder in $XDG_RUNTIME_DIR if that is writable, else in /tmp. Errors: kIo.
  static Result<RuntimeFolder> make();
  RuntimeFolder(RuntimeFolder&& other) noexcept;
  RuntimeFolder& operator=(RuntimeFolder&&) = delete;
  ~RuntimeFolder();

  const std::string& path() const { return path_; }

 private:
  explicit RuntimeFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;     // empty after a move
  io::Descriptor lock_;  // holds the lock
};

}  // namespace minerva
