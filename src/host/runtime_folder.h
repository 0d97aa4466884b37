// RuntimeFolder: a private folder with a short path for the engines' sockets (a socket's path has 107 bytes).
//
// Ownership: removed, with the sockets in it, when the object goes. A process that is killed leaves its folder; the
// next make() removes it: each folder has a locked file in it, and a lock ends with its process. A folder is only taken
// for one of these by its owner, its mode (0700), its name, and the first line of that file; and what is neither a
// socket of an engine nor that file stays, and its folder with it. Threading: any one thread.
#pragma once

#include <string>

#include "io/descriptor.h"
#include "minerva/base/result.h"

namespace minerva {

class RuntimeFolder {
 public:
  // In $XDG_RUNTIME_DIR if that can be written to, else in /tmp. Errors: kIo.
  static Result<RuntimeFolder> make();
  RuntimeFolder(RuntimeFolder&& other) noexcept;
  RuntimeFolder& operator=(RuntimeFolder&&) = delete;
  ~RuntimeFolder();

  const std::string& path() const { return path_; }

 private:
  explicit RuntimeFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;     // empty after a move
  io::Descriptor lock_;  // of the locked file
};

}  // namespace minerva
