#include "cli/http_client.h"

#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

namespace minerva::cli {
namespace {

// Accepts one connection, reads the head of one request, sends a fixed answer and closes.
class CannedServer {
 public:
  explicit CannedServer(std::string answer) {
    char folder[] = "/tmp/minerva-cli-XXXXXX";
    EXPECT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/s";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 4), 0);
    thread_ = std::thread([this, answer = std::move(answer)] {
      const int connection = ::accept(listener_, nullptr, nullptr);
      char piece[4096];
      while (request_.find("\r\n\r\n") == std::string::npos) {
        const ssize_t count = ::read(connection, piece, sizeof piece);
        if (count <= 0) break;
        request_.append(piece, static_cast<std::size_t>(count));
      }
      static_cast<void>(::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL));
      ::close(connection);
    });
  }
  CannedServer(const CannedServer&) = delete;
  CannedServer& operator=(const CannedServer&) = delete;
  ~CannedServer() {
    if (thread_.joinable()) thread_.join();
    ::close(listener_);
    std::filesystem::remove_all(folder_);
  }

  Result<HttpClient> connect() { return HttpClient::connect("unix:" + path_, "secret"); }
  Result<std::string> call(const HttpCall& call) {
    Result<HttpClient> client = connect();
    EXPECT_TRUE(client);
    return client->call(call);
  }
  // Valid after the answer.
  const std::string& request() {
    thread_.join();
    return request_;
  }

 private:
  std::string folder_;
  std::string path_;
  int listener_ = -1;
  std::string request_;
  std::thread thread_;
};

TEST(ServerUrl, IsChecked) {
  EXPECT_EQ(parse_server_url("http://127.0.0.1:3000/")->base, "http://127.0.0.1:3000");
  EXPECT_EQ(parse_server_url("localhost:3000")->base, "http://localhost:3000");
  EXPECT_EQ(parse_server_url("http://localhost:3000/v1/")->base, "http://localhost:3000");
  EXPECT_EQ(parse_server_url("https://gpu.example/minerva/v1")->base, "https://gpu.example/minerva");
  EXPECT_FALSE(parse_server_url("http:///v1"));
  EXPECT_EQ(parse_server_url("https://gpu.example/minerva")->base, "https://gpu.example/minerva");
  EXPECT_EQ(parse_server_url("unix:/run/m.sock")->unix_socket, "/run/m.sock");
  EXPECT_EQ(parse_server_url("unix:///run/m.sock")->unix_socket, "/run/m.sock");
  for (const std::string bad : {"", "/", "unix:", "ftp://x", "http://", "http:///", "a b", "http://x?y", "x\ny"}) {
    EXPECT_FALSE(parse_server_url(bad)) << bad;
  }
  EXPECT_TRUE(parse_server_url("http://127.0.0.1:1")->is_local());
  EXPECT_TRUE(parse_server_url("unix:/x")->is_local());
  EXPECT_FALSE(parse_server_url("http://gpu.example")->is_local());
  EXPECT_FALSE(HttpClient::connect("http://x", "a\nb"));
}

TEST(ServerUrl, LeadsHereByAnyNameOrAddressOfThisMachine) {
  for (const std::string here : {"unix:/x", "https://localhost:3000", "http://127.0.0.1:1", "https://[::1]:3000"}) {
    EXPECT_TRUE(parse_server_url(here)->leads_here()) << here;
  }
  // Addresses for documentation, and a name that never exists.
  for (const std::string elsewhere : {"http://192.0.2.1:3000", "https://[2001:db8::1]", "https://box.invalid:3000"}) {
    EXPECT_FALSE(parse_server_url(elsewhere)->leads_here()) << elsewhere;
  }
  ifaddrs* interfaces = nullptr;
  ASSERT_EQ(::getifaddrs(&interfaces), 0);
  for (const ifaddrs* one = interfaces; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    char text[NI_MAXHOST] = {};
    ASSERT_EQ(::getnameinfo(one->ifa_addr, sizeof(sockaddr_in), text, sizeof text, nullptr, 0, NI_NUMERICHOST), 0);
    EXPECT_TRUE(parse_server_url(std::string("https://") + text + ":3000/path")->leads_here()) << text;
  }
  ::freeifaddrs(interfaces);
}

TEST(HttpClient, SendsAndReads) {
  CannedServer server("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(server.call({"POST", "/v1/models/a%2Fb/load?force=true", "{\"a\":1}", "text/event-stream"}), "{}");
  const std::string& request = server.request();
  EXPECT_TRUE(request.starts_with("POST /v1/models/a%2Fb/load?force=true HTTP/1.1\r\n")) << request;
  EXPECT_NE(request.find("Authorization: Bearer secret\r\n"), std::string::npos) << request;
  EXPECT_NE(request.find("Accept: text/event-stream\r\n"), std::string::npos) << request;
  EXPECT_NE(request.find("Content-Type: application/json\r\n"), std::string::npos) << request;
  EXPECT_NE(request.find("Content-Length: 7\r\n"), std::string::npos) << request;
}

TEST(HttpClient, DeleteHasNoBody) {
  CannedServer server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(server.call({"DELETE", "/v1/models/a", {}, {}}), "{}");
  EXPECT_TRUE(server.request().starts_with("DELETE /v1/models/a HTTP/1.1\r\n"));
}

TEST(HttpClient, TurnsRefusalsIntoErrors) {
  CannedServer server(
      "HTTP/1.1 404 Not Found\r\nContent-Length: 86\r\n\r\n"
      R"({"error":{"message":"no x","type":"invalid_request_error","code":"model_not_found"}})"
      "  ");
  const Result<std::string> answer = server.call({"GET", "/v1/models/x", {}, {}});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kModelNotFound);
  EXPECT_EQ(answer.error().message, "no x");
}

TEST(HttpClient, NoticesAnAnswerThatBreaksOff) {
  CannedServer cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  const Result<std::string> answer = cut.call({"GET", "/", {}, {}});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kIo);
  CannedServer silent("");
  EXPECT_EQ(silent.call({"GET", "/", {}, {}}).error().code, ErrorCode::kIo);
}

TEST(HttpClient, StopsWhenNothingMoreIsWanted) {
  CannedServer server("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\nfirst");
  Result<HttpClient> client = server.connect();
  ASSERT_TRUE(client);
  std::string seen;
  const Result<void> done = client->stream({"GET", "/", {}, {}}, [&](std::string_view type, std::string_view piece) {
    EXPECT_EQ(type, "text/plain");
    seen += piece;
    return false;
  });
  EXPECT_TRUE(done);
  EXPECT_EQ(seen, "first");
}

TEST(HttpClient, CanBeCancelled) {
  CannedServer server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nfirst");
  Result<HttpClient> client = server.connect();
  ASSERT_TRUE(client);
  std::atomic<bool> cancelled = false;
  const auto on_piece = [&](std::string_view, std::string_view) {
    cancelled = true;
    return true;
  };
  const Result<void> done = client->stream({"GET", "/", {}, {}}, on_piece, &cancelled);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kCancelled);
}

TEST(HttpClient, SaysThatNothingAnswers) {
  Result<HttpClient> client = HttpClient::connect("unix:/nonexistent/minerva.sock", "");
  ASSERT_TRUE(client);
  const Result<std::string> answer = client->call({"GET", "/", {}, {}});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kUnreachable);
  EXPECT_NE(answer.error().message.find("minerva serve"), std::string::npos);
}

}  // namespace
}  // namespace minerva::cli
