// What memory an engine will take with given arguments, told ahead, without reading the weights.
//
// Purpose: what llama.cpp tells of buffers it would allocate, and what it does not: repacked weights beside the file's
// mapping, projector, draft model, conversations outside of slots, and the process itself.
// Threading: one thread, in a process that does nothing else: its own memory is part of the prediction.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "common.h"
#include "load_without_memory.h"

namespace minerva::engine {

// Bytes.
struct Usage {
    std::size_t weights = 0;
    std::size_t context = 0;
    std::size_t compute = 0;
};

// Bytes; of the host unless it says devices.
struct Memory {
    Usage host;  // weights: as mapped, where they are
    std::map<std::string, Usage> devices;
    std::size_t repack = 0;
    std::size_t projector = 0;
    std::size_t checkpoints = 0;   // of contexts, as many as there may be
    std::size_t prompt_cache = 0;  // as much as there may be
    std::size_t overhead = 0;      // what no buffer shows: vocabulary, graph, templates, code

    std::size_t total() const {
        return host.weights + host.context + host.compute + repack + projector + checkpoints + prompt_cache + overhead;
    }
};

// Repeats what llama_server() and load_model() do to the parameters before they load.
void settle(common_params & params);

bool can_generate(const common_params & params, const llama_model * model);
// Whether it has the tokens that mark the text before and after a gap, and the gap.
bool can_infill(const llama_model * model);

// Requires: settled; `target` was loaded with these parameters just now.
// Throws std::runtime_error when a draft model or a projector cannot be loaded, or the kernel does not say what this
// process holds.
Memory predict(const common_params & params, const Loaded & target);

}  // namespace minerva::engine
