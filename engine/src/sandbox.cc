#include "sandbox.h"

#include <glob.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "landlock.h"
#include "protocol/child.h"
#include "syscall_filter.h"

extern "C" {
// The linker's names for the function that it wraps.
int __real_listen(int socket, int backlog);
int __wrap_listen(int socket, int backlog);
}

namespace minerva::engine {
namespace {

enum class Mode { kOff, kAuto, kRequired };

constexpr rlim_t kGiB = rlim_t{1} << 30;

Mode mode = Mode::kOff;
std::atomic<bool> sockets_end_with_listen{false};

// Reports to stderr, where the daemon reads it. What the sandbox lacks is no secret.
void report(const std::string & what) {
    const bool required = mode == Mode::kRequired;
    std::fprintf(stderr, "%s%s%s\n", kSandboxLine, what.c_str(),
                 required ? "; the sandbox is required (sandbox = \"required\"), so this engine does not run" : "");
    if (required) {
        _exit(protocol::kExitWithoutSandbox);
    }
}

void limit(__rlimit_resource resource, rlim_t most) {
    rlimit now{};
    if (getrlimit(resource, &now) != 0) return;
    const rlim_t value = std::min(most, now.rlim_max);  // RLIM_INFINITY is the largest
    const rlimit wanted = {value, value};
    setrlimit(resource, &wanted);
}

// The largest file that an inspection may write. Drivers of devices make files in memory (memfd_create), for which the
// limit holds as well.
#if defined(GGML_USE_VULKAN) || defined(GGML_USE_CUDA)
constexpr rlim_t kFileBytes = kGiB;
#else
constexpr rlim_t kFileBytes = 0;
#endif

// RLIMIT_NPROC is not among the limits: it counts all processes of the user, whoever started them.
void set_limits(Purpose purpose) {
    constexpr rlim_t kServeFiles = 8192;
    constexpr rlim_t kInspectFiles = 1024;  // a model may have hundreds of parts
    limit(RLIMIT_CORE, 0);                  // a core file would hold prompts and keys
    limit(RLIMIT_NOFILE, purpose == Purpose::kServe ? kServeFiles : kInspectFiles);
    if (purpose == Purpose::kInspect) {
        // Weights are not read, so this is enough for a vocabulary and a graph. Mapped files do not count.
        limit(RLIMIT_DATA, 4 * kGiB);
        limit(RLIMIT_CPU, 60);  // seconds
        limit(RLIMIT_FSIZE, kFileBytes);
    }
}

// For a daemon that runs as root: keeps only the capabilities to read its models, to lock memory and to schedule.
void drop_capabilities() {
    constexpr std::uint32_t kKept =
        (1U << CAP_DAC_OVERRIDE) | (1U << CAP_DAC_READ_SEARCH) | (1U << CAP_IPC_LOCK) | (1U << CAP_SYS_NICE);
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
    if (syscall(SYS_capget, &header, sets) != 0) return;
    static_assert(CAP_IPC_LOCK < 32 && CAP_SYS_NICE < 32);
    sets[0].permitted &= kKept;
    sets[0].effective &= kKept;
    sets[0].inheritable = 0;
    sets[1] = {};
    if (syscall(SYS_capset, &header, sets) != 0) report(std::string("capabilities stay: ") + std::strerror(errno));
}

// The files that the C library, the C++ library and llama.cpp read, whatever the model.
std::vector<AllowedPath> common_paths() {
    std::vector<AllowedPath> paths = {{"/dev/null", Access::kReadWrite}};
    for (const char * const path :
         {"/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system", "/sys/kernel/mm", "/dev/urandom",
          "/dev/random", "/etc/localtime", "/etc/ld.so.cache", "/usr/share/zoneinfo", "/usr/lib", "/usr/lib64", "/lib",
          "/lib64"}) {
        paths.push_back({path, Access::kRead});
    }
    return paths;
}

// A variant needs beside that: the nodes of devices, and what their drivers read. None of it for the engine of the
// processor alone.
void add_device_paths(std::vector<AllowedPath> & paths) {
#if defined(GGML_USE_VULKAN) || defined(GGML_USE_CUDA)
    // Manifests that name drivers, settings of drivers, and what the kernel says of devices.
    for (const char * const path :
         {"/etc/vulkan", "/usr/share/vulkan", "/usr/share/drirc.d", "/etc/drirc", "/usr/share/libdrm",
          "/usr/share/nvidia", "/etc/OpenCL", "/proc/driver/nvidia", "/proc/modules", "/sys/bus/pci", "/sys/class/drm",
          "/sys/dev/char", "/sys/module/nvidia", "/sys/module/amdgpu", "/sys/module/i915", "/sys/module/xe",
          "/sys/devices"}) {
        paths.push_back({path, Access::kRead});
    }
    // Rendering and computing only: /dev/dri/card* can do more. Nodes that this machine does not have are no matches.
    for (const char * const pattern : {"/dev/dri/renderD*", "/dev/kfd", "/dev/nvidia[0-9]*", "/dev/nvidiactl",
                                       "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-caps/*"}) {
        glob_t found{};
        if (glob(pattern, 0, nullptr, &found) == 0) {
            for (std::size_t i = 0; i < found.gl_pathc; ++i) {
                paths.push_back({found.gl_pathv[i], Access::kDevice});
            }
        }
        globfree(&found);
    }
#else
    (void)paths;
#endif
}

void add_requested_paths(std::vector<AllowedPath> & paths) {
    const char * const text = std::getenv(protocol::kSandboxPathsVariable);
    std::istringstream lines(text == nullptr ? "" : text);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t space = line.find(' ');
        const std::string kind = line.substr(0, space);
        const std::string path = space == std::string::npos ? "" : line.substr(space + 1);
        if (kind == protocol::kMayRead && !path.empty()) {
            paths.push_back({path, Access::kRead});
        } else if (kind == protocol::kMayHaveSockets && !path.empty()) {
            paths.push_back({path, Access::kSockets});
        } else if (kind == protocol::kMayWrite && !path.empty()) {
            paths.push_back({path, Access::kFolder});
        } else {
            report("MINERVA_SANDBOX_PATHS has a line it does not know: " + line);
        }
    }
}

Mode requested_mode() {
    const char * const text = std::getenv(protocol::kSandboxVariable);
    const std::string_view name = text == nullptr ? protocol::kSandboxOff : text;
    if (name == protocol::kSandboxOff) return Mode::kOff;
    // An unknown word must not switch the sandbox off.
    return name == protocol::kSandboxAuto ? Mode::kAuto : Mode::kRequired;
}

void forget_request() {
    unsetenv(protocol::kSandboxVariable);
    unsetenv(protocol::kSandboxPathsVariable);
}

}  // namespace

