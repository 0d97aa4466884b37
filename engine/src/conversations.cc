// Conversations outside of slots: llama.cpp's host prompt cache and context checkpoints. Marks the memory that is
// theirs.
//
// Purpose: they are ordinary vectors that come and go, up to limits that are part of the footprint (footprint.h). The
// linker gives us two calls (`-Wl,--wrap=`): one follows each change of the host prompt cache, the other fills a
// checkpoint.
// Threading: the inference thread.
#include <cstdint>
#include <vector>

#include "common/common.h"
#include "footprint.h"
#include "large_blocks.h"
#include "tools/server/server-task.h"

extern "C" {
// The linker's names for server_prompt_cache::update() and common_prompt_checkpoint::update_tgt().
void __real__ZN19server_prompt_cache6updateEv(server_prompt_cache * cache);
void __wrap__ZN19server_prompt_cache6updateEv(server_prompt_cache * cache);
void __real__ZN24common_prompt_checkpoint10update_tgtEP13llama_contextij(common_prompt_checkpoint * checkpoint,
                                                                         llama_context * context, llama_seq_id slot,
                                                                         llama_state_seq_flags flags);
void __wrap__ZN24common_prompt_checkpoint10update_tgtEP13llama_contextij(common_prompt_checkpoint * checkpoint,
                                                                         llama_context * context, llama_seq_id slot,
                                                                         llama_state_seq_flags flags);
}

namespace {

using minerva::engine::BlockUse;
using minerva::engine::set_large_block_use;

// Marks the block that holds `data`. Returns its bytes if it is too small for a block.
std::uint64_t mark(std::vector<std::uint8_t> & data) {
    return set_large_block_use(data.data(), BlockUse::kConversation) ? 0 : data.size();
}

}  // namespace

void __wrap__ZN19server_prompt_cache6updateEv(server_prompt_cache * cache) {
    __real__ZN19server_prompt_cache6updateEv(cache);
    std::uint64_t small = 0;
    for (server_prompt_cache_state & state : cache->states) {
        small += mark(state.data.main) + mark(state.data.drft);
        for (common_prompt_checkpoint & checkpoint : state.prompt.checkpoints) {
            small += mark(checkpoint.data_tgt) + mark(checkpoint.data_dft);
        }
    }
    minerva::engine::note_small_conversations(small);
}

void __wrap__ZN24common_prompt_checkpoint10update_tgtEP13llama_contextij(common_prompt_checkpoint * checkpoint,
                                                                         llama_context * context, llama_seq_id slot,
                                                                         llama_state_seq_flags flags) {
    __real__ZN24common_prompt_checkpoint10update_tgtEP13llama_contextij(checkpoint, context, slot, flags);
    mark(checkpoint->data_tgt);
}
