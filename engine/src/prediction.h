// Predicts how much memory an engine with given arguments will take, without reading the weights.
//
// Purpose: it adds the buffers that llama.cpp would allocate, and what llama.cpp does not report: repacked weights
// beside the file's mapping, the projector, the draft model, conversations outside of slots, and the process itself.
// Threading: one thread, in a process that does nothing else, since the process's own memory is part of the prediction.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "common.h"
#include "load_without_memory.h"

namespace minerva::engine {

// In bytes.
struct Usage {
    std::size_t weights = 0;
    std::size_t context = 0;
    std::size_t compute = 0;
};

// In bytes, in host memory, except for devices.
struct Memory {
    Usage host;  // weights as mapped, where they are mapped
    std::map<std::string, Usage> devices;
    std::size_t repack = 0;
    std::size_t projector = 0;
    std::size_t checkpoints = 0;   // all context checkpoints that there may be
    std::size_t prompt_cache = 0;  // all that the prompt cache may hold
    std::size_t overhead = 0;      // what no buffer shows: vocabulary, graph, templates, code

    std::size_t total() const {
        return host.weights + host.context + host.compute + repack + projector + checkpoints + prompt_cache + overhead;
    }
};

// Makes the changes to the parameters that llama_server() and load_model() make before they load.
void settle(common_params & params);

bool can_generate(const common_params & params, const llama_model * model);
// Whether the model has tokens that mark the gap, the text before it and the text after it.
bool can_infill(const llama_model * model);

// Requires: settle() was called; `target` was just loaded with these parameters.
// Throws std::runtime_error when a draft model or a projector cannot be loaded, or when the kernel does not say what
// this process holds.
Memory predict(const common_params & params, const Loaded & target);

}  // namespace minerva::engine
