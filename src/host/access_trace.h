// AccessTrace: which model was asked for when, by whom and for how long, recorded for replays: `minerva policy compare`
// and tools/cachesim read it. Ids only: no prompts, no addresses, no keys. A user is a number drawn anew in
// each life of the server, 0 if he is unknown: one that follows from his key would tell whoever guesses it.
//
// In its folder (made with 0700) lie a few files (0600) of a bounded size. A file that does not begin as a trace does
// is somebody else's and stays as it is. access.csv is the newest; full, it becomes access.1.csv, that one
// access.2.csv, and the oldest goes. A line is added when a lease ended, so lines are not in the order of their
// arrivals. Nothing waits for the disk: a loss of power costs the newest lines. A full file is synced before its name
// changes.
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

// The use of a model by one lease, which has ended.
struct Access {
  ModelId model;
  UserId user{};
  TimePoint arrival;   // of the request
  Duration service{};  // from the grant to the release
};

// The files. Blocks; any one thread at a time.
class AccessFiles {
 public:
  struct Limits {
    Bytes file = Bytes::mib(4);  // with all files, what a trace may have (tools/cachesim/trace.cc)
    unsigned files = 4;
  };
  AccessFiles(std::string folder, Limits limits, io::Files& files = io::real_files())
      : folder_(std::move(folder)), limits_(limits), files_(files) {}

  // Adds whole lines, all or none. What a process that died wrote of a line is removed first. Errors: kIo; the next
  // call begins anew.
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

// Threading: the loop's thread, which never waits for the disk. A disk that fails or does not follow costs lines, and
// one warning in the log.
class AccessTrace {
 public:
  AccessTrace(io::Loop& loop, std::string folder, AccessFiles::Limits limits = {}, io::Files& files = io::real_files());
  // Writes what is not written yet.
  ~AccessTrace();

  void record(const Access& access);

 private:
  struct Writer;
  std::uint32_t number_of(UserId user);

  io::Loop& loop_;
  std::map<UserId, std::uint32_t> numbers_;  // as many as there are keys
  std::shared_ptr<Writer> writer_;           // shared with the thread that writes
};

}  // namespace minerva
