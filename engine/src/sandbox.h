// The sandbox: what an engine can reach once it has read what its daemon wants, and before it reads anything foreign.
//
// Purpose: a model file is foreign input to a large parser, and so is every request. A process that such input takes
// over finds nothing but its own model: no other file (landlock.h), no network and no other process (syscall_filter.h),
// no privilege, no core dump.
// The daemon says what it wants by two variables, because a model's own arguments cannot reach those:
//   MINERVA_SANDBOX        off | auto (what the kernel offers, a warning for the rest) | required (all, or no engine);
//                          not set: off, for an engine that is started by hand
//   MINERVA_SANDBOX_PATHS  a line each: "read FILE", "sockets FOLDER", "folder FOLDER" (to make and remove files in)
// Limits on memory, processor time and descriptors hold in every mode but the last.
// Threading: enter_sandbox() from main(), before any other thread exists.
// It does not guard against another process of the same user, nor bound the memory of a serving engine: the daemon does
// that.
#pragma once

namespace minerva::engine {

enum class Purpose { kServe, kInspect };

// Every line the sandbox writes to stderr starts so; the daemon looks for it.
inline constexpr const char * kSandboxLine = "minerva-engine: sandbox: ";

// Effect: as above. What could not be had is a line on stderr; where it is required, the process ends with 78.
// While serving, Unix sockets can be made until the first one listens.
void enter_sandbox(Purpose purpose);

}  // namespace minerva::engine
