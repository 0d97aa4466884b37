// Long because both ends of HTTP/1.1 are here: they share the parser, the heads and the limits.
#include "io/http.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>
#include <cstring>
#include <ctime>
#include <utility>

#include "minerva/base/check.h"

namespace minerva::io {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr std::size_t kReadSize = 16 * 1024;
// How much of a request that nobody read is drained before the connection is closed.
constexpr std::size_t kLingerBytes = 1 << 20;
// Between the pieces of a chunked body only the head of a chunk can be incomplete, and such a head is short.
constexpr std::size_t kMaxChunkHead = 16 * 1024;
constexpr auto kLingerTime = std::chrono::seconds(1);
// each time that so many bytes came, a slow body gets another body_timeout
constexpr std::uint64_t kBodyStep = 64 * 1024;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

// These fields frame the message of one hop. The next hop's message gets its own.
bool is_framing(http::field field) {
  switch (field) {
    case http::field::connection:
    case http::field::content_length:
    case http::field::expect:
    case http::field::keep_alive:
    case http::field::proxy_connection:
    case http::field::te:
    case http::field::trailer:
    case http::field::transfer_encoding:
    case http::field::upgrade:
      return true;
    default:
      return false;
  }
}

// Beast's parser. It collects into our own structs: the head as a whole, the body piece by piece.
template <bool is_request>
class MessageParser final : public http::basic_parser<is_request> {
  using Base = http::basic_parser<is_request>;

 public:
  std::string method;
  std::string target;
  unsigned status = 0;
  Headers headers;
  std::size_t field_count = 0;
  bool expects_continue = false;
  bool strange_encoding = false;  // a Transfer-Encoding other than "chunked", or two
  bool http10 = false;
  std::vector<std::string> connection_tokens;
  std::string piece;

  MessageParser() { this->body_limit(boost::none); }

  // Beast asserts that the caller, once Beast has seen the head of a last chunk, shows that head again with at least
  // two more bytes. The two bytes of the end may come one after the other.
  bool awaits_end_of_last_chunk(std::string_view unread) const {
    return this->is_header_done() && this->chunked() && chunk_left_ == 0 && unread.size() == 4 &&
           unread.starts_with("0\r\n");
  }

 private:
  void on_request_impl(http::verb, beast::string_view method_text, beast::string_view target_text, int version,
                       beast::error_code&) override {
    http10 = version < 11;
    method = view(method_text);
    target = view(target_text);
  }
  void on_response_impl(int code, beast::string_view, int, beast::error_code&) override {
    status = static_cast<unsigned>(code);
  }
  void on_field_impl(http::field field, beast::string_view name, beast::string_view value,
                     beast::error_code&) override {
    ++field_count;
    if (field == http::field::expect) expects_continue = equal_ignoring_case(view(value), "100-continue");
    if (field == http::field::transfer_encoding) {
      strange_encoding = strange_encoding || encoded_ || !equal_ignoring_case(view(value), "chunked");
      encoded_ = true;
    }
    if (field == http::field::connection) remember_tokens(view(value));
    if (!is_framing(field)) headers.add(std::string(view(name)), std::string(view(value)));
  }
  void remember_tokens(std::string_view list) {
    while (!list.empty()) {
      const std::size_t comma = std::min(list.find(','), list.size());
      std::string_view token = list.substr(0, comma);
      list.remove_prefix(std::min(comma + 1, list.size()));
      while (!token.empty() && token.front() == ' ') token.remove_prefix(1);
      while (!token.empty() && token.back() == ' ') token.remove_suffix(1);
      if (!token.empty()) connection_tokens.emplace_back(token);
    }
  }
  void on_header_impl(beast::error_code&) override {
    // Fields that Connection names belong to this hop only.
    for (const std::string& token : connection_tokens) headers.remove(token);
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, beast::error_code&) override {}
  std::size_t on_body_impl(beast::string_view body, beast::error_code&) override {
    piece.append(body.data(), body.size());
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t size, beast::string_view, beast::error_code&) override { chunk_left_ = size; }
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view body, beast::error_code&) override {
    piece.append(body.data(), body.size());
    chunk_left_ -= body.size();
    return body.size();
  }
  void on_finish_impl(beast::error_code&) override {}

