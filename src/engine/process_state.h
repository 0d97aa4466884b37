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

// Processor time of all its threads. Nothing if there is no such process.
std::optional<std::chrono::milliseconds> processor_time(pid_t pid);

// Memory that it alone has, and that is in no file: page cache and what it shares do not count. Nothing if there is no
// such process.
std::optional<Bytes> private_memory(pid_t pid);

// Every process of the group `leader` leads.
std::vector<pid_t> group_members(pid_t leader);

// One line per thread: its name, state (R running, S sleeping, D waiting for a device, T stopped, ...), and the kernel
// function it waits in, as far as the kernel tells. At most `most` threads, then a line that says how many more.
std::vector<std::string> thread_states(pid_t pid, std::size_t most = 32);

}  // namespace minerva
