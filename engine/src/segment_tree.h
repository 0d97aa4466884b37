// What segments of conversations there are, as trees of tokens, one for each tenant: finds the longest beginning of a
// prompt that files have.
//
// Threading: any; a lock inside.
// Ownership: plain values; the files are not its concern. What it knows of a file may be wrong by the time that
// somebody opens the file.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "protocol/conversations.h"
#include "segment_file.h"

namespace minerva::engine {

class SegmentTree {
  public:
    // What is known of one file.
    struct Segment {
        protocol::SegmentName name;
        bool complete = false;
        std::uint32_t goes_back_to = 0;  // as SegmentHeader says
        std::vector<std::int32_t> tokens;
        std::vector<std::uint32_t> checkpoints;  // where the conversation can go on too, in ascending order
        std::uint64_t bytes = 0;
        // When this engine wrote it; the epoch: it was there. The daemon gives the file its name soon afterwards.
        std::chrono::steady_clock::time_point written;
    };
    // A way from a root to a segment, and how many of the prompt's tokens are the same along it.
    struct Match {
        std::vector<Segment> path;
        std::uint32_t tokens = 0;
    };

    void add(const std::string & tenant, Segment segment);
    void remove(const std::string & tenant, protocol::SegmentId id);
    void remove_all(const std::string & tenant);
    void remove_all();
    // The longest match. Of equally long ones, the one that ends in a complete segment, and then the shorter one.
    Match find(const std::string & tenant, const std::vector<std::int32_t> & prompt) const;

  private:
    // Where a walk finds a segment: by its parent, where it begins, and its first token (kNoToken: it has none). There
    // may be very many conversations, and hardly two of them have all of that in common.
    using Place = std::tuple<protocol::SegmentId, std::uint32_t, std::int32_t>;
    using Segments = std::multimap<Place, Segment>;
    struct Tree {
        Segments segments;
        std::map<protocol::SegmentId, Segments::iterator> by_id;
    };

    mutable std::mutex mutex_;
    std::map<std::string, Tree> tenants_;
};

// Whether a segment of the path has this checkpoint, and has it before the path leaves that segment: what comes later
// in it belongs to another conversation. `end`: where the path leaves its last segment.
bool has_checkpoint(const std::vector<SegmentTree::Segment> & path, std::uint32_t end, std::uint32_t tokens);

// Where not all state is kept by token, a conversation goes on only at a checkpoint, or near the end of a complete
// segment, as SegmentHeader::goes_back_to says. Leaves of `match` the path to the last such place that the prompt has,
// and the tokens up to it.
void end_where_it_can_go_on(SegmentTree::Match & match);

SegmentTree::Segment summary(const SegmentHeader & header, std::uint64_t file_bytes);

}  // namespace minerva::engine
