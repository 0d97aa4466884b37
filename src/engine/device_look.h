// DeviceLook: asks the engine's variant, in a child process, how much memory its devices have free.
//
// A child takes as long as its driver takes to start, so it is for moments when no engine that runs can say. Drivers
// hang: the child has a time limit. Threading: the loop's thread. Ownership: when a DeviceLook is destroyed, it kills
// its child and calls nobody back. It judges nothing (host/device_limits.h).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "io/loop.h"
#include "io/process.h"
#include "minerva/base/clock.h"

namespace minerva {

class DeviceLook {
 public:
  // Calls `done` once, later: with nothing if the child fails, or has not answered after `time`. `done` may destroy the
  // DeviceLook.
  DeviceLook(io::Loop& loop, const io::ProcessSpec& child, Duration time,
             std::function<void(const DeviceMemories&)> done);

 private:
  void finish(const DeviceMemories& seen);

  std::function<void(const DeviceMemories&)> done_;
  io::Timer deadline_;
  std::string output_;
  std::unique_ptr<io::Process> process_;  // last member, since its handlers use the others
};

}  // namespace minerva
