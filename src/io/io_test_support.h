// For the tests of this folder: runs a loop in the test's thread for a bounded time, and makes pairs of connected
// streams.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "io/loop.h"
#include "io/stream.h"

namespace minerva::io {

// Runs `body` to its end on a fresh loop. A test that hangs fails after a generous time, instead of blocking the run.
inline void run_on_loop(const std::function<Task<void>(Loop&)>& body) {
  Loop loop;
  bool finished = false;
  Timer bound(loop);
  bound.arm(Clock::now() + std::chrono::seconds(60), [&] { loop.stop(); });
  // The coroutine's frame refers to this lambda, which outlives it.
  const auto whole = [&]() -> Task<void> {
    co_await body(loop);
    finished = true;
    loop.stop();
  };
  loop.post([&] { loop.spawn(whole()); });
  loop.run();
  ASSERT_TRUE(finished) << "the test did not finish in time";
}

struct StreamPair {
  std::unique_ptr<Stream> client;
  std::unique_ptr<Stream> server;
};

// Two ends of a TCP connection over loopback. The coroutine takes its arguments by value, so that it outlives the
// caller's temporaries.
inline Task<StreamPair> connected_pair(Loop& loop) {
  StreamPair pair;
  Signal accepted(loop);
  auto listener = Listener::open(loop, {"127.0.0.1", 0, ""}, [&](std::unique_ptr<Stream> stream) {
    pair.server = std::move(stream);
    accepted.notify();
  });
  EXPECT_TRUE(listener.has_value());
  auto client = co_await connect(loop, (*listener)->address(), TimePoint::max());
  EXPECT_TRUE(client.has_value());
  pair.client = std::move(*client);
  co_await accepted.wait();
  co_return pair;
}

inline Task<std::string> read_exactly(Stream& stream, std::size_t count) {
  std::string text(count, '\0');
  std::size_t have = 0;
  while (have < count) {
    const IoResult result = co_await stream.read_some(std::span<char>(text.data() + have, count - have));
    if (result.bytes == 0) break;
    have += result.bytes;
  }
  text.resize(have);
  co_return text;
}

inline Task<std::string> read_to_end(Stream& stream) {
  std::string text;
  std::array<char, 4096> buffer{};
  while (true) {
    const IoResult result = co_await stream.read_some(buffer);
    if (result.bytes == 0) co_return text;
    text.append(buffer.data(), result.bytes);
  }
}

inline Task<std::error_code> write_all(Stream& stream, std::string text) {
  std::array<std::string_view, 1> buffers{text};
  const IoResult result = co_await stream.write(buffers);
  co_return result.error;
}

}  // namespace minerva::io
