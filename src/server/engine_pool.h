// EnginePool: keeps connections to engines alive for the next request.
//
// llama.cpp's server closes a connection after 5 s without a request, or after 100 requests. A request on a connection
// that is just being closed looks like a crash of the engine. So a connection is used again only well within both
// limits.
// Threading: the loop's thread.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "io/http.h"
#include "io/loop.h"
#include "minerva/base/ids.h"

namespace minerva {

class EnginePool {
 public:
  explicit EnginePool(io::Loop& loop) : loop_(loop), purge_timer_(loop) {}

  struct Taken {
    std::unique_ptr<io::HttpClientConnection> connection;
    bool reused = false;
  };
  // A connection to the engine: a kept one, unless `fresh` or there is none. Errors: kIo.
  io::Task<Result<Taken>> take(EngineId engine, io::Address address, bool fresh);
  // Gives a connection back. It is kept only if it may carry another request.
  void give(EngineId engine, std::unique_ptr<io::HttpClientConnection> connection);
  void forget(EngineId engine) { idle_.erase(engine); }
  void clear() { idle_.clear(); }

 private:
  static constexpr auto kMaxIdle = std::chrono::seconds(3);
  static constexpr unsigned kMaxRequests = 95;
  static constexpr std::size_t kMaxKept = 64;  // per engine
  static constexpr auto kConnectTimeout = std::chrono::seconds(5);

  struct Idle {
    std::unique_ptr<io::HttpClientConnection> connection;
    TimePoint since;
  };
  void purge();

  io::Loop& loop_;
  io::Timer purge_timer_;
  bool purge_armed_ = false;
  std::map<EngineId, std::vector<Idle>> idle_;  // the most recently used last
};

}  // namespace minerva
