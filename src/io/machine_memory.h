// MachineMemory: how much of this machine's memory processes may take, and how much is left: of the machine as a whole,
// and of each cgroup above this process that has a limit (versions 1 and 2).
//
// Page cache that the kernel can drop counts as left: a model's mapped weights are no shortage.
// It reads /proc and /sys anew each time, since limits change at any time and processes move between cgroups. Blocks
// for some tens of microseconds. Threading: any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"

namespace minerva::io {

// One limit on what processes may take: the machine, or one cgroup.
struct MemoryLevel {
  std::string name;  // for people: "the machine", "the cgroup /user.slice"
  Bytes limit;
  // How much processes may still take; nothing if the system does not say.
  std::optional<Bytes> available;
  // For how long, in all, some process has stood still for want of memory (PSI, "some"); nothing if the system does not
  // say. A cgroup of version 1 has no such figure: it gets the machine's.
  std::optional<Duration> stalled;
  // How much nobody uses, not even as page cache; nothing if the system does not say.
  std::optional<Bytes> unused{};

  // How much should stay available. `wanted`: the same for every level; nothing: a sixteenth of the level, at most 1
  // GiB.
  Bytes to_stay_free(std::optional<Bytes> wanted) const;
};

// How much page cache would be pushed out if so much more memory were filled.
struct Displacement {
  Bytes displaced;   // the bytes beyond those that nobody uses
  Bytes page_cache;  // all page cache that the kernel can drop; 0 where nothing is displaced
};

struct MachineMemory {
  std::vector<MemoryLevel> levels;  // the machine first, then the cgroups, the innermost first

  // The least `available` of all levels, since each level limits those below it. Nothing, or 0 bytes, if nothing could
  // be read.
  std::optional<Bytes> available() const;
  Bytes limit() const;
  // How much may be filled so that nothing is pushed out and `min_free` is left over; 0 if that is not known.
  Bytes spare(std::optional<Bytes> min_free) const;
  // What filling `wanted` more bytes would displace, with `min_free` left over. A level does not count if the system
  // does not say enough about it.
  Displacement displacement(Bytes wanted, std::optional<Bytes> min_free) const;
};

// `root` is put before /proc and /sys, for tests.
MachineMemory read_machine_memory(const std::string& root = "");

}  // namespace minerva::io
