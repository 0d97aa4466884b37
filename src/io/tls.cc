#include "io/tls.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fstream>
#include <utility>

#include "minerva/base/check.h"

namespace minerva::io {
namespace {

constexpr std::size_t kRecordSize = 16 * 1024;  // the largest plain text of one TLS record
// The answer to a client that speaks plain HTTP.
std::string plain_http_answer() {
  constexpr std::string_view kBody =
      R"({"error":{"message":"This port speaks HTTPS: use https://.","type":"invalid_request_error",)"
      R"("param":null,"code":"invalid_argument"}})";
  return fmt::format(
      "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
      kBody.size(), kBody);
}

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

class Context final : public TlsContext {
 public:
  explicit Context(SSL_CTX* raw) : context(raw) {}
  std::unique_ptr<SSL_CTX, ContextDeleter> context;
};

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  const char* const reason = ERR_reason_error_string(code);
  return reason == nullptr ? fmt::format("OpenSSL error {:#x}", code) : std::string(reason);
}

// The server speaks only HTTP/1.1. A client that does not offer it is not refused here: it finds out by itself.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                    unsigned int offered_length, void*) {
  static constexpr std::array<unsigned char, 9> kHttp11 = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* found = nullptr;
  const int result = SSL_select_next_proto(&found, length, kHttp11.data(), kHttp11.size(), offered, offered_length);
  *chosen = found;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

// ---- a session: bytes in, bytes out, no sockets. One thread at a time ----

struct Session {
  Session(std::shared_ptr<TlsContext> owner, SSL_CTX* raw) : context(std::move(owner)), ssl(SSL_new(raw)) {
    check(ssl != nullptr, "OpenSSL cannot make a session");
    input = BIO_new(BIO_s_mem());
    output = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl.get(), input, output);  // owns both
    SSL_set_accept_state(ssl.get());
  }

  std::shared_ptr<TlsContext> context;
  std::unique_ptr<SSL, SslDeleter> ssl;
  BIO* input = nullptr;   // from the peer
  BIO* output = nullptr;  // to the peer

  void take_in(std::span<const char> bytes) { BIO_write(input, bytes.data(), static_cast<int>(bytes.size())); }

  std::string take_out() {
    std::string bytes(BIO_ctrl_pending(output), '\0');
    if (!bytes.empty()) BIO_read(output, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }

  enum class Step { kDone, kNeedsInput, kFailed, kPlainHttp };
  Step handshake() {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl.get());
    if (result == 1) return Step::kDone;
    if (SSL_get_error(ssl.get(), result) == SSL_ERROR_WANT_READ) return Step::kNeedsInput;
    return ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST ? Step::kPlainHttp : Step::kFailed;
  }

  // false: the session needs more input.
  bool read(std::span<char> buffer, IoResult& result) {
    ERR_clear_error();
    std::size_t bytes = 0;
    const int code = SSL_read_ex(ssl.get(), buffer.data(), buffer.size(), &bytes);
    if (code == 1) {
      result = {bytes, {}};
      return true;
    }
    const int error = SSL_get_error(ssl.get(), code);
    if (error == SSL_ERROR_WANT_READ) return false;
    result = {0, error == SSL_ERROR_ZERO_RETURN ? std::error_code() : std::make_error_code(std::errc::protocol_error)};
    return true;
  }

  bool write(std::string_view text) {
    ERR_clear_error();
    std::size_t bytes = 0;
    return SSL_write_ex(ssl.get(), text.data(), text.size(), &bytes) == 1 && bytes == text.size();
  }
};

// A coroutine that runs beside its caller and owns itself.
struct Pump {
  struct promise_type {
    Pump get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
};

class TlsStream final : public Stream {
 public:
  TlsStream(Loop& loop, std::unique_ptr<Stream> stream, std::shared_ptr<Session> session, TimePoint deadline)
      : loop_(loop), stream_(std::move(stream)), session_(std::move(session)), handshake_deadline_(deadline) {}

