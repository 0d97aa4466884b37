// Process: a child process in a process group of its own, with pipes on its standard streams. Its stdin may be a socket
// instead, on which the child can answer.
//
// Threading: the loop's thread. That thread must live as long as the child should (PR_SET_PDEATHSIG is per thread).
// Ownership: when a Process is destroyed, it kills the group and calls nobody back. The loop reaps the child once it
// has ended. The loop does not wait for a child that the kernel holds; it waits at most a moment when the loop itself
// ends.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/descriptor.h"
#include "io/loop.h"
#include "minerva/base/result.h"

namespace minerva::io {

struct ProcessSpec {
  std::vector<std::string> argv;         // argv[0] is the program's path
  std::vector<std::string> environment;  // "NAME=value"; this is the whole environment
  std::string working_directory;         // empty: the one of this process
  bool stdin_is_socket = false;          // one end of a pair of stream sockets, on which the child may write too
  bool idle = false;                     // the child gets the processor and the disk when nobody else wants them
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
    // Whole lines without the newline. A line longer than 64 KiB comes in parts.
    std::function<void(std::string_view line)> on_stdout;
    std::function<void(std::string_view line)> on_stderr;
    // Called once, after the process was reaped and its output was delivered. A grandchild that keeps the pipe open
    // does not delay this. The handler may destroy the Process.
    std::function<void(ExitStatus)> on_exit;
    // As on_stdout, for what the child writes on its stdin, where stdin is a socket.
    std::function<void(std::string_view line)> on_stdin;
  };
  // Every descriptor but 0, 1 and 2 is closed in the child. Errors: kIo with the reason.
  static Result<std::unique_ptr<Process>> spawn(Loop& loop, const ProcessSpec& spec, Handlers handlers);

  virtual ~Process() = default;
  virtual pid_t pid() const = 0;
  // Queues the text and never blocks. The text is dropped if the child no longer reads.
  virtual void write_stdin(std::string_view text) = 0;
  // The same, and passes an open file on with the first byte of `text` (SCM_RIGHTS). Requires: stdin is a socket.
  virtual void write_stdin(std::string_view text, Descriptor file) = 0;
  // The child reads the end of its stdin after the queued text. What the child writes on that socket still comes.
  virtual void close_stdin() = 0;
  // Calls on_stdin, inside this call, for what the child has written on its stdin until now. Lines of two streams have
  // no order otherwise: a caller that got a line on another stream can get the earlier lines of stdin first.
  virtual void read_stdin() = 0;
  // Blocks until the child has ended, at most for `most`. Calls no handler. For a caller that ends together with the
  // loop.
  virtual void await_end(Duration most) = 0;
  // Sends a signal to the whole group. No effect once the child was reaped.
  virtual void signal_group(int signal) = 0;
};

}  // namespace minerva::io
