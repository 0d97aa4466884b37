// The common part of saving and restoring conversations: which files there are, and holding the main loop.
//
// Threading: any thread but the main one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <string>
#include <vector>

#include "device_buffers.h"
#include "main_loop.h"
#include "segment_file.h"
#include "segment_tree.h"

namespace minerva::engine {

inline constexpr std::size_t kPiece = 8 * kChunk;

// The main loop, held between two batches as long as this exists, if it could be.
class Held {
  public:
    explicit Held(std::chrono::milliseconds patience) : held_(hold_between_batches(patience)) {
        if (held_) {
            finish_computations();  // a device may still be at the last batch
        }
    }
    Held(const Held &) = delete;
    Held & operator=(const Held &) = delete;
    ~Held() {
        if (held_) {
            release_main_loop();
        }
    }
    explicit operator bool() const { return held_; }

  private:
    bool held_;
};

struct Store {
    // Whether all files of the folder are known. Waits a moment at most: more would keep requests and the daemon
    // waiting for a slow disk.
    bool is_listed(std::chrono::milliseconds moment = std::chrono::milliseconds(500)) const {
        return listed.wait_for(moment) == std::future_status::ready;
    }

    int folder = -1;
    SegmentTree tree;
    std::shared_future<void> listed;
    // of files, by the latest restores
    std::atomic<double> bytes_per_microsecond{500};
};
// Set once, by keep_conversations(), and never destroyed. nullptr: nothing is kept.
extern Store * store;

// The properties that an engine must have in common with the one that wrote a file. The folder says more, but the
// daemon chose it. Requires: the model is loaded.
std::uint64_t shape();

// Forgets a file, and has the daemon remove it.
void remove_unusable(const std::string & tenant, const protocol::SegmentName & name, const std::string & why);

// Forgets a file that is not there. False, without effect: it was written just now, and has no name yet.
bool forget_missing(const std::string & tenant, const SegmentTree::Segment & segment);

// How much of a resting conversation files have.
struct Known {
    SegmentTree::Match match;
    bool all = false;
};
Known known(const std::string & tenant, const std::vector<std::int32_t> & tokens);

}  // namespace minerva::engine
