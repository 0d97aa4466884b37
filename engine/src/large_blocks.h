// The engine's large blocks of memory: parking moves these out and back.
//
// Purpose: each block is a mapping of its own, in one list. The allocators decide what becomes a block (allocators.cc).
// Threading: every function may be called from any thread. While a LargeBlocks exists, other threads wait before they
// make or free a block.
// It does not park anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace minerva::engine {

// Each computation writes its scratch before it reads it. Conversations are those outside of slots.
enum class BlockUse { kWeights, kState, kScratch, kConversation };

struct LargeBlock {
    std::uint64_t id;   // never used twice
    char * address;     // at a page
    std::size_t bytes;  // whole pages
    BlockUse use;
};

// All blocks, in the order of addresses. While this exists, no other thread makes or frees a block.
//
// A park keeps one while it writes the image, as long as the disk takes: if a block were freed meanwhile, the park
// would read where nothing is mapped. No request waits for that: the inference loop makes and frees large blocks, and
// it rests, and the daemon sends a parking engine no request (EngineAgent::park). So a thread of the HTTP server has at
// most the blocks of earlier requests to free.
class LargeBlocks {
  public:
    LargeBlocks();
    LargeBlocks(const LargeBlocks &) = delete;
    LargeBlocks & operator=(const LargeBlocks &) = delete;
    const std::vector<LargeBlock> & all() const { return blocks_; }

  private:
    std::unique_lock<std::recursive_mutex> lock_;
    std::vector<LargeBlock> blocks_;
};

// Effect: makes a block of zeros, of at least so many bytes. nullptr when memory is short.
void * map_large_block(std::size_t bytes, BlockUse use);
// False, without effect, if no block starts at `address`.
bool unmap_large_block(void * address);
// Sets the use of the block that contains this address. False, without effect, if there is none.
bool set_large_block_use(void * inside, BlockUse use);

// While this exists, this thread's large allocations by operator new are blocks, as the inference thread's always are:
// for what becomes the inference thread's.
class BlocksForThisThread {
  public:
    BlocksForThisThread();
    BlocksForThisThread(const BlocksForThisThread &) = delete;
    BlocksForThisThread & operator=(const BlocksForThisThread &) = delete;
    ~BlocksForThisThread();
    static bool wanted();
};

}  // namespace minerva::engine
