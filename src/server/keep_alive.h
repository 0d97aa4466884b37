// KeepAlive: how long a model stays after a request that says so ("keep_alive" in Ollama's API), in place of the
// config's ttl. It holds until the next request for the model, of any API.
//
// It can only shorten the stay: the config's ttl, a full memory or an operator may move the model out earlier. A pinned
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

  // Once `model` has been idle for `time` from now on, it is parked, or stopped if it cannot be parked. 0: now, if it
  // is idle.
  void set(const ModelId& model, Duration time);
  // A new request came for the model: what was set is forgotten.
  void forget(const ModelId& model) { leaving_.erase(model); }
  // When the model will leave; nothing if nothing was set.
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
