#include "io/tls.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "io/io_test_support.h"

namespace minerva::io {
namespace {

namespace fs = std::filesystem;

// Makes files with a self-signed certificate for localhost and its key.
class TlsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "tls-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    make_pair("a");
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string certificate(const std::string& name) const { return folder_ + "/" + name + ".crt"; }
  std::string key(const std::string& name) const { return folder_ + "/" + name + ".key"; }

  void make_pair(const std::string& name, const char* passphrase = nullptr) {
    EVP_PKEY* const pair = EVP_EC_gen("P-256");
    X509* const cert = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, pair);
    X509_NAME* const subject = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1,
                               0);
    X509_set_issuer_name(cert, subject);
    X509_sign(cert, pair, EVP_sha256());
    std::FILE* file = std::fopen(certificate(name).c_str(), "w");
    PEM_write_X509(file, cert);
    std::fclose(file);
    file = std::fopen(key(name).c_str(), "w");
    PEM_write_PrivateKey(file, pair, passphrase == nullptr ? nullptr : EVP_aes_128_cbc(),
                         reinterpret_cast<const unsigned char*>(passphrase), passphrase == nullptr ? 0 : 4, nullptr,
                         nullptr);
    std::fclose(file);
    X509_free(cert);
    EVP_PKEY_free(pair);
  }

  std::string load_error(const std::string& certificate_file, const std::string& key_file) {
    const auto loaded = TlsContext::load(certificate_file, key_file);
    if (loaded) return "no error";
    EXPECT_EQ(loaded.error().code, ErrorCode::kInvalidArgument);
    return loaded.error().message;
  }

  std::string folder_;
};

// A client on its own thread: OpenSSL over a blocking socket.
class Client {
 public:
  Client(std::uint16_t port, std::function<void(SSL*)> talk, int most_version = 0)
      : thread_([port, talk = std::move(talk), most_version] {
          SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
          SSL_CTX_set_security_level(context, 0);
          SSL_CTX_set_max_proto_version(context, most_version);
          BIO* const bio = BIO_new_ssl_connect(context);
          BIO_set_conn_hostname(bio, ("127.0.0.1:" + std::to_string(port)).c_str());
          SSL* ssl = nullptr;
          BIO_get_ssl(bio, &ssl);
          talk(BIO_do_connect(bio) == 1 && SSL_is_init_finished(ssl) != 0 ? ssl : nullptr);
          BIO_free_all(bio);
          SSL_CTX_free(context);
        }) {}
  ~Client() { thread_.join(); }

 private:
  std::thread thread_;
};

// Listens, passes the port to `connected`, accepts one connection and gives it to `body`.
Task<void> with_server(Loop& loop, std::shared_ptr<TlsContext> context, std::function<void(std::uint16_t)> connected,
                       std::function<Task<void>(Stream&)> body, TimePoint deadline = TimePoint::max()) {
  std::unique_ptr<Stream> stream;
  Signal accepted(loop);
  auto listener = Listener::open(loop, {"127.0.0.1", 0, ""}, [&](std::unique_ptr<Stream> made) {
    stream = accept_tls(loop, std::move(made), context, deadline);
    accepted.notify();
  });
  EXPECT_TRUE(listener.has_value());
  connected((*listener)->address().port);
  co_await accepted.wait();
  co_await body(*stream);
  stream->close();
}

TEST_F(TlsTest, BytesGoThroughBothWays) {
  auto context = TlsContext::load(certificate("a"), key("a"));
  ASSERT_TRUE(context.has_value()) << context.error().message;
  std::string large(1 << 20, 'x');
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 31);
  std::string got;
  std::unique_ptr<Client> client;
  run_on_loop([&](Loop& loop) -> Task<void> {
    const auto connected = [&](std::uint16_t port) {
      client = std::make_unique<Client>(port, [&](SSL* ssl) {
        ASSERT_NE(ssl, nullptr);
        EXPECT_EQ(SSL_write(ssl, "hello", 5), 5);
        std::array<char, 8192> buffer{};
        int n = 0;
        while ((n = SSL_read(ssl, buffer.data(), buffer.size())) > 0)
          got.append(buffer.data(), static_cast<std::size_t>(n));
        EXPECT_EQ(SSL_get_error(ssl, n), SSL_ERROR_ZERO_RETURN);  // the end is announced
      });
    };
    const auto body = [&](Stream& stream) -> Task<void> {
      EXPECT_EQ(co_await read_exactly(stream, 5), "hello");
      std::array<std::string_view, 3> buffers{"head ", large, ""};
      const IoResult sent = co_await stream.write(buffers);
      EXPECT_FALSE(sent.error) << sent.error.message();
      EXPECT_EQ(sent.bytes, large.size() + 5);
    };
    co_await with_server(loop, *context, connected, body);
  });
  client.reset();
  EXPECT_EQ(got, "head " + large);
}

