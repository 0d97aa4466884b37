// RuntimeFolder: a private folder with a short path for the engines' sockets (a socket's path has 107 bytes).
//
// Ownership: removed with everything in it when the object goes. Threading: any one thread.
#pragma once

#include <string>

#include "minerva/base/result.h"

namespace minerva {

class RuntimeFolder {
 public:
  // In $XDG_RUNTIME_DIR if that can be written to, else in /tmp. Errors: kIo.
  static Result<RuntimeFolder> make();
  RuntimeFolder(RuntimeFolder&& other) noexcept : path_(std::move(other.path_)) { other.path_.clear(); }
  RuntimeFolder& operator=(RuntimeFolder&&) = delete;
  ~RuntimeFolder();

  const std::string& path() const { return path_; }

 private:
  explicit RuntimeFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;  // empty after a move
};

}  // namespace minerva
