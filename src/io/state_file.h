// StateFile: keeps on disk what the daemon has learned, so that a power failure in the middle of a write loses nothing.
//
// A file is one line of JSON (whose file it is, its version, its checksum), and then the content. It is written beside
// its place, synced and renamed, and only its owner can read it. A file that is damaged, truncated or of another
// version cannot be used: it is renamed to a free name, with a warning, and is never an error. A file that does not
// begin as one of Minerva's belongs to somebody else and is never replaced.
// Threading: a StateFile may be used by any thread, one at a time. A StateSaver lives on the loop's thread and writes
// on another one. Neither knows what the content means.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/files.h"
#include "io/loop.h"
#include "minerva/base/result.h"

namespace minerva::io {

class StateFile {
 public:
  struct Format {
    std::string_view name;  // "metadata"
    unsigned version;       // of the shape of the content
    std::string_view loss;  // what follows if the file is lost: "models will be inspected again"
  };
  StateFile(std::string path, Format format, Files& files = real_files())
      : path_(std::move(path)), format_(format), files_(&files) {}

  const std::string& path() const { return path_; }
  // The content; nothing if there is none that can be used. Blocks.
  std::optional<std::string> read() const;
  // Renames the file to a free name, as the caller could not use what read() returned.
  void set_aside(std::string_view why) const;
  // Writes the file completely or not at all. It is on disk when this returns. Makes the folder. Blocks. Errors: kIo,
  // also where another program's file is in the place.
  Result<void> write(std::string_view content) const;

  // wrap(): the text of a whole file that holds `content`. unwrap(): the reverse. Errors: why the text is unusable.
  static std::string wrap(const Format& format, std::string_view content);
  static Result<std::string> unwrap(const Format& format, std::string_view file);

 private:
  std::string path_;
  Format format_;
  Files* files_;
};

// Saves a content that changes: at most once each `period`, and when finish() is called. It keeps what it was given
// until that is on disk: a write that fails is tried again after each `period`, with the newest content.
// Ownership: after its destruction no write is under way or will begin. What was not on disk by then is lost (see
// finish()).
class StateSaver {
 public:
  // The content to save; nothing if it has not changed since the last call. Called on the loop's thread.
  using Content = std::function<std::optional<std::string>()>;
  StateSaver(Loop& loop, StateFile file, Duration period, Content content);
  StateSaver(const StateSaver&) = delete;
  StateSaver& operator=(const StateSaver&) = delete;
  // Waits for the write under way, if any.
  ~StateSaver();

  // The content has changed: saves it at once, or when the period since the last save is over.
  void changed();
  // Saves what has changed at once. Calls `then` on the loop's thread when what changed until now is on disk, unless
  // this StateSaver is gone by then.
  void save_now(std::function<void()> then);
  // Saves what has changed before it returns. Blocks: for an orderly end.
  void finish();

 private:
  struct Writer;
  // Whoever waits until what was given up to `given` is on disk.
  struct Waiting {
    std::uint64_t given = 0;
    std::function<void()> then;
  };
  void arm(TimePoint when);
  void save();
  void tell_waiting();

  Loop& loop_;
  Duration period_;
  Content content_;
  Timer timer_;
  bool armed_ = false;
  std::optional<TimePoint> last_;              // the time of the last save
  std::vector<std::function<void()>> asking_;  // calls of save_now() whose content was not given yet
  std::vector<Waiting> waiting_;
  std::shared_ptr<Writer> writer_;  // shared with the writes under way
};

}  // namespace minerva::io
