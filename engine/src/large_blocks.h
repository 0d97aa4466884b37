// The engine's large blocks of memory: what parking moves out and back.
//
// Purpose: each is a mapping of its own, and listed. What becomes one decide the allocators (allocators.cc).
// Threading: every function may be called from any thread. While a LargeBlocks lives, other threads wait before they
// make or free one.
// It does not park anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace minerva::engine {

// Scratch is written anew by each computation before it is read; conversations are those outside of slots.
enum class BlockUse { kWeights, kState, kScratch, kConversation };

struct LargeBlock {
    std::uint64_t id;   // never used twice
    char * address;     // at a page
    std::size_t bytes;  // whole pages
    BlockUse use;
};

// The blocks as they are, by address; none comes or goes by another thread while this lives.
//
// A park keeps one while it writes the image, as long as the disk takes: a block that went meanwhile would be read
// where nothing is mapped. Nobody is waited for who waits then: large blocks are made and freed by the inference loop,
// which rests, and the daemon sends a parking engine no request (EngineAgent::park), so that a thread of the HTTP
// server has at most what ended earlier to free.
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

// Effect: a new block of zeros, of at least so many bytes. nullptr when memory is short.
void * map_large_block(std::size_t bytes, BlockUse use);
// False, without effect, if `address` is not the start of one.
bool unmap_large_block(void * address);
// Says what the block with this address inside is for. False, without effect, for other addresses.
bool set_large_block_use(void * inside, BlockUse use);

}  // namespace minerva::engine
