// Landlock: this process keeps only the rights to files that it lists. A thin layer over the kernel's three calls.
//
// Purpose: the kernel's headers of Debian 12 are older than many kernels; what they lack is declared here.
// Threading: call from main(), before any other thread exists: only the calling thread and those it starts later are
// restricted.
// It does not decide which files are needed (sandbox.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace minerva::engine {

enum class Access {
    kRead,       // a file, or a folder with all in it
    kReadWrite,  // a file that is there
    kSockets,    // make Unix sockets in a folder, nothing else
    kFolder,     // make, write and remove files in a folder
};

struct AllowedPath {
    std::string path;
    Access access;
};

// 0: the kernel has none (or it is switched off). Otherwise its version, 1 and up.
int landlock_version();

// Effect: everything else on the file system is refused from now on (EACCES), and so are TCP (from version 4), abstract
// sockets and signals out of the sandbox (from 6). Paths that are not there are left out.
// Returns what failed, empty when it holds. Requires: landlock_version() > 0, and no_new_privs.
std::string restrict_to(const std::vector<AllowedPath> & paths);

}  // namespace minerva::engine
