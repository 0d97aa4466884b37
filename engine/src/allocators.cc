// The allocators that give out large blocks (large_blocks.h): ggml's own, and the global operator new.
//
// Purpose: every large buffer of ggml (repacked weights, KV cache, compute scratch) comes from ggml's aligned
// allocator, which the linker replaces by ours (`-Wl,--wrap=`). The host prompt cache and context checkpoints are
// vectors of the inference thread, which come from the global operator new.
// Smaller blocks stay with the original allocators (structures of the thread pool come from the same one). So do large
// ones that other threads ask operator new for: those belong to requests, which may touch them while the model is
// parked.
// Threading: any.
#include <cstddef>
#include <cstdlib>
#include <new>

#include "ggml-backend.h"
#include "large_blocks.h"
#include "main_loop.h"

using minerva::engine::BlocksForThisThread;
using minerva::engine::BlockUse;
using minerva::engine::map_large_block;
using minerva::engine::unmap_large_block;

// The linker's names for the functions that it wraps.
extern "C" {
void * __real_ggml_aligned_malloc(size_t size);
void __real_ggml_aligned_free(void * ptr, size_t size);
void __real_ggml_backend_buffer_set_usage(ggml_backend_buffer_t buffer, ggml_backend_buffer_usage usage);
void * __wrap_ggml_aligned_malloc(size_t size);
void __wrap_ggml_aligned_free(void * ptr, size_t size);
void __wrap_ggml_backend_buffer_set_usage(ggml_backend_buffer_t buffer, ggml_backend_buffer_usage usage);
}

namespace {

constexpr std::size_t kLarge = std::size_t{1} << 20;

}  // namespace

void * __wrap_ggml_aligned_malloc(size_t size) {
    // ggml reports a failed allocation.
    return size < kLarge ? __real_ggml_aligned_malloc(size) : map_large_block(size, BlockUse::kState);
}

void __wrap_ggml_aligned_free(void * ptr, size_t size) {
    if (!unmap_large_block(ptr)) {
        __real_ggml_aligned_free(ptr, size);
    }
}

void __wrap_ggml_backend_buffer_set_usage(ggml_backend_buffer_t buffer, ggml_backend_buffer_usage usage) {
    __real_ggml_backend_buffer_set_usage(buffer, usage);
    if (buffer == nullptr || usage == GGML_BACKEND_BUFFER_USAGE_ANY) {
        return;
    }
    // ggml may align the buffer inside its block. It does not count repacked weights as host memory, though they are.
    // An address on another device is in no block.
    minerva::engine::set_large_block_use(
        ggml_backend_buffer_get_base(buffer),
        usage == GGML_BACKEND_BUFFER_USAGE_WEIGHTS ? BlockUse::kWeights : BlockUse::kScratch);
}

void * operator new(std::size_t size) {
    const bool block_wanted = size >= kLarge && (minerva::engine::on_main_thread() || BlocksForThisThread::wanted());
    void * const block = block_wanted ? map_large_block(size, BlockUse::kState) : std::malloc(size == 0 ? 1 : size);
    if (block == nullptr) {
        throw std::bad_alloc();
    }
    return block;
}

void operator delete(void * ptr) noexcept {
    if (!unmap_large_block(ptr)) {
        std::free(ptr);
    }
}

void operator delete(void * ptr, std::size_t /*size*/) noexcept { operator delete(ptr); }
