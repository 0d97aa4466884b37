// Parks what is in ggml's buffers on devices (device_buffers.h).
//
// Conversations go to the image. Weights go nowhere: they are read again from the files that they were loaded from, or
// from the image if they came from elsewhere. Scratch is dropped. The buffers themselves stay, and so do all pointers
// to them: only the memory behind them goes and comes. That works where a buffer's addresses are offsets, as with
// Vulkan.
#pragma once

#include <memory>

#include "device_memory.h"

namespace minerva::engine {

std::unique_ptr<DeviceMemory> make_device_memory();

}  // namespace minerva::engine
