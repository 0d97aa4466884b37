// The sandbox: limits what an engine can reach. The engine enters it after it has read the daemon's wishes, and before
// it reads anything foreign.
//
// Purpose: a model file is foreign input to a large parser, and so is every request. If such input takes over the
// process, it finds nothing but its own model: no other file (landlock.h), no network and no other process
// (syscall_filter.h), no privilege, no core dump.
// The daemon's wishes are in two variables, since a model's own arguments cannot change those:
//   MINERVA_SANDBOX        off | auto (what the kernel offers, a warning for the rest) | required (all, or no engine);
//                          not set: off, for an engine that is started by hand
//   MINERVA_SANDBOX_PATHS  a line each: "read FILE", "sockets FOLDER", "folder FOLDER" (to make and remove files in)
// Limits on memory, processor time and descriptors hold in every mode but "off".
// Threading: enter_sandbox() from main(), before any other thread exists.
// It does not guard against another process of the same user, and it does not limit the memory of a serving engine: the
// daemon does that.
#pragma once

namespace minerva::engine {

enum class Purpose { kServe, kInspect };

// The beginning of every line that the sandbox writes to stderr; the daemon looks for it.
inline constexpr const char * kSandboxLine = "minerva-engine: sandbox: ";

// Effect: as above. If something is missing, a line on stderr says so; if it is required, the process ends with 78.
// While serving, Unix sockets can be made until the first one listens.
void enter_sandbox(Purpose purpose);

}  // namespace minerva::engine