void enter_sandbox(Purpose purpose) {
    if (std::getenv(protocol::kSandboxVariable) == nullptr) return;
    mode = requested_mode();
    set_limits(purpose);
    if (mode == Mode::kOff) {
        forget_request();
        return;
    }

    // Landlock and seccomp both need this in a process without privileges.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) report("new privileges stay possible");
    drop_capabilities();
    if (landlock_version() == 0) {
        report("this kernel offers no landlock, so an engine can read every file its user can");
    } else {
        std::vector<AllowedPath> paths = common_paths();
        add_device_paths(paths);
        add_requested_paths(paths);
        if (const std::string failed = restrict_to(paths); !failed.empty()) report(failed);
    }
    if (!can_filter_syscalls()) {
        report("this kernel offers no seccomp, so an engine can use the network and start programs");
    } else {
        std::string failed = refuse_calls();
        if (failed.empty() && purpose == Purpose::kInspect) failed = refuse_new_sockets();
        if (!failed.empty()) report(failed);
        sockets_end_with_listen = purpose == Purpose::kServe;
    }
    forget_request();
}

}  // namespace minerva::engine

int __wrap_listen(int socket, int backlog) {
    using minerva::engine::sockets_end_with_listen;
    const int result = __real_listen(socket, backlog);
    if (result == 0 && sockets_end_with_listen.exchange(false)) {
        const std::string failed = minerva::engine::refuse_new_sockets();
        if (!failed.empty()) minerva::engine::report(failed);
    }
    return result;
}
