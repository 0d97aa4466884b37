// For fuzz targets: a Stream whose peer has sent everything ahead, in pieces of the fuzzer's input.
//
// Threading: one thread. Nothing ever suspends, so a coroutine over it runs to its end inside Loop::spawn.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "io/stream.h"

namespace minerva::fuzz {

// Reads return `input` in pieces of at most `piece` bytes, and then the end of the stream. Writes are kept.
class MemoryStream final : public io::Stream {
 public:
  MemoryStream(std::string_view input, std::size_t piece) : input_(input), piece_(std::max<std::size_t>(piece, 1)) {}

  void set_read_deadline(TimePoint) override {}
  void set_write_deadline(TimePoint) override {}
  void watch_peer(std::function<void()>) override {}
  void unwatch_peer() override {}
  void shutdown_write() override {}
  void close() override { input_ = {}; }
  std::string peer_name() const override { return "memory"; }

 protected:
  bool try_read(std::span<char> buffer, io::IoResult& result) override {
    const std::size_t count = std::min({buffer.size(), piece_, input_.size()});
    std::copy_n(input_.begin(), count, buffer.begin());
    input_.remove_prefix(count);
    result = {count, {}};
    return true;
  }
  bool try_write(std::span<std::string_view>& buffers, io::IoResult& result) override {
    for (const std::string_view buffer : buffers) result.bytes += buffer.size();
    return true;
  }
  void start_read(std::span<char>, io::IoResult&, std::coroutine_handle<>) override {}
  void start_write(std::span<std::string_view>, io::IoResult&, std::coroutine_handle<>) override {}

 private:
  std::string_view input_;
  std::size_t piece_;
};

}  // namespace minerva::fuzz
