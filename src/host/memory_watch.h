// MemoryWatch: samples the machine's memory and tells when it is short (memory_pressure.h judges).
//
// A timer takes the samples; the kernel's own notices are not used. Those of /proc/pressure/memory come up to two
// seconds late to a process without CAP_SYS_RESOURCE (measured: 1.9 s after the stalls began, then every 2 s), and in
// two seconds a gigabyte can be filled several times over. The stall account that each sample reads is current.
// Thresholds on a cgroup's usage count page cache, and not every version of cgroups has them.
// Threading: the loop's thread, which also reads the files. That takes a few hundred microseconds (median 260 to 300,
// at most 1.4 ms in a cgroup of two levels on a busy virtual machine, thrashing or not). When memory is short, waiting
// for another thread to be scheduled can take longer.
// Ownership: the Loop outlives it.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "host/memory_pressure.h"
#include "io/loop.h"
#include "io/machine_memory.h"

namespace minerva {

class MemoryWatch {
 public:
  // From start() on, `tell` is called with each event for the core. `min_free`: as for MemoryPressure. `root`: as for
  // read_machine_memory().
  MemoryWatch(io::Loop& loop, std::optional<Bytes> min_free, std::function<void(const PressureChanged&)> tell,
              std::string root = "")
      : pressure_(min_free), tell_(std::move(tell)), root_(std::move(root)), timer_(loop) {}

  // Takes the first sample at once.
  void start() { sample(); }
  // Takes effect at the next sample.
  void set_min_free(std::optional<Bytes> min_free) { pressure_.set_min_free(min_free); }

  // These describe the last sample.
  const io::MachineMemory& memory() const { return memory_; }
  const MemoryPressure& pressure() const { return pressure_; }

 private:
  void sample();

  io::MachineMemory memory_;
  MemoryPressure pressure_;
  std::function<void(const PressureChanged&)> tell_;
  std::string root_;
  io::Timer timer_;
};

}  // namespace minerva
