// Store: the segments of conversations on disk. It makes their files, gives them their names, counts them, and removes
// them: by age, by a budget of bytes, by tenant, by model, and all.
//
//   ROOT/MODEL.SEED/TENANT/ID-PARENT-FROM-TO     (folder_name.h, protocol/conversations.h)
// Folders have mode 0700 and files 0600. A file has its name only once an engine has written it and it is synced. Names
// of another form are somebody else's: they stay, and are not counted.
// A disk that fails costs what would have been saved: one warning, and new tries from time to time.
// Threading: the loop's thread; the disk is used on other threads. Callbacks come on the loop's thread, never inside
// the call that takes them. Ownership: the Loop outlives it. It does not know engines, nor what is in a file.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "conversations/disk.h"
#include "conversations/segment_table.h"
#include "io/descriptor.h"
#include "io/files.h"
#include "io/loop.h"
#include "minerva/base/ids.h"
#include "protocol/conversations.h"

namespace minerva::conversations {

class Store {
 public:
  struct Settings {
    // The most that all segments may take. `room`: what is free on the file system, and what the segments take now.
    std::function<Bytes(Bytes room)> budget;
    Duration max_age{};             // since the last use
    std::set<std::string> tenants;  // that there are; the segments of others are removed
  };
  // Counts since the start.
  struct Counts {
    std::uint64_t saved_segments = 0;
    Bytes saved;
    std::uint64_t restored_prompts = 0;
    std::uint64_t restored_tokens = 0;
    Duration time_saved{};       // compared to reading the tokens again, as far as engines say so
    std::uint64_t unusable = 0;  // files that an engine has refused
    std::uint64_t failed = 0;    // segments that could not be kept
  };

  // `root`: the folder of all conversations; made when the first file is kept.
  // `cost_of_token`: what reading a token costs with a model, in any unit; 0: there is no such model.
  Store(io::Loop& loop, std::string root, std::function<double(const ModelId&)> cost_of_token,
        io::Files& files = io::real_files());
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Reads what is there first. nullopt: nothing is kept, and what is there is removed.
  void apply(std::optional<Settings> settings);
  bool enabled() const { return settings_.has_value(); }

  // Makes the folder of the model's conversations, and calls `done` with its path; with "" if nothing can be kept
  // there. `files`: of the model. `meaning`: as seed_of() takes it.
  void prepare(const ModelId& model, std::vector<std::string> files, std::string meaning,
               std::function<void(std::string folder)> done);
  // A file for an engine to write in; it goes unless keep() gets it. `folder`: from prepare().
  struct MadeFile {
    std::shared_ptr<NewFile> file;  // nullptr: none can be made
    bool never = false;             // the folder is gone, or nothing is kept: only another engine can save again
  };
  void make_file(const std::string& folder, std::function<void(MadeFile)> done);
  // Keeps a file that an engine has written. `done`: whether it has its name now; otherwise it never will have it.
  void keep(const std::string& folder, std::shared_ptr<NewFile> file, const std::string& tenant,
            const protocol::SegmentName& name, std::function<void(bool kept)> done);
  // An engine could not write in a file, or waits for the disk too long.
  void note_failure(const std::string& why);
  // Why nothing can be saved at present; empty: it can, as far as is known.
  const std::string& failure() const { return failure_; }
  // Whether the disk has not answered for so long that nobody should wait for it.
  bool is_stuck() const;
  struct Restored {
    std::uint64_t tokens = 0;
    Duration time_saved{};
  };
  void used(const std::string& folder, const std::string& tenant, protocol::SegmentId id, Restored restored);
  // An engine could not use the file: it is removed, with all that follows it.
  void unusable(const std::string& folder, const std::string& tenant, protocol::SegmentId id);

  // Removes what matches; an empty model or tenant matches all. Returns how much that is. Files that are being kept are
  // not kept. Before is_read() what is on disk is removed as soon as it is known, and not counted. `then`, which may be
  // null: they are gone, or why some are still there, which are counted again.
  SegmentTable::Sum clear(const ModelId& model, const std::string& tenant,
                          std::function<void(std::string why_not)> then = nullptr);
  // Whether what was on disk at the start is known.
  bool is_read() const { return was_read_; }
  // What there is of each model, of one tenant or ("") of all.
  std::map<ModelId, SegmentTable::Sum> sums(const std::string& tenant) const;
  Bytes bytes() const { return table_.bytes(); }
  std::size_t segments() const { return table_.size(); }
  Bytes budget() const { return budget_; }
  const Counts& counts() const { return counts_; }

  // Waits until the files that are being kept have their names, and removed ones are gone. Blocks: for an orderly end.
  void finish();

 private:
  class DiskQueue;

  // Each of these is done when the ones before are, so that a file is never removed behind a later one of its name.
  template <typename Made>
  void on_disk(std::function<Made()> work, std::function<void(Made)> then);
  std::shared_ptr<NewFile> closed_by_queue(NewFile file);
  void take_found(FoundOnDisk found);
  void enforce();
  void remove(const SegmentTable::Segments& segments, std::function<void(std::string why_not)> then = nullptr);
  void put_back(const SegmentTable::Segments& segments, const NotRemoved& left);
  double worth_of_token(const std::string& folder) const;
  void look_at_disk();
  // Whether it is kept.
  bool kept(const PlacedSegment& segment, std::uint64_t keeping, int error);
  void folder_gone(const std::string& folder);
  // Files at these places that are on their way to the disk are not kept.
  void stop_keeping(const std::function<bool(const Place&)>& matches);
  Place place(const std::string& folder, const std::string& tenant) const;
  std::string path_of(const Place& place, const protocol::SegmentName& name) const;

  io::Loop& loop_;
  std::string root_;
  std::function<double(const ModelId&)> cost_of_token_;
  io::Files& files_;
  std::optional<Settings> settings_;
  bool was_read_ = false;  // what is on disk is in the table
  bool reading_ = false;
  SegmentTable table_;
  Bytes room_;  // what was free and what the segments took, when the disk was looked at
  Bytes budget_;
  Counts counts_;
  std::map<std::uint64_t, Place> keeping_;  // the segments that are on their way to the disk
  std::uint64_t last_keeping_ = 0;
  std::map<ModelId, std::string> current_;                     // the names of the folders that prepare() has given last
  std::vector<std::pair<ModelId, std::string>> early_clears_;  // before is_read(): model and tenant, as for clear()
  std::string failure_;                                        // why the disk fails
  std::optional<TimePoint> next_try_;                          // set while the disk fails
  io::Timer timer_;
  std::shared_ptr<DiskQueue> queue_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace minerva::conversations