TEST_F(TlsTest, TheEndOfTheClientIsTheEndOfTheStream) {
  auto context = TlsContext::load(certificate("a"), key("a"));
  std::unique_ptr<Client> client;
  run_on_loop([&](Loop& loop) -> Task<void> {
    const auto connected = [&](std::uint16_t port) {
      client = std::make_unique<Client>(port, [](SSL* ssl) {
        ASSERT_NE(ssl, nullptr);
        SSL_write(ssl, "bye", 3);
        SSL_shutdown(ssl);
      });
    };
    const auto body = [&](Stream& stream) -> Task<void> { EXPECT_EQ(co_await read_to_end(stream), "bye"); };
    co_await with_server(loop, *context, connected, body);
  });
}

TEST_F(TlsTest, OldVersionsAreRefused) {
  auto context = TlsContext::load(certificate("a"), key("a"));
  std::unique_ptr<Client> client;
  run_on_loop([&](Loop& loop) -> Task<void> {
    const auto connected = [&](std::uint16_t port) {
      client = std::make_unique<Client>(port, [](SSL* ssl) { EXPECT_EQ(ssl, nullptr); }, TLS1_1_VERSION);
    };
    const auto body = [&](Stream& stream) -> Task<void> {
      std::array<char, 16> buffer{};
      const IoResult result = co_await stream.read_some(buffer);
      EXPECT_EQ(result.bytes, 0U);
      EXPECT_TRUE(result.error);
    };
    co_await with_server(loop, *context, connected, body);
  });
}

TEST_F(TlsTest, PlainHttpIsToldSo) {
  auto context = TlsContext::load(certificate("a"), key("a"));
  run_on_loop([&](Loop& loop) -> Task<void> {
    std::unique_ptr<Stream> client;
    Signal answered(loop);
    std::string answer;
    const auto ask = [&](std::uint16_t port) -> Task<void> {
      auto connected = co_await connect(loop, {"127.0.0.1", port, ""}, TimePoint::max());
      client = std::move(*connected);
      co_await write_all(*client, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
      answer = co_await read_to_end(*client);
      answered.notify();
    };
    const auto body = [&](Stream& stream) -> Task<void> {
      std::array<char, 16> buffer{};
      EXPECT_EQ((co_await stream.read_some(buffer)).bytes, 0U);
    };
    co_await with_server(loop, *context, [&](std::uint16_t port) { loop.spawn(ask(port)); }, body);
    co_await answered.wait();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
    EXPECT_NE(answer.find("https://"), std::string::npos) << answer;
  });
}

TEST_F(TlsTest, AHandshakeThatDoesNotComeTimesOut) {
  auto context = TlsContext::load(certificate("a"), key("a"));
  run_on_loop([&](Loop& loop) -> Task<void> {
    std::unique_ptr<Stream> client;
    Signal gone(loop);
    const auto stay_silent = [&](std::uint16_t port) -> Task<void> {
      auto connected = co_await connect(loop, {"127.0.0.1", port, ""}, TimePoint::max());
      client = std::move(*connected);
      co_await read_to_end(*client);
      gone.notify();
    };
    const auto body = [&](Stream& stream) -> Task<void> {
      std::array<char, 16> buffer{};
      stream.set_read_deadline(TimePoint::max());
      const IoResult result = co_await stream.read_some(buffer);
      EXPECT_EQ(result.error, std::errc::timed_out);
    };
    co_await with_server(
        loop, *context, [&](std::uint16_t port) { loop.spawn(stay_silent(port)); }, body,
        Clock::now() + std::chrono::milliseconds(20));
    co_await gone.wait();
  });
}

TEST_F(TlsTest, FilesThatCannotServeAreNamed) {
  EXPECT_NE(load_error(folder_ + "/missing", key("a")).find("missing cannot be used for TLS: No such file"),
            std::string::npos);
  std::ofstream(folder_ + "/text") << "no certificate";
  EXPECT_NE(load_error(folder_ + "/text", key("a")).find("holds no certificate"), std::string::npos);
  EXPECT_NE(load_error(certificate("a"), folder_ + "/text").find("holds no key"), std::string::npos);
  make_pair("b");
  EXPECT_NE(load_error(certificate("a"), key("b")).find("not the key of the certificate"), std::string::npos);
  make_pair("locked", "open");
  EXPECT_NE(load_error(certificate("locked"), key("locked")).find("passphrase"), std::string::npos);
}

}  // namespace
}  // namespace minerva::io
