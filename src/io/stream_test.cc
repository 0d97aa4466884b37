#include "io/stream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "io/io_test_support.h"

namespace minerva::io {
namespace {

TEST(Stream, CarriesMoreThanTheSocketBuffersHold) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    const std::string sent(8 << 20, 'x');
    Signal written(loop);
    std::error_code error = std::make_error_code(std::errc::timed_out);
    const auto writer = [&]() -> Task<void> {
      error = co_await write_all(*pair.client, sent);
      pair.client->shutdown_write();
      written.notify();
    };
    loop.spawn(writer());
    const std::string got = co_await read_to_end(*pair.server);
    co_await written.wait();
    EXPECT_FALSE(error);
    EXPECT_EQ(got.size(), sent.size());
  });
}

TEST(Stream, AReadFailsAtItsDeadlineAndOnClose) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    std::array<char, 8> buffer{};
    pair.server->set_read_deadline(Clock::now() + std::chrono::milliseconds(1));
    IoResult result = co_await pair.server->read_some(buffer);
    EXPECT_EQ(result.error, std::errc::timed_out);
    pair.server->set_read_deadline(TimePoint::max());
    loop.post([&] { pair.server->close(); });
    result = co_await pair.server->read_some(buffer);
    EXPECT_EQ(result.error, std::errc::operation_canceled);
  });
}

TEST(Stream, ADeadlineThatMovesOnIsNotHitEarly) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    std::array<char, 8> buffer{};
    pair.server->set_read_deadline(Clock::now() + std::chrono::milliseconds(1));
    loop.post([&] { pair.server->set_read_deadline(TimePoint::max()); });
    Timer later(loop);
    const auto writer = [&]() -> Task<void> { co_await write_all(*pair.client, "hi"); };
    later.arm(Clock::now() + std::chrono::milliseconds(20), [&] { loop.spawn(writer()); });
    const IoResult result = co_await pair.server->read_some(buffer);
    EXPECT_FALSE(result.error);
    EXPECT_EQ(result.bytes, 2u);
  });
}

TEST(Stream, ThePeersEndIsSeenWithoutReading) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    Signal gone(loop);
    pair.server->watch_peer([&] { gone.notify(); });
    pair.client->close();
    co_await gone.wait();

    // The end of the peer is noticed even behind bytes that nobody has read.
    StreamPair second = co_await connected_pair(loop);
    co_await write_all(*second.client, "pipelined");
    second.server->watch_peer([&] { gone.notify(); });
    second.client->close();
    co_await gone.wait();
    EXPECT_EQ(co_await read_exactly(*second.server, 9), "pipelined");
  });
}

TEST(Stream, WatchingIsForgotten) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    int called = 0;
    pair.server->watch_peer([&] { ++called; });
    pair.server->unwatch_peer();
    pair.client->close();
    std::array<char, 8> buffer{};
    const IoResult result = co_await pair.server->read_some(buffer);
    EXPECT_EQ(result.bytes, 0u);
    EXPECT_EQ(called, 0);
  });
}

TEST(Listener, AUnixSocketIsPrivateReplacedWhenStaleAndRemoved) {
  const std::string folder = std::filesystem::temp_directory_path() / ("minerva-io-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const Address address{"", 0, folder + "/s"};
  {  // a leftover socket: bound, and nobody listens on it
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    address.unix_path.copy(name.sun_path, sizeof name.sun_path - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
    ::close(fd);
  }
  run_on_loop([&](Loop& loop) -> Task<void> {
    auto listener = Listener::open(loop, address, [](std::unique_ptr<Stream>) {});
    EXPECT_TRUE(listener.has_value());
    EXPECT_EQ(std::filesystem::status(address.unix_path).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    const auto second = Listener::open(loop, address, [](std::unique_ptr<Stream>) {});
    EXPECT_FALSE(second.has_value()) << "a live one is not replaced";
    co_return;
  });
  EXPECT_FALSE(std::filesystem::exists(address.unix_path));
  std::filesystem::remove_all(folder);
}

TEST(Listener, WhatIsNotItsOwnSocketStays) {
  std::string folder = (std::filesystem::temp_directory_path() / "listener-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const Address address{"", 0, folder + "/s"};
  run_on_loop([&](Loop& loop) -> Task<void> {
    std::ofstream(address.unix_path) << "notes";
    EXPECT_FALSE(Listener::open(loop, address, [](std::unique_ptr<Stream>) {}).has_value());
    EXPECT_EQ(std::filesystem::file_size(address.unix_path), 5U);
    std::filesystem::remove(address.unix_path);

    auto first = Listener::open(loop, address, [](std::unique_ptr<Stream>) {});
    // the file stays, so that the second socket does not get the same inode
    std::filesystem::rename(address.unix_path, folder + "/aside");
    auto second = Listener::open(loop, address, [](std::unique_ptr<Stream>) {});
    EXPECT_TRUE(first.has_value() && second.has_value());
    first->reset();
    EXPECT_TRUE(std::filesystem::exists(address.unix_path)) << "of the second one";
    std::filesystem::remove(address.unix_path);
    std::ofstream(address.unix_path) << "notes";
    second->reset();
    EXPECT_TRUE(std::filesystem::exists(address.unix_path));
    co_return;
  });
  std::filesystem::remove_all(folder);
}

TEST(Listener, APortInUseIsAnErrorWithAdvice) {
  run_on_loop([](Loop& loop) -> Task<void> {
    auto first = Listener::open(loop, {"127.0.0.1", 0, ""}, [](std::unique_ptr<Stream>) {});
    EXPECT_TRUE(first.has_value());
    const auto second = Listener::open(loop, (*first)->address(), [](std::unique_ptr<Stream>) {});
    EXPECT_FALSE(second.has_value());
    EXPECT_NE(second.error().message.find("--listen"), std::string::npos) << second.error().message;
    co_return;
  });
}

TEST(Connect, ReportsWhyItFailed) {
  run_on_loop([](Loop& loop) -> Task<void> {
    const auto result = co_await connect(loop, {"", 0, "/nonexistent/socket"}, TimePoint::max());
    EXPECT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::kIo);
  });
}

}  // namespace
}  // namespace minerva::io
