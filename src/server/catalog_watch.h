// CatalogWatch: keeps the catalog equal to what the models folders hold. The next request finds a file that was just
// put there, and an unknown model is refused without reading the folders again.
//
// Threading: the loop's thread; another thread reads the folders. Ownership: what the constructor gets outlives it.
// Only one reading is under way: a caller who asks meanwhile shares the next one.
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
  // `taken` is called after each reading was taken into the catalog.
  CatalogWatch(io::Loop& loop, Catalog& catalog, ModelHost& host, std::function<void()> taken)
      : loop_(loop), catalog_(catalog), host_(host), taken_(std::move(taken)) {}

  // Reads the folders now, blocking, and watches them from then on.
  void start();
  // Reads the folders, beginning after this call. So the reading also knows options of the catalog that have just
  // changed.
  io::Task<void> refresh();
  // Reads the folders if something changed in them. Folders whose changes nobody reports (on a network's disk) are read
  // at most once a second.
  io::Task<void> refresh_if_changed();
  // Checks the files of a known model that is about to be used, so that no change before this call is missed. Where
  // nobody reports changes (the target of a link, a network's folder, a file that its writer keeps open), it looks at
  // the files, at most once a second.
  io::Task<void> check_files(ModelId model);

 private:
  // Whether something changed in the folders that no reading has taken in yet.
  bool changed() { return watch_ != nullptr && watch_->take_changes(); }
  io::Task<void> finish(std::uint64_t reading);
  io::Task<void> read();
  // Takes a reading into the catalog. true: it found new folders, which nobody watched meanwhile, so the folders have
  // to be read again.
  bool take(ScanResult result);

  io::Loop& loop_;
  Catalog& catalog_;
  ModelHost& host_;
  std::function<void()> taken_;
  std::unique_ptr<io::FolderWatch> watch_;  // null where the system has no inotify instance left
  std::set<std::string> problems_;          // of the last reading
  std::optional<TimePoint> last_begun_;
  std::uint64_t begun_ = 0;  // how many readings have begun
  std::uint64_t finished_ = 0;
  std::uint64_t wanted_ = 0;                // the number of the reading that will know all changes
  std::vector<io::Signal*> waiting_;        // callers that wait for the reading under way
  std::map<ModelId, TimePoint> looked_at_;  // when a model's files were looked at since the last reading
};

}  // namespace minerva