  std::uint64_t chunk_left_ = 0;  // bytes of the chunk being read
  bool encoded_ = false;
};

// Bytes that were read from a stream and are not parsed yet.
struct InputBuffer {
  std::vector<char> bytes = std::vector<char>(kReadSize);
  std::size_t begin = 0;
  std::size_t end = 0;

  std::string_view unread() const { return {bytes.data() + begin, end - begin}; }
  bool empty() const { return begin == end; }
  void consume(std::size_t n) {
    begin += n;
    if (begin == end) begin = end = 0;
  }
  // Space for at least one read of a good size.
  std::span<char> room() {
    if (bytes.size() - end < kReadSize / 4) {
      std::memmove(bytes.data(), bytes.data() + begin, end - begin);
      end -= begin;
      begin = 0;
      if (bytes.size() - end < kReadSize / 4) bytes.resize(bytes.size() * 2);
    }
    return {bytes.data() + end, bytes.size() - end};
  }
};

// Feeds the unparsed bytes to the parser, up to the end of the head or up to the next piece of the body. `need_more`:
// the parser waits for bytes.
template <typename Parser>
beast::error_code feed(Parser& parser, InputBuffer& input, bool& need_more) {
  need_more = false;
  while (!input.empty()) {
    const bool in_head = !parser.is_header_done();
    beast::error_code error;
    const std::string_view bytes = input.unread();
    if (parser.awaits_end_of_last_chunk(bytes)) break;
    const std::size_t used = parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
    input.consume(used);
    if (error == http::error::need_more) break;
    if (error) return error;
    if ((in_head && parser.is_header_done()) || parser.is_done() || !parser.piece.empty() || used == 0) return {};
  }
  need_more = true;
  return {};
}

// Whether a field of the head continues on a line of its own. The parser would accept such a field, and other programs
// read it in another way. The parser takes a head only as a whole, so the whole head is here.
bool has_folded_field(std::string_view unread) {
  const std::string_view head = unread.substr(0, std::min(unread.find("\r\n\r\n"), unread.size()));
  return head.find("\n ") != std::string_view::npos || head.find("\n\t") != std::string_view::npos;
}

Error io_error(const IoResult& result, std::string_view what) {
  if (result.error == std::errc::timed_out) return {ErrorCode::kTimeout, fmt::format("timed out while {}", what)};
  return {ErrorCode::kIo, result.error ? fmt::format("{} while {}", result.error.message(), what)
                                       : fmt::format("the connection was closed while {}", what)};
}

void append_headers(std::string& out, const Headers& headers) {
  for (const HeaderField& field : headers) {
    out += field.name;
    out += ": ";
    out += field.value;
    out += "\r\n";
  }
}

bool may_have_body(int status) { return status >= 200 && status != 204 && status != 304; }

// "1a\r\n"
std::string_view chunk_header(std::size_t size, std::array<char, 24>& space) {
  const auto result = fmt::format_to_n(space.data(), space.size(), "{:x}\r\n", size);
  return {space.data(), result.size};
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

void Headers::set(std::string_view name, std::string value) {
  remove(name);
  add(std::string(name), std::move(value));
}

void Headers::remove(std::string_view name) {
  remove_if([&](std::string_view field) { return equal_ignoring_case(field, name); });
}

const std::string* Headers::find(std::string_view name) const {
  for (const HeaderField& field : fields_) {
    if (equal_ignoring_case(field.name, name)) return &field.value;
  }
  return nullptr;
}

std::size_t Headers::count(std::string_view name) const {
  return static_cast<std::size_t>(std::count_if(
      fields_.begin(), fields_.end(), [&](const HeaderField& field) { return equal_ignoring_case(field.name, name); }));
}

std::string_view http_date() {
  // Most answers within one second have the same text.
  thread_local std::time_t second = 0;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != second || text.empty()) {
    second = now;
    text = fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(now));
  }
  return text;
}

std::string_view reason_phrase(int status) {
  if (status == 422) return "Unprocessable Content";
  if (status == 499) return "Cancelled";
  const beast::string_view text = http::obsolete_reason(static_cast<http::status>(status));
  return view(text);
}

