// FolderWatch: tells that something in one of some folders has changed (inotify).
//
// Threading: the loop's thread. Ownership: the Loop outlives it.
// It does not look below its folders, and does not learn of what another machine does to a network file system.
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
    kAny,      // files and folders that come, go or were written
    kWritten,  // files that were written to their end or moved here: not one that was only begun
  };
  // `changed` is called when a moment has passed since the last change: once for many at a time.
  // Errors: kIo when the system gives no inotify instance.
  static Result<std::unique_ptr<FolderWatch>> open(Loop& loop, Notice notice, std::function<void()> changed);

  virtual ~FolderWatch() = default;
  // These folders from now on, and no others. Returns those that were not watched before: what happened in them until
  // now is unknown. A folder that cannot be watched is left out, with a warning the first time.
  virtual std::vector<std::string> watch(const std::vector<std::string>& folders) = 0;
  // Whether something changed that neither `changed` nor this has told of, up to this very moment.
  virtual bool take_changes() = 0;
};

}  // namespace minerva::io
