#include "io/loop.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "io/io_test_support.h"

namespace minerva::io {
namespace {

TEST(Loop, PostsFromOtherThreadsAndOffloads) {
  run_on_loop([](Loop& loop) -> Task<void> {
    const auto loop_thread = std::this_thread::get_id();
    Signal done(loop);
    std::thread::id worked_on;
    std::thread::id finished_on;
    loop.offload(
        Lane::kAwaited, [&] { worked_on = std::this_thread::get_id(); },
        [&] {
          finished_on = std::this_thread::get_id();
          done.notify();
        });
    co_await done.wait();
    EXPECT_NE(worked_on, loop_thread);
    EXPECT_EQ(finished_on, loop_thread);

    Signal posted(loop);
    std::thread other([&] { loop.post([&] { posted.notify(); }); });
    co_await posted.wait();
    other.join();
  });
}

TEST(Loop, AWriterThatBlocksHoldsUpNothingThatARequestWaitsFor) {
  run_on_loop([](Loop& loop) -> Task<void> {
    constexpr int kWriters = 20;
    std::promise<void> disk;
    const std::shared_future<void> disk_answers = disk.get_future().share();
    int written = 0;
    Signal all_written(loop);
    for (int i = 0; i < kWriters; ++i) {
      loop.offload(
          Lane::kDisk, [disk_answers] { disk_answers.wait(); },
          [&] {
            if (++written == kWriters) all_written.notify();
          });
    }
    Signal answered(loop);
    loop.offload(Lane::kAwaited, [] {}, [&] { answered.notify(); });
    const bool in_time = co_await answered.wait_until(Clock::now() + std::chrono::seconds(30));
    EXPECT_TRUE(in_time);
    EXPECT_EQ(written, 0);
    disk.set_value();
    co_await all_written.wait();
    if (!in_time) co_await answered.wait();
  });
}

TEST(Timer, ReArmingAndCancellingForgetTheEarlierCall) {
  run_on_loop([](Loop& loop) -> Task<void> {
    int first = 0;
    int second = 0;
    int cancelled = 0;
    Timer timer(loop);
    Timer other(loop);
    Signal done(loop);
    timer.arm(Clock::now(), [&] { ++first; });
    timer.arm(Clock::now() + std::chrono::milliseconds(1), [&] {
      ++second;
      done.notify();
    });
    other.arm(Clock::now(), [&] { ++cancelled; });
    other.cancel();
    co_await done.wait();
    EXPECT_EQ(first, 0);
    EXPECT_EQ(second, 1);
    EXPECT_EQ(cancelled, 0);
  });
}

TEST(Signal, IsKeptAndTellsWhichCameFirst) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Signal signal(loop);
    signal.notify();
    signal.notify();
    EXPECT_TRUE(co_await signal.wait_until(TimePoint::max())) << "kept for the next wait";
    EXPECT_FALSE(co_await signal.wait_until(Clock::now())) << "two are one";
    loop.post([&] { signal.notify(); });
    EXPECT_TRUE(co_await signal.wait_until(TimePoint::max()));
  });
}

}  // namespace
}  // namespace minerva::io