// ---- server -------------------------------------------------------------------------------------------------------

struct HttpServerConnection::Impl {
  Impl(std::unique_ptr<Stream> s, const HttpLimits& l) : stream(std::move(s)), limits(l) {}

  std::unique_ptr<Stream> stream;
  HttpLimits limits;
  InputBuffer input;
  std::optional<MessageParser<true>> parser;
  bool broken = false;      // the peer is gone or the framing is lost
  bool keep_alive = false;  // of the current request
  bool http10 = false;
  bool head_only = false;  // the request is a HEAD: the answer has no body
  bool continue_wanted = false;
  std::string piece;  // the bytes that the last read_body() returned
  // The answer.
  Headers more_headers;
  bool answer_started = false;
  bool answer_finished = false;
  bool answer_chunked = false;
  bool answer_bodyless = false;
  bool answer_close = false;
  bool keeps_unsent = false;
  bool has_unsent = false;
  std::string unsent;
  std::size_t in_flight = 0;                // bytes that flush() is sending
  std::uint64_t answer_left = 0;            // bytes of the answer that were promised and are not sent yet
  TimePoint read_limit = TimePoint::max();  // of the body
  TimePoint write_limit = TimePoint::max();
  // How many bytes of the body came, and for how long the server waited for them.
  std::uint64_t body_bytes = 0;
  Duration body_waited = Duration::zero();

  bool body_done() const { return !parser || (parser->is_done() && parser->piece.empty()); }

  Task<IoResult> fill(TimePoint deadline) {
    stream->set_read_deadline(deadline);
    const std::span<char> room = input.room();
    const IoResult result = co_await stream->read_some(room);
    input.end += result.bytes;
    co_return result;
  }

  Task<bool> write(std::span<std::string_view> buffers) {
    if (broken) co_return false;
    if (keeps_unsent) co_return write_or_keep(buffers);
    stream->set_write_deadline(std::min(write_limit, Clock::now() + limits.write_timeout));
    const IoResult result = co_await stream->write(buffers);
    if (result.error) broken = true;
    co_return !broken;
  }

  // Sends what the peer takes now, and keeps the rest.
  bool write_or_keep(std::span<std::string_view> buffers) {
    if (!has_unsent) {
      IoResult result;
      if (stream->try_write(buffers, result)) {
        if (result.error) broken = true;
        return !broken;
      }
      has_unsent = true;  // even if `buffers` has nothing left: the stream below may hold a part
    }
    for (const std::string_view buffer : buffers) unsent += buffer;
    return true;
  }

  // Only the wait for the peer counts: the server may read a body slowly because the engine takes it slowly.
  Task<IoResult> fill_body() {
    const TimePoint now = Clock::now();
    const Duration earned = limits.body_timeout * static_cast<std::int64_t>(1 + body_bytes / kBodyStep);
    const TimePoint until = now + std::min(limits.body_timeout, earned - body_waited);
    const IoResult result = co_await fill(std::min(until, read_limit));
    body_waited += Clock::now() - now;
    body_bytes += result.bytes;
    co_return result;
  }

  std::string head_text(const ResponseHead& head, std::optional<std::uint64_t> length) {
    answer_started = true;
    answer_bodyless = head_only || !may_have_body(head.status);
    answer_chunked = !length && !answer_bodyless && !http10;
    answer_left = length.value_or(0);
    // The connection cannot be used again if the body was not read: the rest of the body would be taken for the next
    // request.
    answer_close = !keep_alive || !head.keep_alive || !body_done() || (!length && http10 && !answer_bodyless);
    std::string text;
    text.reserve(512);
    fmt::format_to(std::back_inserter(text), "HTTP/1.1 {} {}\r\n", head.status, reason_phrase(head.status));
    append_headers(text, head.headers);
    append_headers(text, more_headers);
    if (head.headers.find("date") == nullptr) fmt::format_to(std::back_inserter(text), "Date: {}\r\n", http_date());
    if (length && may_have_body(head.status)) {
      fmt::format_to(std::back_inserter(text), "Content-Length: {}\r\n", *length);
    } else if (answer_chunked) {
      text += "Transfer-Encoding: chunked\r\n";
    }
    if (answer_close) {
      text += "Connection: close\r\n";
    } else if (http10) {
      text += "Connection: keep-alive\r\n";
    }
    text += "\r\n";
    return text;
  }
};

