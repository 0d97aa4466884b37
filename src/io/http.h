// HTTP/1.1 over a Stream, both ends of it. Beast does the parsing; this header hides Beast.
//
// Threading: the loop's thread. A view that read_body() returned is valid until the next call on the same connection.
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

// The fields of a head, in the order in which they came. Names compare without case.
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
  // The value of the first field of that name, or nullptr.
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
  std::string target;  // path and query, as they came
  Headers headers;     // without the fields that frame the message (Content-Length, Transfer-Encoding, Connection, ...)
  std::optional<std::uint64_t> content_length;  // of the body, if the head says it
  bool chunked = false;
  bool keep_alive = true;
  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
};

struct ResponseHead {
  int status = 200;
  Headers headers;  // without the fields that frame the message
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;
};

struct HttpLimits {
  std::size_t max_head = 32 * 1024;                  // bytes of the request line and all header fields
  std::size_t max_headers = 100;                     // fields
  Duration head_timeout = std::chrono::seconds(10);  // from the first byte to the end of the head
  Duration idle_timeout = std::chrono::seconds(75);  // between requests
  // The longest time without a byte of the body. It is also the longest time for each 64 KiB of the body, so that a
  // trickle of bytes ends too.
  Duration body_timeout = std::chrono::seconds(30);
  Duration write_timeout = std::chrono::seconds(60);  // the longest time in which the peer takes no byte of the answer
};

// The server's end of one connection.
class HttpServerConnection {
 public:
  HttpServerConnection(std::unique_ptr<Stream> stream, const HttpLimits& limits);
  ~HttpServerConnection();

  // The next request; nothing when the peer closed the connection between requests, or stayed idle for too long.
  // Errors: kInvalidArgument (malformed), kHeadersTooLarge, kTimeout; kCancelled when the peer went away inside the
  // request. After an error the caller can send one answer, and then only close.
  Task<Result<std::optional<RequestHead>>> read_request();
  // The next piece of the body; empty at the end of the body. Sends "100 Continue" first if the client waits for it.
  // Errors: kInvalidArgument (bad framing), kTimeout, kCancelled.
  Task<Result<std::string_view>> read_body();
  bool body_done() const;

  // Adds a field to the answer to the last request, whichever code sends the answer. Every answer has a Date without
  // this.
  void add_to_answer(std::string name, std::string value);
  // Sends a whole answer. false: the peer is gone.
  Task<bool> respond(ResponseHead head, std::string_view body);
  // An answer in pieces: start(), send() any number of times, finish(). Without head.content_length the answer is
  // chunked; a client of HTTP/1.0 gets it unchunked until the close.
  Task<bool> start(ResponseHead head);
  Task<bool> send(std::string_view piece);  // an empty piece sends nothing
  Task<bool> finish();
  // Sends the head and the first piece in one write.
  Task<bool> start_with(ResponseHead head, std::string_view piece);
  bool started() const;

  // While `on`, the calls above do not wait for the peer: what the peer does not take at once is kept until flush()
  // sends it. The caller bounds how much is kept. Requires: nothing is kept when this is switched off.
  void keep_unsent(bool on);
  // How many bytes are kept, or are being sent by flush().
  std::size_t unsent() const;
  // Sends what is kept, and what is added meanwhile. Calls `progressed` after each part. Requires: no other flush() is
  // under way. false: the peer is gone.
  Task<bool> flush(std::function<void()> progressed);

  // Whether the answer is complete and the connection may carry another request.
  bool reusable() const;
  // No read of this request's body lasts beyond `when`: it ends with kTimeout then. This holds for a read under way
  // too.
  void limit_reads(TimePoint when);
  // No write of this answer lasts beyond `when`. This holds for a write under way too.
  void limit_writes(TimePoint when);
  // Calls `gone` once if the peer goes away while the server works on the request. Requires: the body was read.
  void watch_peer(std::function<void()> gone);
  void unwatch_peer();
  // Closes the connection so that the client sees a broken answer, not a complete one.
  void abort();
  void close();
  // To be called before close() when the request was not read to its end: the peer can read the answer, instead of
  // getting a reset.
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

  // Sends the head and the beginning of the body, `body`, in one write. With head.content_length (or chunked) set,
  // send_body() sends the rest of the body, and finish_body() ends a chunked body. false: the connection broke; there
  // may still be an answer to read.
  Task<bool> send_request(const RequestHead& head, std::string_view body);
  Task<bool> send_body(std::string_view piece);
  Task<bool> finish_body();
  // Errors: kIo when the connection ended or broke before the answer came.
  Task<Result<ResponseHead>> read_response();
  // The next piece of the body; empty at its end. Errors: kIo when the connection ended too early.
  Task<Result<std::string_view>> read_body();
  // Whether the body is complete without any wait: then a small answer can go out in one write.
  bool body_done() const;

  // Whether the answer was read to its end and the peer keeps the connection open.
  bool reusable() const;
  // How many requests the connection has carried so far.
  unsigned requests() const;
  // Ends every operation under way with an error, for example when the client went away.
  void close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The current time in the format of a Date field: "Sun, 29 Nov 2026 07:39:23 GMT". Valid until the next call.
std::string_view http_date();

// The reason phrase of a status: 404 -> "Not Found".
std::string_view reason_phrase(int status);

}  // namespace minerva::io