  void set_read_deadline(TimePoint when) override {
    read_deadline_ = when;
    stream_->set_read_deadline(secured_ ? when : std::min(when, handshake_deadline_));
  }
  void set_write_deadline(TimePoint when) override { stream_->set_write_deadline(when); }
  // The end of the peer is the end of its connection: a close_notify alone ends nothing.
  void watch_peer(std::function<void()> gone) override { stream_->watch_peer(std::move(gone)); }
  void unwatch_peer() override { stream_->unwatch_peer(); }
  void shutdown_write() override {
    say_goodbye();
    stream_->shutdown_write();
  }
  void close() override {
    say_goodbye();
    stream_->close();
  }
  std::string peer_name() const override { return stream_->peer_name(); }

  bool try_read(std::span<char> buffer, IoResult& result) override {
    if (!secured_) return false;
    while (!session_->read(buffer, result)) {
      std::array<char, kRecordSize> bytes{};
      IoResult got;
      if (!stream_->try_read(bytes, got)) return false;
      if (!take_in(bytes, got, result)) return true;
    }
    return true;
  }

  void start_read(std::span<char> buffer, IoResult& result, std::coroutine_handle<> waiter) override {
    pump_read(buffer, result, waiter);
  }

  bool try_write(std::span<std::string_view>& buffers, IoResult& result) override {
    if (!secured_) {
      result = {0, std::make_error_code(std::errc::not_connected)};
      return true;
    }
    while (next_record(buffers, result)) {
      std::span<std::string_view> rest(&unsent_, 1);
      IoResult sent;
      if (!stream_->try_write(rest, sent)) return false;
      if (!note_sent(sent, result)) return true;
    }
    return true;
  }

  void start_write(std::span<std::string_view> buffers, IoResult& result, std::coroutine_handle<> waiter) override {
    pump_write(buffers, result, waiter);
  }

 private:
  // false: the stream is at its end; `result` is set.
  bool take_in(std::span<const char> bytes, const IoResult& got, IoResult& result) {
    if (got.bytes > 0) {
      session_->take_in(bytes.first(got.bytes));
      return true;
    }
    // Without a close_notify somebody else may have cut the stream off. HTTP has its own framing, so that does no harm.
    result = {0, got.error};
    return false;
  }

  Pump pump_read(std::span<char> buffer, IoResult& result, std::coroutine_handle<> waiter) {
    bool open = secured_ || co_await handshake(result);
    std::vector<char> bytes(kRecordSize);
    while (open && !session_->read(buffer, result)) {
      const IoResult got = co_await stream_->read_some(bytes);
      open = take_in(bytes, got, result);
    }
    waiter.resume();  // last: the waiter may destroy this stream
  }

  Pump pump_write(std::span<std::string_view> buffers, IoResult& result, std::coroutine_handle<> waiter) {
    while (next_record(buffers, result)) {
      std::array<std::string_view, 1> rest{unsent_};
      const IoResult sent = co_await stream_->write(rest);
      unsent_ = {};
      if (!note_sent(sent, result)) break;
    }
    waiter.resume();
  }

  // Makes the next record in unsent_. false: all has been sent, or an error happened; `result` is set.
  bool next_record(std::span<std::string_view>& buffers, IoResult& result) {
    if (!unsent_.empty()) return true;
    plain_.clear();
    while (!buffers.empty() && plain_.size() < kRecordSize) {
      const std::size_t step = std::min(buffers.front().size(), kRecordSize - plain_.size());
      plain_ += buffers.front().substr(0, step);
      buffers.front().remove_prefix(step);
      if (buffers.front().empty()) buffers = buffers.subspan(1);
    }
    if (plain_.empty()) return false;
    if (!session_->write(plain_)) {
      result.error = std::make_error_code(std::errc::protocol_error);
      return false;
    }
    result.bytes += plain_.size();
    cipher_ = session_->take_out();
    unsent_ = cipher_;
    return !unsent_.empty();
  }

  bool note_sent(const IoResult& sent, IoResult& result) {
    if (sent.error) result.error = sent.error;
    return !sent.error;
  }