HttpServerConnection::HttpServerConnection(std::unique_ptr<Stream> stream, const HttpLimits& limits)
    : impl_(std::make_unique<Impl>(std::move(stream), limits)) {}
HttpServerConnection::~HttpServerConnection() = default;

Task<Result<std::optional<RequestHead>>> HttpServerConnection::read_request() {
  Impl& impl = *impl_;
  impl.answer_started = impl.answer_finished = false;
  impl.more_headers = {};
  impl.keep_alive = false;
  impl.http10 = false;
  impl.head_only = false;
  impl.parser.reset();
  impl.read_limit = impl.write_limit = TimePoint::max();
  impl.body_bytes = 0;
  impl.body_waited = Duration::zero();
  if (impl.input.empty()) {
    const IoResult first = co_await impl.fill(Clock::now() + impl.limits.idle_timeout);
    if (first.bytes == 0) co_return std::optional<RequestHead>();
  }
  impl.parser.emplace();
  MessageParser<true>& parser = *impl.parser;
  parser.header_limit(static_cast<std::uint32_t>(impl.limits.max_head));
  parser.eager(false);
  const TimePoint deadline = Clock::now() + impl.limits.head_timeout;
  while (!parser.is_header_done()) {
    if (has_folded_field(impl.input.unread())) {
      co_return fail(ErrorCode::kInvalidArgument, "malformed HTTP request: a header field goes on in the next line");
    }
    bool need_more = false;
    const beast::error_code error = feed(parser, impl.input, need_more);
    if (error == http::error::header_limit || impl.input.unread().size() > impl.limits.max_head + kReadSize) {
      co_return fail(ErrorCode::kHeadersTooLarge,
                     fmt::format("the request's head is larger than {} bytes", impl.limits.max_head));
    }
    if (error) co_return fail(ErrorCode::kInvalidArgument, fmt::format("malformed HTTP request: {}", error.message()));
    if (parser.is_header_done()) break;
    const IoResult more = co_await impl.fill(deadline);
    if (more.bytes == 0) {
      impl.broken = more.error != std::errc::timed_out;
      co_return fail(impl.broken ? ErrorCode::kCancelled : ErrorCode::kTimeout,
                     io_error(more, "reading the request's head").message);
    }
  }
  if (parser.field_count > impl.limits.max_headers) {
    co_return fail(ErrorCode::kHeadersTooLarge,
                   fmt::format("the request has more than {} header fields", impl.limits.max_headers));
  }
  if (parser.strange_encoding) {
    impl.keep_alive = false;
    co_return fail(ErrorCode::kInvalidArgument, "malformed HTTP request: the only Transfer-Encoding is chunked");
  }
  parser.eager(true);
  RequestHead head;
  head.method = std::move(parser.method);
  head.target = std::move(parser.target);
  head.headers = std::move(parser.headers);
  if (parser.content_length()) head.content_length = *parser.content_length();
  head.chunked = parser.chunked();
  head.keep_alive = parser.keep_alive();
  impl.keep_alive = head.keep_alive;
  impl.http10 = parser.http10;
  impl.head_only = head.method == "HEAD";
  impl.continue_wanted = parser.expects_continue && !impl.http10;
  co_return std::optional<RequestHead>(std::move(head));
}

