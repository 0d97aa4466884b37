#include "conversations/segment_table.h"

#include <algorithm>
#include <iterator>
#include <queue>
#include <set>
#include <tuple>
#include <utility>

namespace minerva::conversations {

using protocol::SegmentId;

SegmentTable::Segments SegmentTable::load(Segments found) {
  // By place and parent. What is reached from the roots has all of its parents; files of somebody else may name each
  // other in circles.
  std::map<std::pair<Place, SegmentId>, std::vector<std::size_t>> children;
  for (std::size_t i = 0; i < found.size(); ++i) {
    children[{found[i].place, found[i].segment.name.parent}].push_back(i);
  }
  std::vector<std::size_t> reached;
  std::vector<bool> taken(found.size());
  for (const auto& [parent, its] : children) {
    if (parent.second.is_none()) reached.insert(reached.end(), its.begin(), its.end());
  }
  for (std::size_t next = 0; next < reached.size(); ++next) {
    const PlacedSegment& segment = found[reached[next]];
    Tree& tree = places_[segment.place];
    if (tree.contains(segment.segment.name.id)) continue;  // the same id once more, with other numbers
    taken[reached[next]] = true;
    insert(tree, segment.segment);
    const auto its = children.find({segment.place, segment.segment.name.id});
    if (its != children.end()) reached.insert(reached.end(), its->second.begin(), its->second.end());
  }
  Segments rest;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!taken[i]) rest.push_back(std::move(found[i]));
  }
  return rest;
}

bool SegmentTable::add(const Place& place, const Segment& segment) {
  const auto known = places_.find(place);
  const bool has_parent =
      segment.name.parent.is_none() || (known != places_.end() && known->second.contains(segment.name.parent));
  if (!has_parent) return false;
  Tree& tree = places_[place];
  const auto same = tree.find(segment.name.id);
  if (same == tree.end()) {
    insert(tree, segment);
    return true;
  }
  Segment& replaced = same->second.segment;
  if (protocol::to_text(replaced.name) != protocol::to_text(segment.name)) return false;
  bytes_ = bytes_ - replaced.bytes + segment.bytes;
  replaced.bytes = segment.bytes;
  touch_parents(tree, segment.name.id, segment.used);
  return true;
}

void SegmentTable::insert(Tree& tree, const Segment& segment) {
  tree.emplace(segment.name.id, Entry{segment});
  const auto parent = tree.find(segment.name.parent);
  if (parent != tree.end()) ++parent->second.children;
  touch_parents(tree, segment.name.parent, segment.used);
  bytes_ += segment.bytes;
  ++size_;
}

// Ends where a parent was used as lately: then its own parents were, too.
void SegmentTable::touch_parents(Tree& tree, SegmentId parent, WallTime used) {
  for (auto it = tree.find(parent); it != tree.end() && it->second.segment.used < used;
       it = tree.find(it->second.segment.name.parent)) {
    it->second.segment.used = used;
  }
}

bool SegmentTable::contains(const Place& place, SegmentId id) const {
  const auto found = places_.find(place);
  return found != places_.end() && found->second.contains(id);
}

std::optional<Segment> SegmentTable::touch(const Place& place, SegmentId id, WallTime now) {
  if (!contains(place, id)) return std::nullopt;
  Tree& tree = places_.at(place);
  touch_parents(tree, id, now);
  return tree.at(id).segment;
}

void SegmentTable::forget_later_uses(WallTime now) {
  for (auto& [place, tree] : places_) {
    for (auto& [id, entry] : tree) entry.segment.used = std::min(entry.segment.used, now);
  }
}

void SegmentTable::take(std::map<Place, Tree>::iterator place, Tree::iterator entry, Segments& taken) {
  const Segment segment = entry->second.segment;
  place->second.erase(entry);
  const auto parent = place->second.find(segment.name.parent);
  if (parent != place->second.end()) --parent->second.children;
  bytes_ -= segment.bytes;
  --size_;
  taken.push_back({place->first, segment});
}

void SegmentTable::take_all_below(std::map<Place, Tree>::iterator place, std::vector<SegmentId> roots,
                                  Segments& taken) {
  std::multimap<SegmentId, SegmentId> children;
  for (const auto& [id, entry] : place->second) children.emplace(entry.segment.name.parent, id);
  for (std::size_t next = 0; next < roots.size(); ++next) {
    const auto [begin, end] = children.equal_range(roots[next]);
    std::transform(begin, end, std::back_inserter(roots), [](const auto& child) { return child.second; });
  }
  for (auto id = roots.rbegin(); id != roots.rend(); ++id) {
    const auto entry = place->second.find(*id);
    if (entry != place->second.end()) take(place, entry, taken);
  }
  if (place->second.empty()) places_.erase(place);
}

