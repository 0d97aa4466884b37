#include "large_blocks.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <new>

namespace minerva::engine {
namespace {

// An allocator for the list of blocks, which must not use operator new: operator new asks the list.
template <typename T>
struct MallocAllocator {
    using value_type = T;
    MallocAllocator() = default;
    template <typename U>
    MallocAllocator(const MallocAllocator<U> & /*other*/) {}
    T * allocate(std::size_t n) {
        if (void * const p = std::malloc(n * sizeof(T))) {
            return static_cast<T *>(p);
        }
        throw std::bad_alloc();
    }
    void deallocate(T * p, std::size_t /*n*/) { std::free(p); }
    template <typename U>
    bool operator==(const MallocAllocator<U> & /*other*/) const {
        return true;
    }
    template <typename U>
    bool operator!=(const MallocAllocator<U> & /*other*/) const {
        return false;
    }
};

using Blocks = std::map<char *, LargeBlock, std::less<char *>, MallocAllocator<std::pair<char * const, LargeBlock>>>;

struct Registry {
    // Recursive: a thread that holds the blocks may free ordinary memory, and each free may look here.
    std::recursive_mutex mutex;
    Blocks blocks;
    std::uint64_t last_id = 0;
};

// Never destroyed: ggml frees buffers from static destructors.
Registry & registry() {
    alignas(Registry) static char space[sizeof(Registry)];
    static Registry * const instance = new (space) Registry;
    return *instance;
}

std::size_t page_bytes() {
    static const auto result = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return result;
}

thread_local bool blocks_wanted = false;

}  // namespace

BlocksForThisThread::BlocksForThisThread() { blocks_wanted = true; }
BlocksForThisThread::~BlocksForThisThread() { blocks_wanted = false; }
bool BlocksForThisThread::wanted() { return blocks_wanted; }

LargeBlocks::LargeBlocks() : lock_(registry().mutex) {
    blocks_.reserve(registry().blocks.size());
    for (const auto & [address, block] : registry().blocks) {
        blocks_.push_back(block);
    }
}

void * map_large_block(std::size_t bytes, BlockUse use) {
    const std::size_t whole = (bytes + page_bytes() - 1) / page_bytes() * page_bytes();
    Registry & r = registry();
    const std::lock_guard<std::recursive_mutex> lock(r.mutex);
    void * const address =
        mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED) {
        return nullptr;
    }
    auto * const start = static_cast<char *>(address);
    r.blocks[start] = {++r.last_id, start, whole, use};
    return address;
}

bool unmap_large_block(void * address) {
    // Our blocks start at a page; blocks of malloc hardly ever do. So most frees need no lock.
    if (address == nullptr || reinterpret_cast<std::uintptr_t>(address) % page_bytes() != 0) {
        return false;
    }
    Registry & r = registry();
    const std::lock_guard<std::recursive_mutex> lock(r.mutex);
    const auto found = r.blocks.find(static_cast<char *>(address));
    if (found == r.blocks.end()) {
        return false;
    }
    munmap(address, found->second.bytes);
    r.blocks.erase(found);
    return true;
}

bool set_large_block_use(void * inside, BlockUse use) {
    auto * const address = static_cast<char *>(inside);
    Registry & r = registry();
    const std::lock_guard<std::recursive_mutex> lock(r.mutex);
    auto after = r.blocks.upper_bound(address);
    if (after == r.blocks.begin()) {
        return false;
    }
    LargeBlock & block = (--after)->second;
    if (address >= block.address + block.bytes) {
        return false;
    }
    block.use = use;
    return true;
}

}  // namespace minerva::engine
