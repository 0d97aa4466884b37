// KeepAlive: how long a model stays after a request that says so itself ("keep_alive" of Ollama's API), in the place of
// the config's ttl. It counts until the next request for the model, of any API.
//
// It can only shorten: what the config's ttl, a full memory or an operator moves out earlier is gone earlier. A pinned
// model stays.
// Threading: the loop's thread. Ownership: the Loop and the ModelHost outlive it.
#pragma once

#include <map>
#include <optional>

#include "host/model_host.h"
#include "io/loop.h"

namespace minerva {

class KeepAlive {
 public:
  KeepAlive(io::Loop& loop, ModelHost& host) : loop_(loop), host_(host) {}

  // Once it was idle for `time` from now on, `model` is parked, or stopped if it cannot be. 0: now, if it is idle.
  void set(const ModelId& model, Duration time);
  // A new request for it: what was set does not count any more.
  void forget(const ModelId& model) { leaving_.erase(model); }
  // When it will leave; nothing if nothing was set.
  std::optional<TimePoint> leaves_at(const ModelId& model) const;

 private:
  struct Leaving {
    explicit Leaving(io::Loop& loop) : timer(loop) {}
    io::Timer timer;
    TimePoint at;
  };
  void move_out(const ModelId& model, Duration time);

  io::Loop& loop_;
  ModelHost& host_;
  std::map<ModelId, Leaving> leaving_;
};

}  // namespace minerva
