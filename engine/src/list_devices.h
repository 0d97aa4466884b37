// minerva-engine list-devices: which devices (GPUs) this engine can compute on.
//
// Purpose: asking a driver may take long, or never end. So the daemon asks a child, with a time limit.
#pragma once

namespace minerva::engine {

// Prints {"backend":"Vulkan","devices":[{"name":"Vulkan0","description":"...","type":"gpu"|"igpu","free_bytes":N,
// "total_bytes":N}]} on stdout. "backend" is empty for an engine that knows none but the processor. Returns the exit
// code.
int list_devices();

}  // namespace minerva::engine
