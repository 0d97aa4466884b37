// Process: a child process with pipes on its standard streams, in a process group of its own. Its stdin may be a socket
// instead, on which it can answer.
//
// Threading: the loop's thread, which must live as long as the child is meant to (PR_SET_PDEATHSIG is per thread).
// Ownership: destroying a Process kills its group and calls nobody back. It is reaped once it has ended, by the loop,
// which does not wait for one that the kernel holds; at the latest when the loop goes.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/loop.h"
#include "minerva/base/result.h"

namespace minerva::io {

struct ProcessSpec {
  std::vector<std::string> argv;         // argv[0]: the program's path
  std::vector<std::string> environment;  // "NAME=value", the whole of it
  std::string working_directory;         // empty: as here
  bool stdin_is_socket = false;          // of a pair (a stream), on which it may write as well
  bool idle = false;                     // gets the processor and the disk when nobody else wants them
};

struct ExitStatus {
  int code = 0;    // when signal is 0
  int signal = 0;  // the signal that ended it, 0 if it exited
  // "exit code 1", "killed by signal 11 (Segmentation fault)".
  std::string text() const;
};

class Process {
 public:
  struct Handlers {
    // Whole lines without the newline; one longer than 64 KiB comes in parts.
    std::function<void(std::string_view line)> on_stdout;
    std::function<void(std::string_view line)> on_stderr;
    // Once, after the process was reaped and what it had written was delivered (a grandchild that keeps the pipe open
    // does not hold this back). The Process may be destroyed inside.
    std::function<void(ExitStatus)> on_exit;
    // As on_stdout: what it writes on its stdin, where that is a socket.
    std::function<void(std::string_view line)> on_stdin;
  };
  // Every descriptor but 0, 1 and 2 is closed in the child. Errors: kIo with the reason.
  static Result<std::unique_ptr<Process>> spawn(Loop& loop, const ProcessSpec& spec, Handlers handlers);

  virtual ~Process() = default;
  virtual pid_t pid() const = 0;
  // Queued, never blocks; dropped when the child no longer reads.
  virtual void write_stdin(std::string_view text) = 0;
  // It reads the end of its stdin once it has read what was queued. What it writes there still comes.
  virtual void close_stdin() = 0;
  // Calls on_stdin, inside, for what it has written there until now. Lines of two streams come in no order otherwise:
  // this makes sure of what was said on stdin before a line that came on another one.
  virtual void read_stdin() = 0;
  // Blocks until it has ended, `most` at most, and tells nobody: for who ends with the loop.
  virtual void await_end(Duration most) = 0;
  // To the whole group. No effect once it was reaped.
  virtual void signal_group(int signal) = 0;
};

}  // namespace minerva::io
