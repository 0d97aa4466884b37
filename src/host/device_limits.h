// DeviceLimits: judges from what drivers say of devices' memory how much models may have there, beside other programs,
// and how much of it the drivers themselves take for each engine.
//
// What models may have is what they have, and what is free beyond a margin. It falls at once when another program takes
// memory, and rises once the memory has been free for some seconds, so that nothing flips back and forth. Drivers that
// say that all is free, whatever is taken, say nothing.
// Pure: the caller passes samples and the time. Threading: any one thread. It decides nothing: the core does
// (DevicesChanged).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "engine/engine.h"
#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"

namespace minerva {

class DeviceLimits {
 public:
  // `held`: what models have of the device by the core's account. `moves`: a number that changes whenever an engine
  // takes memory there or gives some back. Requires: none does just now, and `now` does not go back.
  void sample(const std::string& device, const DeviceMemory& memory, Bytes held, std::uint64_t moves, TimePoint now);
  // Nobody can say any more what is free there.
  void forget(const std::string& device) { devices_.erase(device); }

  // How much models may have of it; nothing: there is no bound, as far as is known.
  std::optional<Bytes> available(const std::string& device) const;
  // As of the last sample; nothing if there is none, or if the driver says nothing.
  std::optional<Bytes> free(const std::string& device) const;
  // The same, if the sample is of the last moments and no engine has moved since.
  std::optional<Bytes> free_now(const std::string& device, std::uint64_t moves, TimePoint now) const;
  // Whether there is a sample of the last moments, whatever it says.
  bool is_recent(const std::string& device, TimePoint now) const;

  // An engine has loaded and takes `own` by its own account. Before its load the device had `before` free, now `after`,
  // and no other engine has moved meanwhile.
  void learn_share(const std::string& device, Bytes before, Bytes after, Bytes own);
  // What the driver takes there for each engine, beyond the engine's own account.
  Bytes share(const std::string& device) const;

 private:
  struct Seen {
    DeviceMemory memory;
    std::uint64_t moves = 0;
    std::deque<std::pair<TimePoint, Bytes>> available;  // of the last moments, the newest last
  };
  std::map<std::string, Seen> devices_;
  std::map<std::string, std::deque<Bytes>> shares_;  // of the latest loads
};

}  // namespace minerva
