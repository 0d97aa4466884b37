#include "io/http_probe.h"

#include <gtest/gtest.h>

#include "io/http.h"
#include "io/io_test_support.h"

namespace minerva::io {
namespace {

class HttpProbe : public testing::Test {
 protected:
  // Listens, and runs `serve` on each connection.
  void listen(const std::function<Task<void>(std::unique_ptr<Stream>)>& serve) {
    auto listener = Listener::open(loop_, {"127.0.0.1", 0, ""}, [this, serve](std::unique_ptr<Stream> stream) {
      loop_.spawn(serve(std::move(stream)));
    });
    ASSERT_TRUE(listener.has_value());
    listener_ = std::move(*listener);
  }

  Result<int> ask(const Address& address, TimePoint deadline = Clock::now() + std::chrono::seconds(60)) {
    Result<int> answer = fail(ErrorCode::kInternal, "no answer");
    bool inside = true;
    probe(loop_, address, "/health?a=b", deadline, [&](Result<int> status) {
      EXPECT_FALSE(inside);
      answer = std::move(status);
      loop_.stop();
    });
    inside = false;
    loop_.run();
    return answer;
  }

  Loop loop_;
  std::unique_ptr<Listener> listener_;
};

TEST_F(HttpProbe, TellsTheStatus) {
  std::string target;
  listen([&](std::unique_ptr<Stream> stream) -> Task<void> {
    HttpServerConnection server(std::move(stream), {});
    const auto request = co_await server.read_request();
    target = (*request)->target;
    ResponseHead head;
    head.status = 503;
    co_await server.respond(head, "loading");
  });
  const Result<int> status = ask(listener_->address());
  ASSERT_TRUE(status.has_value()) << status.error().message;
  EXPECT_EQ(*status, 503);
  EXPECT_EQ(target, "/health?a=b");
}

TEST_F(HttpProbe, NobodyThere) {
  listen([](std::unique_ptr<Stream>) -> Task<void> { co_return; });
  const Address address = listener_->address();
  listener_.reset();
  const Result<int> status = ask(address);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
}

TEST_F(HttpProbe, NoAnswerInTime) {
  std::unique_ptr<Stream> kept;
  listen([&](std::unique_ptr<Stream> stream) -> Task<void> {
    kept = std::move(stream);
    co_return;
  });
  const Result<int> status = ask(listener_->address(), Clock::now() + std::chrono::milliseconds(50));
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::kTimeout);
}

TEST_F(HttpProbe, WhatIsNoHttp) {
  listen([](std::unique_ptr<Stream> stream) -> Task<void> {
    co_await write_all(*stream, "hello\r\n\r\n");
    stream->shutdown_write();
  });
  EXPECT_FALSE(ask(listener_->address()).has_value());
}

}  // namespace
}  // namespace minerva::io
