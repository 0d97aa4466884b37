// The allocation seam: knows every large buffer that ggml allocates (weights copies, KV cache, compute scratch).
//
// Purpose: parking needs to own these buffers, so the binary is linked with `-Wl,--wrap=` of ggml's allocator and
// of ggml_backend_buffer_set_usage. Blocks of kSeamMinBytes and more are mapped by the seam and listed; smaller ones
// (thread-pool structures pass through here too) go to the original allocator.
// Threading: every function may be called from any thread.
// It does not park anything.
#pragma once

#include <cstddef>
#include <vector>

namespace minerva::engine {

inline constexpr std::size_t kSeamMinBytes = std::size_t{1} << 20;

// What a buffer holds, as ggml declares it after allocating.
enum class BufferUsage { kAny, kWeights, kCompute };

struct SeamBuffer {
    void * address;
    std::size_t bytes;  // as mapped: a multiple of the page size
    BufferUsage usage;
};

// The listed buffers at this moment, by address.
std::vector<SeamBuffer> seam_buffers();

}  // namespace minerva::engine
