#include "segment_tree.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

namespace minerva::engine {
namespace {

using Segment = SegmentTree::Segment;

constexpr std::int32_t kNoToken = std::numeric_limits<std::int32_t>::min();

struct Candidate {
    std::vector<const Segment *> path;
    std::uint32_t tokens = 0;
    bool better_than(const Candidate & other) const {
        if (tokens != other.tokens) {
            return tokens > other.tokens;
        }
        if (path.empty() || other.path.empty()) {
            return path.size() > other.path.size();
        }
        const auto ends = [](const Candidate & c) {
            return c.path.back()->complete && c.tokens == c.path.back()->name.to;
        };
        return ends(*this) != ends(other) ? ends(*this) : path.back()->name.to < other.path.back()->name.to;
    }
};

std::uint32_t same(const Segment & segment, const std::vector<std::int32_t> & prompt) {
    const std::size_t from = segment.name.from;
    const std::size_t most = std::min(segment.tokens.size(), prompt.size() > from ? prompt.size() - from : 0);
    std::size_t n = 0;
    while (n < most && segment.tokens[n] == prompt[from + n]) {
        ++n;
    }
    return static_cast<std::uint32_t>(n);
}

// The last place in the segment at which a conversation of so many tokens can go on; 0: there is none.
std::uint32_t last_place(const Segment & segment, std::uint32_t tokens) {
    if (!segment.complete) {
        return 0;
    }
    if (tokens >= segment.goes_back_to) {
        return std::min(tokens, segment.name.to);
    }
    const auto after = std::upper_bound(segment.checkpoints.begin(), segment.checkpoints.end(), tokens);
    return after == segment.checkpoints.begin() ? 0 : *std::prev(after);
}

}  // namespace

void SegmentTree::add(const std::string & tenant, Segment segment) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Tree & tree = tenants_[tenant];
    const auto [known, is_new] = tree.by_id.try_emplace(segment.name.id);
    if (!is_new) {
        return;
    }
    const Place place(segment.name.parent, segment.name.from,
                      segment.tokens.empty() ? kNoToken : segment.tokens.front());
    known->second = tree.segments.emplace(place, std::move(segment));
}

void SegmentTree::remove(const std::string & tenant, protocol::SegmentId id) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto tree = tenants_.find(tenant);
    if (tree == tenants_.end()) {
        return;
    }
    const auto found = tree->second.by_id.find(id);
    if (found != tree->second.by_id.end()) {
        tree->second.segments.erase(found->second);
        tree->second.by_id.erase(found);
    }
}

void SegmentTree::remove_all(const std::string & tenant) {
    const std::lock_guard<std::mutex> lock(mutex_);
    tenants_.erase(tenant);
}

void SegmentTree::remove_all() {
    const std::lock_guard<std::mutex> lock(mutex_);
    tenants_.clear();
}

SegmentTree::Match SegmentTree::find(const std::string & tenant, const std::vector<std::int32_t> & prompt) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = tenants_.find(tenant);
    if (found == tenants_.end()) {
        return {};
    }
    // A walk over all ways along which tokens agree. A child lies behind its parent, so that no way is endless: a child
    // without tokens of its own has nothing behind it.
    const Segments & segments = found->second.segments;
    Candidate best;
    std::vector<Candidate> open = {{}};
    while (!open.empty()) {
        const Candidate at = std::move(open.back());
        open.pop_back();
        if (at.better_than(best)) {
            best = at;
        }
        const bool is_root = at.path.empty();
        const protocol::SegmentId id = is_root ? protocol::SegmentId{} : at.path.back()->name.id;
        const std::uint32_t begin = is_root ? 0 : at.path.back()->name.from + 1;
        const auto follow = [&](std::uint32_t from, std::int32_t token) {
            const auto [first, last] = segments.equal_range(Place(id, from, token));
            for (auto it = first; it != last; ++it) {
                Candidate next = {at.path, from + same(it->second, prompt)};
                next.path.push_back(&it->second);
                open.push_back(std::move(next));
            }
        };
        // From one place at which children begin to the next.
        auto it = segments.lower_bound(Place(id, begin, kNoToken));
        while (it != segments.end() && std::get<0>(it->first) == id && std::get<1>(it->first) <= at.tokens) {
            const std::uint32_t from = std::get<1>(it->first);
            follow(from, kNoToken);
            if (from < prompt.size() && prompt[from] != kNoToken) {
                follow(from, prompt[from]);
            }
            it = segments.upper_bound(Place(id, from, std::numeric_limits<std::int32_t>::max()));
        }
    }
    Match match;
    match.tokens = best.tokens;
    for (const Segment * const segment : best.path) {
        match.path.push_back(*segment);
    }
    return match;
}

bool has_checkpoint(const std::vector<Segment> & path, std::uint32_t end, std::uint32_t tokens) {
    for (std::size_t i = 0; i < path.size(); ++i) {
        const std::vector<std::uint32_t> & checkpoints = path[i].checkpoints;
        if (tokens <= (i + 1 < path.size() ? path[i + 1].name.from : end) &&
            std::binary_search(checkpoints.begin(), checkpoints.end(), tokens)) {
            return true;
        }
    }
    return false;
}

void end_where_it_can_go_on(SegmentTree::Match & match) {
    std::size_t count = 0;
    std::uint32_t best = 0;
    for (std::size_t i = match.path.size(); i-- > 0;) {
        const std::uint32_t place = last_place(match.path[i], match.tokens);
        if (place > 0 && place >= best) {
            best = place;
            count = i + 1;
        }
        // So far the parent is known to agree with the prompt.
        match.tokens = match.path[i].name.from;
    }
    match.path.resize(count);
    match.tokens = best;
}

SegmentTree::Segment summary(const SegmentHeader & header, std::uint64_t file_bytes) {
    SegmentTree::Segment segment;
    segment.name = header.name;
    segment.complete = header.complete != 0;
    segment.goes_back_to = header.goes_back_to;
    segment.tokens = header.tokens;
    segment.bytes = file_bytes;
    for (const Blob & blob : header.blobs) {
        if (blob.part == kCheckpoint) {
            segment.checkpoints.push_back(blob.tokens);
        }
    }
    std::sort(segment.checkpoints.begin(), segment.checkpoints.end());
    return segment;
}

}  // namespace minerva::engine
