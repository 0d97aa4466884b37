#include "engine/device_look.h"

#include <signal.h>

#include <utility>

#include "base/log.h"
#include "engine/devices.h"

namespace minerva {
namespace {

constexpr std::size_t kLongestOutput = 1 << 18;

DeviceMemories memories_in(std::string_view output) {
  DeviceMemories seen;
  const auto devices = parse_device_list(output);
  if (!devices) return seen;
  for (const EngineDevice& device : *devices) seen[device.name] = {device.total, device.free};
  return seen;
}

}  // namespace

DeviceLook::DeviceLook(io::Loop& loop, const io::ProcessSpec& child, Duration time,
                       std::function<void(const DeviceMemories&)> done)
    : done_(std::move(done)), deadline_(loop) {
  io::Process::Handlers handlers;
  handlers.on_stdout = [this](std::string_view line) {
    if (output_.size() + line.size() <= kLongestOutput) output_ += line;
  };
  handlers.on_exit = [this](const io::ExitStatus& status) {
    finish(status.signal == 0 && status.code == 0 ? memories_in(output_) : DeviceMemories());
  };
  auto process = io::Process::spawn(loop, child, std::move(handlers));
  if (!process) {
    deadline_.arm(Clock::now(), [this] { finish({}); });
    return;
  }
  process_ = std::move(*process);
  process_->close_stdin();
  deadline_.arm(Clock::now() + time, [this] {
    log::warn("the devices' driver does not answer: how much memory is free there is not known");
    process_->signal_group(SIGKILL);
    finish({});
  });
}

void DeviceLook::finish(const DeviceMemories& seen) {
  deadline_.cancel();
  // Moved out first, since the call may destroy this object.
  const auto done = std::exchange(done_, nullptr);
  if (done) done(seen);
}

}  // namespace minerva
