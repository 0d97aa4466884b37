// AccessTrace: records which model was asked for when, by whom and for how long, so that the requests can be replayed
// by `minerva policy compare` and tools/cachesim. It records ids only: no prompts, no addresses, no keys. A user is a
// number that each life of the server draws anew, or 0 if the user is unknown: a number computed from the key would
// let anybody check a guess of the key.
//
// The folder has the mode 0700 and holds a few files (0600) of a bounded size. The newest is access.csv. When it is
// full it is renamed to access.1.csv, that one to access.2.csv, and so on; the oldest is removed. A file that does not
// begin as a trace does belongs to somebody else and is never touched. A line is added when a lease ends, so the lines
// are not in the order of arrival. Nothing waits for the disk: a SIGKILL costs the lines of the last moment, and a loss
// of power the newest lines. A full file is synced before it is renamed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "io/files.h"
#include "io/loop.h"
#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"
#include "minerva/base/ids.h"
#include "minerva/base/result.h"

namespace minerva {

// One lease that has ended, and the model it used.
struct Access {
  ModelId model;
  UserId user{};
  TimePoint arrival;   // when the request arrived
  Duration service{};  // from the grant to the release
};

// The trace's files. Its functions block; one thread at a time.
class AccessFiles {
 public:
  struct Limits {
    Bytes file = Bytes::mib(4);  // all files together stay within what a trace may have (tools/cachesim/trace.cc)
    unsigned files = 4;
  };
  AccessFiles(std::string folder, Limits limits, io::Files& files = io::real_files())
      : folder_(std::move(folder)), limits_(limits), files_(files) {}

  // Adds whole lines, all or none. If a process died in the middle of a line, that part is removed first.
  // Errors: kIo; the next call then opens the file again.
  Result<void> append(std::string_view lines);

 private:
  Result<void> open();
  Result<void> rotate();
  Result<void> write(std::string_view text);
  std::string path(unsigned age) const;

  std::string folder_;
  Limits limits_;
  io::Files& files_;
  io::Descriptor file_;
  std::uint64_t size_ = 0;
};

// Threading: the loop's thread, which never waits for the disk. When the disk fails or is too slow, lines are lost and
// the log has one warning.
class AccessTrace {
 public:
  AccessTrace(io::Loop& loop, std::string folder, AccessFiles::Limits limits = {}, io::Files& files = io::real_files());
  // Writes the lines that are still pending.
  ~AccessTrace();

  void record(const Access& access);

 private:
  struct Writer;
  std::uint32_t number_of(UserId user);
  void write_soon();

  io::Loop& loop_;
  std::map<UserId, std::uint32_t> numbers_;  // one number for each key that was used
  std::shared_ptr<Writer> writer_;           // shared with the writing thread
  io::Timer timer_;
  bool scheduled_ = false;  // the timer is armed, or a thread is writing
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

}  // namespace minerva