SegmentTable::Segments SegmentTable::take_tree(const Place& place, SegmentId id) {
  Segments taken;
  const auto found = places_.find(place);
  if (found != places_.end()) take_all_below(found, {id}, taken);
  return taken;
}

SegmentTable::Segments SegmentTable::take_if(const std::function<bool(const Place&)>& matches) {
  Segments taken;
  for (auto next = places_.begin(); next != places_.end();) {
    const auto place = next++;
    if (matches(place->first)) take_all_below(place, {SegmentId{}}, taken);
  }
  return taken;
}

SegmentTable::Segments SegmentTable::take_unused_since(WallTime when) {
  Segments taken;
  for (auto next = places_.begin(); next != places_.end();) {
    const auto place = next++;
    // A parent was used at least as lately as its children. So what is below an old segment is old.
    std::vector<SegmentId> old;
    for (const auto& [id, entry] : place->second) {
      const auto parent = place->second.find(entry.segment.name.parent);
      const bool is_top = parent == place->second.end() || parent->second.segment.used >= when;
      if (entry.segment.used < when && is_top) old.push_back(id);
    }
    if (!old.empty()) take_all_below(place, std::move(old), taken);
  }
  return taken;
}

SegmentTable::Segments SegmentTable::take_worst(Bytes most, WallTime now,
                                                const std::function<double(const std::string& folder)>& cost_of_token) {
  struct Leaf {
    double worth;
    WallTime used;
    std::map<Place, Tree>::iterator place;
    SegmentId id;
    bool operator>(const Leaf& other) const { return std::tie(worth, used) > std::tie(other.worth, other.used); }
  };
  struct Tenant {
    Bytes bytes;
    std::priority_queue<Leaf, std::vector<Leaf>, std::greater<>> leaves;
  };
  std::map<std::string, Tenant> tenants;
  Segments taken;
  if (bytes_ <= most) return taken;
  const auto consider = [&](std::map<Place, Tree>::iterator place, const Segment& segment, double cost) {
    const auto age = std::max<double>(1, std::chrono::duration<double>(now - segment.used).count());
    // A segment without tokens of its own has the state at an end: without it, all tokens up to there are read again.
    const double tokens = segment.name.from == segment.name.to ? segment.name.to : segment.name.to - segment.name.from;
    const double bytes = static_cast<double>(std::max<std::uint64_t>(1, segment.bytes.count()));
    tenants[place->first.tenant].leaves.push({cost * tokens / bytes / age, segment.used, place, segment.name.id});
  };
  std::map<std::string, double> costs;
  for (auto place = places_.begin(); place != places_.end(); ++place) {
    const double cost = costs.try_emplace(place->first.folder, cost_of_token(place->first.folder)).first->second;
    for (const auto& [id, entry] : place->second) {
      tenants[place->first.tenant].bytes += entry.segment.bytes;
      if (entry.children == 0) consider(place, entry.segment, cost);
    }
  }
  const Bytes share(tenants.empty() ? 0 : most.count() / tenants.size());
  while (bytes_ > most) {
    Tenant* loser = nullptr;
    for (auto& [name, tenant] : tenants) {
      if (tenant.leaves.empty() || (tenant.bytes <= share && tenant.leaves.top().worth > 0)) continue;
      if (loser == nullptr || loser->leaves.top() > tenant.leaves.top()) loser = &tenant;
    }
    if (loser == nullptr) break;
    const Leaf worst = loser->leaves.top();
    loser->leaves.pop();
    take(worst.place, worst.place->second.find(worst.id), taken);
    loser->bytes -= taken.back().segment.bytes;
    const auto parent = worst.place->second.find(taken.back().segment.name.parent);
    if (parent == worst.place->second.end() || parent->second.children > 0) continue;
    consider(worst.place, parent->second.segment, costs[worst.place->first.folder]);
  }
  std::erase_if(places_, [](const auto& place) { return place.second.empty(); });
  return taken;
}

std::map<Place, SegmentTable::Sum> SegmentTable::sums() const {
  std::map<Place, Sum> sums;
  for (const auto& [place, tree] : places_) {
    Sum& sum = sums[place];
    sum.segments = tree.size();
    for (const auto& [id, entry] : tree) {
      sum.bytes += entry.segment.bytes;
      sum.used = std::max(sum.used, entry.segment.used);
    }
  }
  return sums;
}

}  // namespace minerva::conversations
