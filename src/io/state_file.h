// StateFile: what the daemon has learned, on disk, so that losing power in the middle of a write costs nothing.
//
// A file is a line of JSON that says whose it is, in which version and with which checksum, and then the content. It is
// written beside its place, synced and renamed, for its owner's eyes only. A file that is damaged,
// truncated or of another version cannot be used: it is set aside under a name that is free, with a warning, and never
// a failure. A file that does not begin as one of Minerva's is somebody else's: it is never replaced. Threading: a
// StateFile may be used by any thread, one at a time. A StateSaver lives on the loop's thread; it writes on another
// one. It does not know what the content means.
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
    unsigned version;       // of the content's shape
    std::string_view loss;  // what is so without it: "models will be inspected again"
  };
  StateFile(std::string path, Format format, Files& files = real_files())
      : path_(std::move(path)), format_(format), files_(&files) {}

  const std::string& path() const { return path_; }
  // The content; nothing if there is none that can be used. Blocks.
  std::optional<std::string> read() const;
  // The caller could not make sense of what read() said.
  void set_aside(std::string_view why) const;
  // Complete or not at all; on disk when it returns. Makes the folder. Blocks. Errors: kIo, also where there is a file
  // that is not Minerva's.
  Result<void> write(std::string_view content) const;

  // The whole file that holds `content`, and the other way round. Errors: why it is unusable.
  static std::string wrap(const Format& format, std::string_view content);
  static Result<std::string> unwrap(const Format& format, std::string_view file);

 private:
  std::string path_;
  Format format_;
  Files* files_;
};

// Saves what changes, once for many changes: at most each `period`, and when it is told to. What it was given is its
// own until it is on disk: a write that fails is tried again, each `period`, with the newest there is.
// Ownership: when it goes, no write is under way or to come; what was not on disk by then never will be (see finish()).
class StateSaver {
 public:
  // `content` is called on the loop's thread; nothing: it is as it was given last.
  using Content = std::function<std::optional<std::string>()>;
  StateSaver(Loop& loop, StateFile file, Duration period, Content content);
  StateSaver(const StateSaver&) = delete;
  StateSaver& operator=(const StateSaver&) = delete;
  // Waits for the write under way, if any.
  ~StateSaver();

  // To be saved, at once or when the period since the last time is over.
  void changed();
  // To be saved at once; `then` is called on the loop's thread when what changed until now is on disk, unless this is
  // gone by then.
  void save_now(std::function<void()> then);
  // What changed is on disk when it returns. Blocks: for an orderly end.
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
  std::optional<TimePoint> last_;              // it was saved
  std::vector<std::function<void()>> asking_;  // of save_now(), whose content was not given yet
  std::vector<Waiting> waiting_;
  std::shared_ptr<Writer> writer_;  // shared with the writes under way
};

}  // namespace minerva::io