Task<Result<std::string_view>> HttpServerConnection::read_body() {
  Impl& impl = *impl_;
  if (impl.body_done()) co_return std::string_view();
  if (std::exchange(impl.continue_wanted, false) && impl.input.empty()) {
    std::array<std::string_view, 1> line{"HTTP/1.1 100 Continue\r\n\r\n"};
    if (!co_await impl.write(line)) co_return fail(ErrorCode::kCancelled, "the client went away");
  }
  MessageParser<true>& parser = *impl.parser;
  while (true) {
    bool need_more = false;
    const beast::error_code error = feed(parser, impl.input, need_more);
    if (error) {
      impl.broken = false;
      impl.keep_alive = false;
      co_return fail(ErrorCode::kInvalidArgument, fmt::format("malformed request body: {}", error.message()));
    }
    if (!parser.piece.empty()) {
      impl.piece.clear();
      std::swap(impl.piece, parser.piece);
      co_return std::string_view(impl.piece);
    }
    if (parser.is_done()) co_return std::string_view();
    if (impl.input.unread().size() > kMaxChunkHead) {
      impl.keep_alive = false;
      co_return fail(ErrorCode::kInvalidArgument, "malformed request body: a chunk's head does not end");
    }
    const IoResult more = co_await impl.fill_body();
    if (more.bytes == 0) {
      const bool slow = more.error == std::errc::timed_out;
      impl.broken = !slow;
      co_return fail(slow ? ErrorCode::kTimeout : ErrorCode::kCancelled,
                     io_error(more, "reading the request's body").message);
    }
  }
}

bool HttpServerConnection::body_done() const { return impl_->body_done(); }

void HttpServerConnection::add_to_answer(std::string name, std::string value) {
  impl_->more_headers.add(std::move(name), std::move(value));
}

Task<bool> HttpServerConnection::respond(ResponseHead head, std::string_view body) {
  Impl& impl = *impl_;
  const std::string text = impl.head_text(head, body.size());
  impl.answer_left = 0;
  impl.answer_finished = true;
  std::array<std::string_view, 2> buffers{text, impl.answer_bodyless ? std::string_view() : body};
  co_return co_await impl.write(buffers);
}

Task<bool> HttpServerConnection::start(ResponseHead head) { co_return co_await start_with(std::move(head), {}); }

Task<bool> HttpServerConnection::start_with(ResponseHead head, std::string_view piece) {
  Impl& impl = *impl_;
  check(!impl.answer_started, "an answer is started twice");
  const std::string text = impl.head_text(head, head.content_length);
  if (impl.answer_bodyless || piece.empty()) {
    std::array<std::string_view, 1> buffers{text};
    co_return co_await impl.write(buffers);
  }
  std::array<char, 24> space{};
  if (impl.answer_chunked) {
    std::array<std::string_view, 4> buffers{text, chunk_header(piece.size(), space), piece, "\r\n"};
    co_return co_await impl.write(buffers);
  }
  impl.answer_left -= std::min<std::uint64_t>(impl.answer_left, piece.size());
  std::array<std::string_view, 2> buffers{text, piece};
  co_return co_await impl.write(buffers);
}

Task<bool> HttpServerConnection::send(std::string_view piece) {
  Impl& impl = *impl_;
  if (piece.empty() || impl.answer_bodyless) co_return !impl.broken;  // an empty chunk would be the end of the answer
  if (impl.answer_chunked) {
    std::array<char, 24> space{};
    std::array<std::string_view, 3> buffers{chunk_header(piece.size(), space), piece, "\r\n"};
    co_return co_await impl.write(buffers);
  }
  impl.answer_left -= std::min<std::uint64_t>(impl.answer_left, piece.size());
  std::array<std::string_view, 1> buffers{piece};
  co_return co_await impl.write(buffers);
}

Task<bool> HttpServerConnection::finish() {
  Impl& impl = *impl_;
  impl.answer_finished = true;
  if (!impl.answer_chunked) co_return !impl.broken;
  std::array<std::string_view, 1> buffers{"0\r\n\r\n"};
  co_return co_await impl.write(buffers);
}

void HttpServerConnection::keep_unsent(bool on) { impl_->keeps_unsent = on; }

std::size_t HttpServerConnection::unsent() const {
  // A part that the stream below holds is not sent either, but its size is not known here: at least 1.
  return impl_->has_unsent ? std::max<std::size_t>(impl_->unsent.size() + impl_->in_flight, 1) : 0;
}

