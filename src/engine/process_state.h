// What the kernel says about a process: how much it has worked, and where its threads are.
//
// Reads /proc; never blocks for long. Threading: any thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "minerva/base/bytes.h"

namespace minerva {

// The processor time of all its threads. Nothing if there is no such process.
std::optional<std::chrono::milliseconds> processor_time(pid_t pid);

// The memory that only this process has and that is in no file: neither page cache nor shared memory counts. Nothing if
// there is no such process.
std::optional<Bytes> private_memory(pid_t pid);

// All processes of the group that `leader` leads.
std::vector<pid_t> group_members(pid_t leader);

// One line per thread: its name, its state (R running, S sleeping, D waiting for a device, T stopped, ...), and the
// kernel function it waits in, as far as the kernel says. At most `most` threads, and then a line with the number of
// the others.
std::vector<std::string> thread_states(pid_t pid, std::size_t most = 32);

}  // namespace minerva
