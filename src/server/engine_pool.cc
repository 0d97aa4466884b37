#include "server/engine_pool.h"

namespace minerva {

io::Task<Result<EnginePool::Taken>> EnginePool::take(EngineId engine, io::Address address, bool fresh) {
  const auto found = idle_.find(engine);
  if (!fresh && found != idle_.end() && !found->second.empty()) {
    Idle idle = std::move(found->second.back());
    found->second.pop_back();
    if (Clock::now() - idle.since < kMaxIdle) co_return Taken{std::move(idle.connection), true};
    found->second.clear();  // the others are older
  }
  auto stream = co_await io::connect(loop_, std::move(address), Clock::now() + kConnectTimeout);
  if (!stream) co_return Failure(stream.error());
  co_return Taken{std::make_unique<io::HttpClientConnection>(std::move(*stream)), false};
}

void EnginePool::give(EngineId engine, std::unique_ptr<io::HttpClientConnection> connection) {
  if (!connection->reusable() || connection->requests() >= kMaxRequests) return;
  std::vector<Idle>& kept = idle_[engine];
  if (kept.size() >= kMaxKept) return;
  kept.push_back({std::move(connection), Clock::now()});
  if (!purge_armed_) {
    purge_armed_ = true;
    purge_timer_.arm(Clock::now() + kMaxIdle, [this] { purge(); });
  }
}

void EnginePool::purge() {
  purge_armed_ = false;
  const TimePoint now = Clock::now();
  for (auto& [engine, kept] : idle_) {
    std::erase_if(kept, [&](const Idle& idle) { return now - idle.since >= kMaxIdle; });
  }
  std::erase_if(idle_, [](const auto& entry) { return entry.second.empty(); });
  if (idle_.empty()) return;
  purge_armed_ = true;
  purge_timer_.arm(now + kMaxIdle, [this] { purge(); });
}

}  // namespace minerva
