// What this process takes of devices by Vulkan, counted where memory is allocated: ggml's buffers, and what its backend
// keeps beside them for computing and copying.
//
// Purpose: a park says what it does not give back, and a measurement what the process really holds. The driver's own
// memory is not counted, since no driver says how much that is. An engine without Vulkan counts nothing.
// Threading: any.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace minerva::engine {

// Notes that what this thread has allocated last is on the device that ggml knows by this name.
void note_vulkan_device(const std::string & name);

// Bytes in the device's own memory, by ggml's names of devices.
std::map<std::string, std::uint64_t> vulkan_memory();

}  // namespace minerva::engine
