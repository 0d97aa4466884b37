// HTTP/1.1 over a Stream: both ends. Parsing is Beast's; this hides it.
//
// Threading: the loop's thread. Views returned by read_body are valid until the next call on the same connection.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/stream.h"
#include "io/task.h"
#include "minerva/base/bytes.h"
#include "minerva/base/result.h"

namespace minerva::io {

struct HeaderField {
  std::string name;
  std::string value;
};

// In the order they came. Names compare without case.
class Headers {
 public:
  void add(std::string name, std::string value) { fields_.push_back({std::move(name), std::move(value)}); }
  // Replaces every field of that name.
  void set(std::string_view name, std::string value);
  void remove(std::string_view name);
  template <typename Predicate>  // of the name
  void remove_if(Predicate goes) {
    std::erase_if(fields_, [&](const HeaderField& field) { return goes(std::string_view(field.name)); });
  }
  // The first one's value, or nullptr.
  const std::string* find(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<HeaderField> fields_;
};

bool equal_ignoring_case(std::string_view a, std::string_view b);

struct RequestHead {
  std::string method;
  std::string target;  // as it came: path and query
  Headers headers;     // without those that frame the message (Content-Length, Transfer-Encoding, Connection, ...)
  std::optional<std::uint64_t> content_length;  // of the body, if told ahead
  bool chunked = false;
  bool keep_alive = true;
  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
};

struct ResponseHead {
  int status = 200;
  Headers headers;  // without those that frame the message
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;
};

struct HttpLimits {
  std::size_t max_head = 32 * 1024;                  // bytes of the request line and all header fields
  std::size_t max_headers = 100;                     // fields
  Duration head_timeout = std::chrono::seconds(10);  // from the first byte to the end of the head
  Duration idle_timeout = std::chrono::seconds(75);  // between requests
  // Without a byte of the body; and for each 64 KiB of it, so that a trickle of bytes ends too.
  Duration body_timeout = std::chrono::seconds(30);
  Duration write_timeout = std::chrono::seconds(60);  // without taking a byte of the answer
};

// The server's end of one connection.
class HttpServerConnection {
 public:
  HttpServerConnection(std::unique_ptr<Stream> stream, const HttpLimits& limits);
  ~HttpServerConnection();

  // The next request; nothing when the peer closed between requests or stayed idle.
  // Errors: kInvalidArgument (malformed), kHeadersTooLarge, kTimeout; kCancelled when the peer went away inside it.
  // After an error the connection can only be answered once and closed.
  Task<Result<std::optional<RequestHead>>> read_request();
  // The next piece of the body, empty at its end. Sends "100 Continue" first if the client waits for it.
  // Errors: kInvalidArgument (bad framing), kTimeout, kCancelled.
  Task<Result<std::string_view>> read_body();
  bool body_done() const;

  // Every answer carries a Date. This adds to the answer of the request read last, whoever makes it.
  void add_to_answer(std::string name, std::string value);
  // A whole answer. false: the peer is gone.
  Task<bool> respond(ResponseHead head, std::string_view body);
  // An answer in pieces: start(), send()*, finish(). With head.content_length unset it is sent chunked (or, to a client
  // of HTTP/1.0, until close).
  Task<bool> start(ResponseHead head);
  Task<bool> send(std::string_view piece);  // an empty piece sends nothing
  Task<bool> finish();
  // Head and first piece in one write.
  Task<bool> start_with(ResponseHead head, std::string_view piece);
  bool started() const;

  // If so, the calls above do not wait for the peer: what it does not take at once is kept until flush() sends it. How
  // much that becomes is the caller's to bound. Requires: nothing is kept when it ends.
  void keep_unsent(bool on);
  // Bytes that are kept, or on their way by flush().
  std::size_t unsent() const;
  // Sends what is kept, and what is added meanwhile; `progressed` is called after each part. Requires: no other one is
  // under way. false: the peer is gone.
  Task<bool> flush(std::function<void()> progressed);

  // The answer is complete and the connection may carry another request.
  bool reusable() const;
  // No read of this request's body lasts beyond `when`, one under way included: it ends with kTimeout.
  void limit_reads(TimePoint when);
  // No write of this answer lasts beyond `when`, one under way included.
  void limit_writes(TimePoint when);
  // The peer went away while its request is being worked on: `gone` is called once. Only after the body was read.
  void watch_peer(std::function<void()> gone);
  void unwatch_peer();
  // Ends the connection so that the client sees a broken answer (not a complete one).
  void abort();
  void close();
  // Before close(), when the request was not read to its end: lets the peer read the answer instead of a reset.
  Task<void> linger();
  std::string peer_name() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The client's end of one connection.
class HttpClientConnection {
 public:
  explicit HttpClientConnection(std::unique_ptr<Stream> stream);
  ~HttpClientConnection();

  // Sends the head and what there is of the body in one write. With head.content_length (or chunked) set, the rest of
  // the body follows by send_body(); finish_body() ends a chunked one. false: the connection broke; an answer may
  // still be there to read.
  Task<bool> send_request(const RequestHead& head, std::string_view body);
  Task<bool> send_body(std::string_view piece);
  Task<bool> finish_body();
  // Errors: kIo when the connection ended or broke first.
  Task<Result<ResponseHead>> read_response();
  // The next piece, empty at the end. Errors: kIo when it ended too early.
  Task<Result<std::string_view>> read_body();
  // What is already there of the body without waiting: lets a small answer go out in one write.
  bool body_done() const;

  // The answer was read to its end and the peer keeps the connection open.
  bool reusable() const;
  // Requests carried so far.
  unsigned requests() const;
  // Ends every operation under way with an error, e.g. when the client went away.
  void close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Now, as a Date field has it: "Sun, 29 Nov 2026 07:39:23 GMT". Valid until the next call.
std::string_view http_date();

// The reason phrase of a status: 404 -> "Not Found".
std::string_view reason_phrase(int status);

}  // namespace minerva::io
