// FolderWatch: reports that something in one of several folders has changed (inotify).
//
// Threading: the loop's thread. Ownership: the Loop outlives it.
// It does not look into subfolders. It does not learn of changes that another machine makes to a network file system.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/loop.h"
#include "minerva/base/result.h"

namespace minerva::io {

class FolderWatch {
 public:
  enum class Notice {
    kAny,      // files and folders that appear, disappear or were written
    kWritten,  // files that were written to their end or moved here; not a file that was only begun
  };
  // `changed` is called a moment after the last change, so that many changes are one call.
  // Errors: kIo when the system gives no inotify instance.
  static Result<std::unique_ptr<FolderWatch>> open(Loop& loop, Notice notice, std::function<void()> changed);

  virtual ~FolderWatch() = default;
  // Watches these folders from now on, and no others. Returns the folders that were not watched before: their earlier
  // changes are unknown. A folder that cannot be watched is left out, with a warning the first time.
  virtual std::vector<std::string> watch(const std::vector<std::string>& folders) = 0;
  // Whether something has changed up to this very moment that neither `changed` nor an earlier call has reported.
  virtual bool take_changes() = 0;
};

}  // namespace minerva::io
