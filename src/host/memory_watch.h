// MemoryWatch: samples the machine's memory and tells when it is short (memory_pressure.h judges).
//
// By a timer, not by the kernel's own notices. Those of /proc/pressure/memory come up to two seconds late to a process
// without CAP_SYS_RESOURCE (measured: 1.9 s after the stalls began, then each 2 s), which is what fills a gigabyte
// several times over; the account in it that each sample reads is current. Thresholds of a cgroup's usage count page
// cache, and not every version has them.
// Threading: the loop's thread, also for reading: some hundred microseconds (median 260 to 300, at most 1.4 ms in a
// cgroup of two levels on a busy virtual machine, thrashing or not), which is less than another thread's turn may take
// when memory is short.
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
  // `tell` is called with each event for the core, from start() on. `min_free` as MemoryPressure takes it; `root` as
  // read_machine_memory().
  MemoryWatch(io::Loop& loop, std::optional<Bytes> min_free, std::function<void(const PressureChanged&)> tell,
              std::string root = "")
      : pressure_(min_free), tell_(std::move(tell)), root_(std::move(root)), timer_(loop) {}

  // Takes the first sample at once.
  void start() { sample(); }
  // Counts from the next sample on.
  void set_min_free(std::optional<Bytes> min_free) { pressure_.set_min_free(min_free); }

  // As of the last sample.
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
