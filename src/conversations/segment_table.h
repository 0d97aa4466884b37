// SegmentTable: which segments of conversations are on disk, when each was used, and which of them leave first.
//
// The segments of one place are trees (protocol/conversations.h). The table keeps these trees whole: a segment is in it
// only while all of its parents are. A segment counts as used when one of its children is used.
// Pure; any one thread. It does not touch the disk: whoever takes segments out of the table removes their files.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "minerva/base/bytes.h"
#include "protocol/conversations.h"

namespace minerva::conversations {

// Uses are kept as the times of files, so that they survive a restart.
using WallTime = std::chrono::system_clock::time_point;

// The trees of one tenant under one seed.
struct Place {
  std::string folder;  // a name, see folder_name.h
  std::string tenant;
  auto operator<=>(const Place&) const = default;
};

struct Segment {
  protocol::SegmentName name;
  Bytes bytes;
  WallTime used;
};

struct PlacedSegment {
  Place place;
  Segment segment;
};

class SegmentTable {
 public:
  using Segments = std::vector<PlacedSegment>;

  // Takes all of `found` whose parents are among them. Returns the others: they are worth nothing.
  // Requires: the table is empty.
  Segments load(Segments found);
  // A segment of the same name is replaced. false, without effect: its parent is not in the table, or a segment of
  // another name has its id.
  bool add(const Place& place, const Segment& segment);
  bool contains(const Place& place, protocol::SegmentId id) const;
  // The segment and its parents were used. Nothing if the segment is not there.
  std::optional<Segment> touch(const Place& place, protocol::SegmentId id, WallTime now);

  // What was used after `now` counts as used now.
  void forget_later_uses(WallTime now);

  // Each of these takes segments out of the table and returns them, children before their parents.
  Segments take_tree(const Place& place, protocol::SegmentId id);  // the segment and all below it
  Segments take_if(const std::function<bool(const Place&)>& matches);
  Segments take_unused_since(WallTime when);
  // Those that are worth least, until the others take `most` at most. The worth of a segment is the time that it is
  // likely to save for each byte: what reading its tokens costs, divided by its bytes and by the time since its last
  // use, as what was used lately is more likely to be used again. Only tenants that have more than an equal share lose
  // what is worth something, so that none can push out the others. `cost_of_token(folder)`: what reading one token
  // costs there, in any unit; 0 if nobody can use the folder's segments.
  Segments take_worst(Bytes most, WallTime now, const std::function<double(const std::string& folder)>& cost_of_token);

  Bytes bytes() const { return bytes_; }
  std::size_t size() const { return size_; }
  struct Sum {
    Bytes bytes;
    std::size_t segments = 0;
    WallTime used;
  };
  // For each place that has segments.
  std::map<Place, Sum> sums() const;

 private:
  struct Entry {
    Segment segment;
    unsigned children = 0;
  };
  using Tree = std::map<protocol::SegmentId, Entry>;

  static void touch_parents(Tree& tree, protocol::SegmentId parent, WallTime used);
  void insert(Tree& tree, const Segment& segment);
  // Requires: it has no children.
  void take(std::map<Place, Tree>::iterator place, Tree::iterator entry, Segments& taken);
  void take_all_below(std::map<Place, Tree>::iterator place, std::vector<protocol::SegmentId> roots, Segments& taken);

  std::map<Place, Tree> places_;
  Bytes bytes_;
  std::size_t size_ = 0;
};

}  // namespace minerva::conversations
