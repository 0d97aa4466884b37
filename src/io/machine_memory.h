// MachineMemory: what processes may take of this machine's memory, and what is left of it: of the machine as a whole,
// and of each cgroup above this process that has a limit (versions 1 and 2).
//
// Page cache that the kernel can drop by itself counts as left: a model's mapped weights are no shortage.
// Reads /proc and /sys, everything anew each time: limits change while they hold, and processes are moved. Blocks for
// some tens of microseconds. Any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"

namespace minerva::io {

// One bound of what processes may take.
struct MemoryLevel {
  std::string name;  // for people: "the machine", "the cgroup /user.slice"
  Bytes limit;
  // What processes may still take of it; nothing if the system does not say.
  std::optional<Bytes> available;
  // For how long so far some process has stood still for want of memory (PSI, "some"); nothing likewise. A cgroup of
  // version 1 has no account of its own: it is the machine's.
  std::optional<Duration> stalled;
  // What nobody uses of it, not even as page cache; nothing likewise.
  std::optional<Bytes> unused{};

  // What should stay available of it. `wanted`: for every level; nothing: a sixteenth of it, at most 1 GiB.
  Bytes to_stay_free(std::optional<Bytes> wanted) const;
};

// What filling so much more would push out of the page cache.
struct Displacement {
  Bytes displaced;   // beyond what nobody uses
  Bytes page_cache;  // there is so much that the kernel can drop; where none is displaced, 0
};

struct MachineMemory {
  std::vector<MemoryLevel> levels;  // the machine first, then the cgroups, the innermost first

  // The least of all levels: each bounds those below it. Nothing, or 0 bytes, if nothing could be read.
  std::optional<Bytes> available() const;
  Bytes limit() const;
  // What may be filled without pushing anything out, and with what is to stay free left over; 0 if that is not known.
  Bytes spare(std::optional<Bytes> min_free) const;
  // Of `wanted` bytes more, with what is to stay free left over. Levels of which the system does not
  // say enough do not count.
  Displacement displacement(Bytes wanted, std::optional<Bytes> min_free) const;
};

// `root` is put before /proc and /sys, for tests.
MachineMemory read_machine_memory(const std::string& root = "");

}  // namespace minerva::io
