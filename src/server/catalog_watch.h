// CatalogWatch: keeps the catalog what the models folders hold, so that a file that was just put there is found by the
// next request, and one that is unknown is refused without reading the folders again.
//
// Threading: the loop's thread; folders are read on another one. Ownership: what it is given outlives it.
// One reading at a time: who asks while one is under way shares the next.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "catalog/catalog.h"
#include "host/model_host.h"
#include "io/folder_watch.h"
#include "io/loop.h"

namespace minerva {

class CatalogWatch {
 public:
  // `taken` is called after each reading.
  CatalogWatch(io::Loop& loop, Catalog& catalog, ModelHost& host, std::function<void()> taken)
      : loop_(loop), catalog_(catalog), host_(host), taken_(std::move(taken)) {}

  // Reads the folders now, blocking, and watches them from then on.
  void start();
  // Reads the folders, beginning after this call: also with options of the catalog that have just changed.
  io::Task<void> refresh();
  // The same if something changed in them. Folders that nobody tells about changes of (a network's) are read at most
  // once a second.
  io::Task<void> refresh_if_changed();
  // The same for a known model that is about to be used: nothing that was done to its files before this call is missed.
  // Where nobody tells about changes (what a link points to, a network's folder, a file that its writer keeps open),
  // its files are looked at, at most once a second.
  io::Task<void> check_files(ModelId model);

 private:
  // Whether something changed in the folders that is not being taken in yet.
  bool changed() { return watch_ != nullptr && watch_->take_changes(); }
  io::Task<void> finish(std::uint64_t reading);
  io::Task<void> read();
  // True if there are folders in it that are new, so that they are to be read again: nobody watched them meanwhile.
  bool take(ScanResult result);

  io::Loop& loop_;
  Catalog& catalog_;
  ModelHost& host_;
  std::function<void()> taken_;
  std::unique_ptr<io::FolderWatch> watch_;  // null where the system has no inotify instance left
  std::set<std::string> problems_;          // of the last reading
  std::optional<TimePoint> last_begun_;
  std::uint64_t begun_ = 0;  // readings so far
  std::uint64_t finished_ = 0;
  std::uint64_t wanted_ = 0;                // the reading that knows all that is known to have changed
  std::vector<io::Signal*> waiting_;        // for the reading under way
  std::map<ModelId, TimePoint> looked_at_;  // a model's files, since the last reading
};

}  // namespace minerva
