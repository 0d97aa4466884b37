#include "alloc_seam.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <map>
#include <mutex>

#include "ggml-backend.h"

// The linker's names for what it wraps.
extern "C" {
void * __real_ggml_aligned_malloc(size_t size);
void __real_ggml_aligned_free(void * ptr, size_t size);
void __real_ggml_backend_buffer_set_usage(ggml_backend_buffer_t buffer, ggml_backend_buffer_usage usage);
void * __wrap_ggml_aligned_malloc(size_t size);
void __wrap_ggml_aligned_free(void * ptr, size_t size);
void __wrap_ggml_backend_buffer_set_usage(ggml_backend_buffer_t buffer, ggml_backend_buffer_usage usage);
}

namespace minerva::engine {
namespace {

struct Block {
    std::size_t bytes;
    BufferUsage usage;
};

// Never destroyed: ggml frees buffers from static destructors.
struct Registry {
    std::mutex mutex;
    std::map<std::uintptr_t, Block> blocks;
};

Registry & registry() {
    static Registry * const instance = new Registry;
    return *instance;
}

std::size_t round_to_pages(std::size_t bytes) {
    static const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return (bytes + page - 1) / page * page;
}

BufferUsage usage_of(ggml_backend_buffer_usage usage) {
    switch (usage) {
        case GGML_BACKEND_BUFFER_USAGE_WEIGHTS:
            return BufferUsage::kWeights;
        case GGML_BACKEND_BUFFER_USAGE_COMPUTE:
            return BufferUsage::kCompute;
        case GGML_BACKEND_BUFFER_USAGE_ANY:
            break;
    }
    return BufferUsage::kAny;
}

}  // namespace

std::vector<SeamBuffer> seam_buffers() {
    Registry & r = registry();
    const std::lock_guard<std::mutex> lock(r.mutex);
    std::vector<SeamBuffer> result;
    result.reserve(r.blocks.size());
    for (const auto & [address, block] : r.blocks) {
        result.push_back({reinterpret_cast<void *>(address), block.bytes, block.usage});
    }
    return result;
}

}  // namespace minerva::engine

void * __wrap_ggml_aligned_malloc(size_t size) {
    using namespace minerva::engine;
    if (size < kSeamMinBytes) {
        return __real_ggml_aligned_malloc(size);
    }
    const std::size_t bytes = round_to_pages(size);
    void * const address =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED) {
        return nullptr;  // ggml reports the failed allocation
    }
    Registry & r = registry();
    const std::lock_guard<std::mutex> lock(r.mutex);
    r.blocks[reinterpret_cast<std::uintptr_t>(address)] = {bytes, BufferUsage::kAny};
    return address;
}

void __wrap_ggml_aligned_free(void * ptr, size_t size) {
    using namespace minerva::engine;
    {
        Registry & r = registry();
        const std::lock_guard<std::mutex> lock(r.mutex);
        const auto found = r.blocks.find(reinterpret_cast<std::uintptr_t>(ptr));
        if (found != r.blocks.end()) {
            munmap(ptr, found->second.bytes);
            r.blocks.erase(found);
            return;
        }
    }
    __real_ggml_aligned_free(ptr, size);
}

void __wrap_ggml_backend_buffer_set_usage(ggml_backend_buffer_t buffer, ggml_backend_buffer_usage usage) {
    using namespace minerva::engine;
    __real_ggml_backend_buffer_set_usage(buffer, usage);
    if (buffer == nullptr || !ggml_backend_buffer_is_host(buffer)) {
        return;
    }
    // The block that contains the buffer's base: ggml may align inside it.
    const auto base = reinterpret_cast<std::uintptr_t>(ggml_backend_buffer_get_base(buffer));
    Registry & r = registry();
    const std::lock_guard<std::mutex> lock(r.mutex);
    auto after = r.blocks.upper_bound(base);
    if (after == r.blocks.begin()) {
        return;
    }
    --after;
    if (base < after->first + after->second.bytes) {
        after->second.usage = usage_of(usage);
    }
}
