// Landlock: this process keeps only the rights to files that it lists. A thin layer over the kernel's three calls.
//
// Purpose: the kernel headers of Debian 12 are older than many kernels. This declares what they lack.
// Threading: call from main(), before any other thread exists, since only the calling thread and its later threads are
// restricted.
// It does not decide which files are needed (sandbox.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace minerva::engine {

enum class Access {
    kRead,       // a file, or a folder with everything in it
    kReadWrite,  // a file that exists
    kDevice,     // the same, and ioctl()
    kSockets,    // make Unix sockets in a folder, nothing else
    kFolder,     // make, write and remove files in a folder, and make folders in it
};

struct AllowedPath {
    std::string path;
    Access access;
};

// Landlock's version, 1 and up. 0: the kernel does not have it, or it is switched off.
int landlock_version();

// Effect: everything else on the file system is refused from now on (EACCES). So are TCP (from version 4), and abstract
// sockets and signals to the outside (from version 6). Paths that do not exist are skipped.
// Returns what failed; empty when all holds. Requires: landlock_version() > 0, and no_new_privs.
std::string restrict_to(const std::vector<AllowedPath> & paths);

}  // namespace minerva::engine
