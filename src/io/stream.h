// Stream: a connected byte stream (TCP, Unix socket; TLS in tls.h). Listener and connect() make streams.
//
// Threading: the loop's thread. One read and one write may be under way at once; one coroutine awaits each. A Stream
// must not be destroyed while a coroutine awaits it: close() ends the operations with an error first.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "io/loop.h"
#include "minerva/base/clock.h"
#include "minerva/base/result.h"

namespace minerva::io {

// The result of a read: 0 bytes without an error is the end of the stream. The result of a write: all bytes, or an
// error.
struct IoResult {
  std::size_t bytes = 0;
  std::error_code error;
};

class Stream {
 public:
  virtual ~Stream() = default;

  // Tries the operation at once, and suspends only if it would block.
  class ReadOp {
   public:
    ReadOp(Stream& stream, std::span<char> buffer) : stream_(stream), buffer_(buffer) {}
    bool await_ready() { return stream_.try_read(buffer_, result_); }
    void await_suspend(std::coroutine_handle<> handle) { stream_.start_read(buffer_, result_, handle); }
    IoResult await_resume() const { return result_; }

   private:
    Stream& stream_;
    std::span<char> buffer_;
    IoResult result_;
  };
  class WriteOp {
   public:
    WriteOp(Stream& stream, std::span<std::string_view> buffers) : stream_(stream), buffers_(buffers) {}
    bool await_ready() { return stream_.try_write(buffers_, result_); }
    void await_suspend(std::coroutine_handle<> handle) { stream_.start_write(buffers_, result_, handle); }
    IoResult await_resume() const { return result_; }

   private:
    Stream& stream_;
    std::span<std::string_view> buffers_;
    IoResult result_;
  };

  // Reads at most buffer.size() bytes. Requires: the buffer is not empty, and lives until the read is done.
  ReadOp read_some(std::span<char> buffer) { return ReadOp(*this, buffer); }
  // Writes all buffers, in order. The views in `buffers` shrink as bytes go out.
  WriteOp write(std::span<std::string_view> buffers) { return WriteOp(*this, buffers); }

  // A read (write) fails with timed_out once `when` has passed, whether it is under way or starts later.
  // TimePoint::max(): never.
  virtual void set_read_deadline(TimePoint when) = 0;
  virtual void set_write_deadline(TimePoint when) = 0;

  // Calls `gone` once when the peer closes or resets the connection. Consumes no bytes. Requires: no read is under way.
  virtual void watch_peer(std::function<void()> gone) = 0;
  virtual void unwatch_peer() = 0;

  virtual void shutdown_write() = 0;
  virtual void close() = 0;
  // "127.0.0.1:51234", or "unix".
  virtual std::string peer_name() const = 0;

  // The operations above, and streams on top of this one, are made of these. true: done or failed, `result` is set.
  // false: it would block.
  virtual bool try_read(std::span<char> buffer, IoResult& result) = 0;
  virtual void start_read(std::span<char> buffer, IoResult& result, std::coroutine_handle<> waiter) = 0;
  virtual bool try_write(std::span<std::string_view>& buffers, IoResult& result) = 0;
  virtual void start_write(std::span<std::string_view> buffers, IoResult& result, std::coroutine_handle<> waiter) = 0;
};

// Where to listen or connect: "127.0.0.1:3000", "[::1]:3000", "localhost:3000" or "unix:/path".
struct Address {
  std::string host;  // empty for a Unix socket
  std::uint16_t port = 0;
  std::string unix_path;  // empty for TCP

  bool is_unix() const { return !unix_path.empty(); }
  bool is_loopback() const;  // a Unix socket, 127.0.0.0/8, ::1 or "localhost"
  bool is_wildcard() const;  // 0.0.0.0 or ::, every address of the machine
  std::string text() const;
};
// Errors: kInvalidArgument with what was expected; also for a Unix path that is too long for the system.
Result<Address> parse_address(std::string_view text);
// Whether `text` is an IPv4 or IPv6 address, without brackets.
bool is_ip_address(const std::string& text);

// Accepts connections until it is destroyed. A Unix socket is made with mode 0600 and removed at the end; a stale
// socket file that nobody answers on is replaced. When the process has no descriptors left, the listener pauses, and
// goes on once some are free.
class Listener {
 public:
  // Errors: kIo with the reason and what to do (port in use, no permission, no such folder).
  static Result<std::unique_ptr<Listener>> open(Loop& loop, const Address& address,
                                                std::function<void(std::unique_ptr<Stream>)> accepted);
  virtual ~Listener() = default;
  // The address with the real port (if port 0 was asked for).
  virtual const Address& address() const = 0;
};

// Errors: kIo.
Task<Result<std::unique_ptr<Stream>>> connect(Loop& loop, Address address, TimePoint deadline);

}  // namespace minerva::io
