// The memory this process may use: the machine's, or less where a cgroup says so.
//
// Reads /proc and /sys; blocks for microseconds. Any thread.
#pragma once

#include <string>

#include "minerva/base/bytes.h"

namespace minerva {

// `root` is put before /proc and /sys, for tests. 0 bytes if nothing can be read.
Bytes available_memory(const std::string& root = "");

}  // namespace minerva