Task<bool> HttpServerConnection::flush(std::function<void()> progressed) {
  // A slow peer takes so much within the time for which it may take nothing.
  constexpr std::size_t kAtOnce = std::size_t{16} << 10;
  Impl& impl = *impl_;
  while (impl.has_unsent && !impl.broken) {
    const std::string piece = std::exchange(impl.unsent, {});
    impl.in_flight = piece.size();
    do {
      std::array<std::string_view, 1> buffers{
          std::string_view(piece).substr(piece.size() - impl.in_flight).substr(0, kAtOnce)};
      const std::size_t size = buffers[0].size();
      impl.stream->set_write_deadline(std::min(impl.write_limit, Clock::now() + impl.limits.write_timeout));
      const IoResult result = co_await impl.stream->write(buffers);
      if (result.error) impl.broken = true;
      impl.in_flight -= size;
      progressed();
    } while (impl.in_flight > 0 && !impl.broken);
    impl.in_flight = 0;
    impl.has_unsent = !impl.unsent.empty();
  }
  co_return !impl.broken;
}

bool HttpServerConnection::started() const { return impl_->answer_started; }

bool HttpServerConnection::reusable() const {
  return !impl_->broken && impl_->answer_finished && !impl_->answer_close && impl_->body_done() &&
         (impl_->answer_left == 0 || impl_->answer_bodyless);
}

void HttpServerConnection::watch_peer(std::function<void()> gone) { impl_->stream->watch_peer(std::move(gone)); }
void HttpServerConnection::unwatch_peer() { impl_->stream->unwatch_peer(); }

void HttpServerConnection::limit_reads(TimePoint when) {
  impl_->read_limit = when;
  impl_->stream->set_read_deadline(when);
}

void HttpServerConnection::limit_writes(TimePoint when) {
  impl_->write_limit = when;
  impl_->stream->set_write_deadline(when);
}

void HttpServerConnection::abort() {
  impl_->broken = true;
  impl_->stream->close();
}

void HttpServerConnection::close() { impl_->stream->close(); }

Task<void> HttpServerConnection::linger() {
  Impl& impl = *impl_;
  if (impl.broken || impl.body_done()) co_return;
  impl.stream->shutdown_write();
  const TimePoint deadline = Clock::now() + kLingerTime;
  for (std::size_t drained = 0; drained < kLingerBytes;) {
    impl.input.begin = impl.input.end = 0;
    const IoResult result = co_await impl.fill(deadline);
    if (result.bytes == 0) break;
    drained += result.bytes;
  }
}

std::string HttpServerConnection::peer_name() const { return impl_->stream->peer_name(); }

// ---- client -------------------------------------------------------------------------------------------------------

struct HttpClientConnection::Impl {
  explicit Impl(std::unique_ptr<Stream> s) : stream(std::move(s)) {}
  std::unique_ptr<Stream> stream;
  InputBuffer input;
  std::optional<MessageParser<false>> parser;
  std::string piece;
  bool broken = false;
  bool chunked_request = false;
  bool head_only = false;
  bool request_complete = false;
  std::uint64_t request_left = 0;
  unsigned requests = 0;

  Task<bool> write(std::span<std::string_view> buffers) {
    if (broken) co_return false;
    const IoResult result = co_await stream->write(buffers);
    if (result.error) broken = true;
    co_return !result.error;
  }
  Task<IoResult> fill() {
    const std::span<char> room = input.room();
    const IoResult result = co_await stream->read_some(room);
    input.end += result.bytes;
    co_return result;
  }
};

HttpClientConnection::HttpClientConnection(std::unique_ptr<Stream> stream)
    : impl_(std::make_unique<Impl>(std::move(stream))) {}
HttpClientConnection::~HttpClientConnection() = default;

Task<bool> HttpClientConnection::send_request(const RequestHead& head, std::string_view body) {
  Impl& impl = *impl_;
  ++impl.requests;
  impl.head_only = head.method == "HEAD";
  impl.chunked_request = head.chunked && !head.content_length;
  impl.request_left = head.content_length.value_or(0);
  impl.request_left -= std::min<std::uint64_t>(impl.request_left, body.size());
  impl.request_complete = !impl.chunked_request && impl.request_left == 0;
  std::string text;
  text.reserve(512);
  fmt::format_to(std::back_inserter(text), "{} {} HTTP/1.1\r\n", head.method, head.target);
  append_headers(text, head.headers);
  if (impl.chunked_request) {
    text += "Transfer-Encoding: chunked\r\n";
  } else if (head.content_length) {
    fmt::format_to(std::back_inserter(text), "Content-Length: {}\r\n", *head.content_length);
  }
  text += "\r\n";
  if (impl.chunked_request && !body.empty()) {
    std::array<char, 24> space{};
    std::array<std::string_view, 4> buffers{text, chunk_header(body.size(), space), body, "\r\n"};
    co_return co_await impl.write(buffers);
  }
  std::array<std::string_view, 2> buffers{text, body};
  co_return co_await impl.write(buffers);
}

