#include "landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace minerva::engine {
namespace {

// Rights to files, by the version that introduced them. Source: the kernel's include/uapi/linux/landlock.h.
constexpr std::uint64_t kAll1 = (std::uint64_t{1} << 13) - 1;
constexpr std::uint64_t kRefer2 = std::uint64_t{1} << 13;
constexpr std::uint64_t kTruncate3 = std::uint64_t{1} << 14;
constexpr std::uint64_t kDeviceControl5 = std::uint64_t{1} << 15;
constexpr std::uint64_t kTcp4 = 3;     // bind, connect
constexpr std::uint64_t kScopes6 = 3;  // abstract Unix sockets, signals

// The struct of the newest version: older kernels accept it if the members that they do not know are 0.
struct Ruleset {
    std::uint64_t files = 0;
    std::uint64_t network = 0;
    std::uint64_t scopes = 0;
};

class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) close(fd_);
    }
    Descriptor(const Descriptor &) = delete;
    Descriptor & operator=(const Descriptor &) = delete;
    int get() const { return fd_; }

  private:
    int fd_;
};

Ruleset everything(int version) {
    Ruleset all;
    all.files =
        kAll1 | (version >= 2 ? kRefer2 : 0) | (version >= 3 ? kTruncate3 : 0) | (version >= 5 ? kDeviceControl5 : 0);
    all.network = version >= 4 ? kTcp4 : 0;
    all.scopes = version >= 6 ? kScopes6 : 0;
    return all;
}

std::uint64_t rights(Access access, bool is_folder) {
    constexpr std::uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE;
    constexpr std::uint64_t kWrite = LANDLOCK_ACCESS_FS_WRITE_FILE;
    switch (access) {
        case Access::kRead:
            return kRead | (is_folder ? LANDLOCK_ACCESS_FS_READ_DIR : 0);
        case Access::kReadWrite:
            return kRead | kWrite | kTruncate3;
        case Access::kDevice:
            return kRead | kWrite | kTruncate3 | kDeviceControl5;
        case Access::kSockets:
            return LANDLOCK_ACCESS_FS_MAKE_SOCK;
        case Access::kFolder:
            return kRead | kWrite | kTruncate3 | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_MAKE_DIR |
                   LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
    }
    return 0;
}

std::string failure(const std::string & what) { return what + ": " + std::strerror(errno); }

std::string allow(int ruleset, const AllowedPath & allowed, std::uint64_t handled) {
    const Descriptor file(open(allowed.path.c_str(), O_PATH | O_CLOEXEC));
    struct stat status{};
    if (file.get() < 0 || fstat(file.get(), &status) != 0) return {};
    landlock_path_beneath_attr rule{};
    rule.allowed_access = rights(allowed.access, S_ISDIR(status.st_mode)) & handled;
    rule.parent_fd = file.get();
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
        return failure("cannot allow " + allowed.path);
    }
    return {};
}

}  // namespace

int landlock_version() {
    const long version = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version < 0 ? 0 : static_cast<int>(version);
}

std::string restrict_to(const std::vector<AllowedPath> & paths) {
    const Ruleset all = everything(landlock_version());
    const Descriptor ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0)));
    if (ruleset.get() < 0) return failure("landlock has no ruleset");
    for (const AllowedPath & allowed : paths) {
        if (std::string failed = allow(ruleset.get(), allowed, all.files); !failed.empty()) return failed;
    }
    if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) return failure("landlock does not apply");
    return {};
}

}  // namespace minerva::engine
