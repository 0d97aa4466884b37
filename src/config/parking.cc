#include "config/parking.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "io/descriptor.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;

Failure unusable(const std::string& folder, std::string_view why) {
  return fail(ErrorCode::kIo,
              fmt::format("models cannot be parked in {}: {}. Name a folder on a disk with park.folder, "
                          "or say --no-park.",
                          folder, why),
              "park.folder");
}

// The free space on the file system of `folder`, or of its nearest parent that exists.
Bytes free_disk(fs::path folder) {
  struct statvfs status{};
  while (::statvfs(folder.c_str(), &status) != 0) {
    if (!folder.has_relative_path()) return Bytes(0);
    folder = folder.parent_path();
  }
  return Bytes(std::uint64_t{status.f_bavail} * status.f_frsize);
}

}  // namespace

ParkingLimits parking_limits(const Config& config, Bytes memory_budget, Bytes images) {
  ParkingLimits limits;
  limits.enabled = config.park;
  limits.memory = share_of(config.park_memory, memory_budget);
  limits.images = share_of(config.park_images, free_disk(config.park_folder) + images);
  return limits;
}

Result<void> make_image_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(fs::path(folder).parent_path(), error);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return unusable(folder, fmt::format("it cannot be made ({})", std::strerror(errno)));
  }
  return try_image_folder(folder);
}

// Does what each engine will do (engine/src/image.cc), so that an error is reported once, and not by each engine.
Result<void> try_image_folder(const std::string& folder) {
  const io::Descriptor fd(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd) return unusable(folder, fmt::format("no file can be made there ({})", std::strerror(errno)));
  constexpr off_t kPage = 4096;
  struct statfs system{};
  const bool in_memory = ::fstatfs(*fd, &system) == 0 && (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC);
  const bool gives_back = ::fallocate(*fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kPage) == 0;
  if (in_memory) return unusable(folder, "it is in memory (tmpfs), so that parking would free nothing");
  if (!gives_back) return unusable(folder, "its file system cannot give back parts of a file");
  return {};
}

}  // namespace minerva
