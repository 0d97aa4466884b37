#include "host/runtime_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace minerva {

Result<RuntimeFolder> RuntimeFolder::make() {
  const char* base = std::getenv("XDG_RUNTIME_DIR");
  if (base == nullptr || ::access(base, W_OK) != 0) base = "/tmp";
  std::string path = std::string(base) + "/minerva-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) {
    return fail(ErrorCode::kIo, fmt::format("cannot make a folder for sockets in {}: {}.", base, std::strerror(errno)));
  }
  return RuntimeFolder(std::move(path));
}

RuntimeFolder::~RuntimeFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace minerva