Task<bool> HttpClientConnection::send_body(std::string_view piece) {
  Impl& impl = *impl_;
  if (piece.empty()) co_return !impl.broken;
  if (impl.chunked_request) {
    std::array<char, 24> space{};
    std::array<std::string_view, 3> buffers{chunk_header(piece.size(), space), piece, "\r\n"};
    co_return co_await impl.write(buffers);
  }
  impl.request_left -= std::min<std::uint64_t>(impl.request_left, piece.size());
  if (impl.request_left == 0) impl.request_complete = true;
  std::array<std::string_view, 1> buffers{piece};
  co_return co_await impl.write(buffers);
}

Task<bool> HttpClientConnection::finish_body() {
  Impl& impl = *impl_;
  if (!impl.chunked_request) co_return !impl.broken;
  impl.request_complete = true;
  std::array<std::string_view, 1> buffers{"0\r\n\r\n"};
  co_return co_await impl.write(buffers);
}

Task<Result<ResponseHead>> HttpClientConnection::read_response() {
  Impl& impl = *impl_;
  while (true) {
    impl.parser.emplace();
    MessageParser<false>& parser = *impl.parser;
    parser.header_limit(256 * 1024);
    parser.eager(false);
    if (impl.head_only) parser.skip(true);
    while (!parser.is_header_done()) {
      bool need_more = false;
      const beast::error_code error = feed(parser, impl.input, need_more);
      if (error) {
        impl.broken = true;
        co_return fail(ErrorCode::kIo, fmt::format("malformed HTTP response: {}", error.message()));
      }
      if (parser.is_header_done()) break;
      const IoResult more = co_await impl.fill();
      if (more.bytes == 0) {
        impl.broken = true;
        co_return Failure(io_error(more, "waiting for the answer"));
      }
    }
    if (parser.status >= 100 && parser.status < 200) continue;
    parser.eager(true);
    ResponseHead head;
    head.status = static_cast<int>(parser.status);
    head.headers = std::move(parser.headers);
    if (parser.content_length()) head.content_length = *parser.content_length();
    head.chunked = parser.chunked();
    head.keep_alive = parser.keep_alive();
    co_return head;
  }
}

Task<Result<std::string_view>> HttpClientConnection::read_body() {
  Impl& impl = *impl_;
  MessageParser<false>& parser = *impl.parser;
  while (true) {
    if (parser.is_done() && parser.piece.empty()) co_return std::string_view();
    bool need_more = false;
    const beast::error_code error = feed(parser, impl.input, need_more);
    if (error) {
      impl.broken = true;
      co_return fail(ErrorCode::kIo, fmt::format("malformed answer: {}", error.message()));
    }
    if (!parser.piece.empty()) {
      impl.piece.clear();
      std::swap(impl.piece, parser.piece);
      co_return std::string_view(impl.piece);
    }
    if (parser.is_done()) co_return std::string_view();
    const IoResult more = co_await impl.fill();
    if (more.bytes == 0) {
      impl.broken = true;
      beast::error_code at_end;
      if (!more.error) parser.put_eof(at_end);
      // The close ended the answer, as its head had announced (no length, not chunked).
      if (!more.error && !at_end && parser.is_done()) co_return std::string_view();
      co_return Failure(io_error(more, "reading the answer"));
    }
  }
}

bool HttpClientConnection::body_done() const { return impl_->parser && impl_->parser->is_done(); }

bool HttpClientConnection::reusable() const {
  return !impl_->broken && impl_->request_complete && body_done() && impl_->parser->piece.empty() &&
         impl_->parser->keep_alive() && impl_->input.empty();
}

unsigned HttpClientConnection::requests() const { return impl_->requests; }

void HttpClientConnection::close() {
  impl_->broken = true;
  impl_->stream->close();
}

}  // namespace minerva::io