  // false: the handshake failed; `result` is set.
  Task<bool> handshake(IoResult& result) {
    std::vector<char> bytes(kRecordSize);
    while (true) {
      // Its arithmetic takes as long as a hundred small requests: another thread does it.
      auto step = Session::Step::kFailed;
      Signal done(loop_);
      loop_.offload(
          Lane::kAwaited, [session = session_, &step] { step = session->handshake(); }, [&done] { done.notify(); });
      co_await done.wait();
      const std::string answer = step == Session::Step::kPlainHttp ? plain_http_answer() : session_->take_out();
      if (!answer.empty()) {
        stream_->set_write_deadline(handshake_deadline_);
        std::array<std::string_view, 1> buffers{answer};
        const IoResult sent = co_await stream_->write(buffers);
        if (sent.error) step = Session::Step::kFailed;
      }
      if (step == Session::Step::kDone) break;
      if (step != Session::Step::kNeedsInput) {
        result = {0, std::make_error_code(std::errc::protocol_error)};
        co_return false;
      }
      const IoResult got = co_await stream_->read_some(bytes);
      if (!take_in(bytes, got, result)) co_return false;
    }
    secured_ = true;
    stream_->set_read_deadline(read_deadline_);
    co_return true;
  }

  // Does not wait: a peer that takes nothing does not get the close_notify.
  void say_goodbye() {
    if (!secured_ || said_goodbye_ || !unsent_.empty()) return;
    said_goodbye_ = true;
    SSL_shutdown(session_->ssl.get());
    const std::string bytes = session_->take_out();
    std::array<std::string_view, 1> buffers{bytes};
    std::span<std::string_view> rest(buffers);
    IoResult ignored;
    stream_->try_write(rest, ignored);
  }

  Loop& loop_;
  std::unique_ptr<Stream> stream_;
  // Shared with the step of a handshake on another thread. This stream waits for that step.
  std::shared_ptr<Session> session_;
  TimePoint handshake_deadline_;
  TimePoint read_deadline_ = TimePoint::max();
  bool secured_ = false;
  bool said_goodbye_ = false;
  std::string plain_;        // the plain text of the record that is being made
  std::string cipher_;       // the record that is being sent
  std::string_view unsent_;  // the part of `cipher_` that is not sent yet
};

int refuse_passphrase(char*, int, int, void*) { return 0; }

}  // namespace

Result<std::shared_ptr<TlsContext>> TlsContext::load(const std::string& certificate_file, const std::string& key_file) {
  const auto failure = [](const std::string& file, const std::string& why) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("{} cannot be used for TLS: {}", file, why));
  };
  for (const std::string& file : {certificate_file, key_file}) {
    errno = 0;
    if (!std::ifstream(file)) return failure(file, std::strerror(errno));
  }
  ERR_clear_error();
  auto made = std::make_shared<Context>(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* const context = made->context.get();
  if (context == nullptr) return fail(ErrorCode::kInternal, "OpenSSL cannot be set up: " + openssl_reason());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  SSL_CTX_set_default_passwd_cb(context, refuse_passphrase);
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1) {
    return failure(certificate_file, fmt::format("it holds no certificate in PEM form ({})", openssl_reason()));
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    const int reason = ERR_GET_REASON(ERR_peek_last_error());
    return failure(key_file,
                   reason == X509_R_KEY_VALUES_MISMATCH
                       ? fmt::format("it is not the key of the certificate in {}", certificate_file)
                       : fmt::format("it holds no key in PEM form without a passphrase ({})", openssl_reason()));
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    return failure(key_file, fmt::format("it is not the key of the certificate in {}", certificate_file));
  }
  return std::static_pointer_cast<TlsContext>(made);
}

std::unique_ptr<Stream> accept_tls(Loop& loop, std::unique_ptr<Stream> stream, std::shared_ptr<TlsContext> context,
                                   TimePoint deadline) {
  SSL_CTX* const raw = static_cast<Context&>(*context).context.get();
  return std::make_unique<TlsStream>(loop, std::move(stream), std::make_shared<Session>(std::move(context), raw),
                                     deadline);
}

}  // namespace minerva::io
