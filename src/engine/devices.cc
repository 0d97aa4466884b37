#include "engine/devices.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/engine.h"
#include "engine/engine_surroundings.h"
#include "engine/json_member.h"
#include "io/process.h"
#include "protocol/child.h"

namespace minerva {
namespace {

using nlohmann::json;

constexpr std::size_t kMostListed = 64;
constexpr std::size_t kLongestDeviceText = 256;
constexpr std::size_t kLongestList = 1 << 18;

struct EngineVariant {
  std::string_view name;
  std::string_view backend;
};
constexpr std::array kVariants = {EngineVariant{"cuda", "CUDA"}, EngineVariant{"vulkan", "Vulkan"}};

// Runs the variant's listing. Errors: a sentence about what to do.
Result<std::vector<EngineDevice>> ask_variant(const std::string& engine, const EngineVariant& variant,
                                              const DeviceProbe& probe) {
  io::Loop loop;
  io::Timer deadline(loop);
  EngineLog log;
  std::string output;
  bool timed_out = false;
  std::optional<io::ExitStatus> status;
  io::ProcessSpec child;
  child.argv = {engine, protocol::kListDevicesCommand};
  child.environment = engine_environment(device_environment());
  child.environment.push_back(fmt::format("{}={}", protocol::kSandboxVariable, probe.sandbox));
  if (!shader_cache().empty()) {
    child.environment.push_back(
        fmt::format("{}={} {}", protocol::kSandboxPathsVariable, protocol::kMayWrite, shader_cache()));
  }
  io::Process::Handlers handlers;
  handlers.on_stdout = [&output](std::string_view line) {
    if (output.size() + line.size() <= kLongestList) output += line;
  };
  handlers.on_stderr = [&log](std::string_view line) { log.append(line); };
  handlers.on_exit = [&](io::ExitStatus ended) {
    status = ended;
    loop.stop();
  };
  auto process = io::Process::spawn(loop, child, std::move(handlers));
  if (!process) return fail(process.error());
  (*process)->close_stdin();
  deadline.arm(Clock::now() + probe.time, [&] {
    timed_out = true;
    (*process)->signal_group(SIGKILL);
    // A driver may hold its process in the kernel, where no signal ends it: nobody waits for that.
    loop.stop();
  });
  loop.run();
  if (timed_out) {
    return fail(
        ErrorCode::kEngineTimeout,
        fmt::format("The {} driver does not answer: it was given up after {} s. Models run in the host's memory. "
                    "See the kernel's log (dmesg), then start Minerva again.",
                    variant.backend, std::chrono::duration_cast<std::chrono::seconds>(probe.time).count()));
  }
  const std::string words = log.last_words();
  if (status->signal != 0 || status->code != 0) {
    const std::string_view loader = variant.name == "vulkan" ? "libvulkan1" : "NVIDIA's driver";
    const bool lacks_library = words.find("error while loading shared libraries") != std::string::npos;
    return fail(ErrorCode::kInternal, fmt::format("{} cannot list devices ({}){}. Models run in the host's memory.{}",
                                                  engine, status->text(), words.empty() ? "" : ": " + words,
                                                  lacks_library ? fmt::format(" Install {}.", loader) : std::string()));
  }
  auto devices = parse_device_list(output);
  if (devices && devices->empty()) {
    return fail(ErrorCode::kInternal,
                fmt::format("{} sees no device{}. Models run in the host's memory. The guide says what to install.",
                            engine, words.empty() ? "" : fmt::format(" ({})", words)));
  }
  return devices;
}

std::string device_text(const json& object, const char* name) {
  const json* const value = member(object, name);
  return value != nullptr && value->is_string() ? value->get<std::string>().substr(0, kLongestDeviceText)
                                                : std::string();
}

std::optional<Bytes> device_size(const json& object, const char* name) {
  const json* const value = member(object, name);
  if (value == nullptr || !value->is_number_unsigned()) return std::nullopt;
  return Bytes(value->get<std::uint64_t>());
}

}  // namespace

std::vector<std::string> device_environment() {
  static constexpr std::array kNames = {"GGML_VK_VISIBLE_DEVICES", "VK_DRIVER_FILES", "VK_ICD_FILENAMES",
                                        "CUDA_VISIBLE_DEVICES", "MESA_VK_DEVICE_SELECT"};
  std::vector<std::string> environment;
  for (const char* const name : kNames) {
    if (const char* const value = std::getenv(name); value != nullptr) {
      environment.push_back(fmt::format("{}={}", name, value));
    }
  }
  // Where the sandbox has no folder for it, each driver would complain.
  environment.push_back(shader_cache().empty() ? "MESA_SHADER_CACHE_DISABLE=true"
                                               : fmt::format("MESA_SHADER_CACHE_DIR={}", shader_cache()));
  return environment;
}

std::string shader_cache() {
  const char* const folder = std::getenv("MESA_SHADER_CACHE_DIR");
  return folder == nullptr ? "" : folder;
}

Devices find_devices(const DeviceProbe& probe) {
  Devices found;
  for (const EngineVariant& variant : kVariants) {
    const std::string engine =
        std::filesystem::path(probe.engine).parent_path() / fmt::format("minerva-engine-{}", variant.name);
    if (::access(engine.c_str(), X_OK) != 0) continue;
    auto devices = ask_variant(engine, variant, probe);
    if (devices) {
      found.engine = engine;
      found.backend = variant.backend;
      found.devices = *std::move(devices);
      break;
    }
    found.problems.push_back(devices.error().message);
  }
  return found;
}

Result<std::vector<EngineDevice>> parse_device_list(std::string_view text) {
  const json data = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const json* const list = data.is_object() ? member(data, "devices") : nullptr;
  if (list == nullptr || !list->is_array()) {
    return fail(ErrorCode::kInternal, "the engine printed no list of devices");
  }
  std::vector<EngineDevice> devices;
  for (const json& entry : *list) {
    if (!entry.is_object() || devices.size() == kMostListed) continue;
    const auto total = device_size(entry, "total_bytes");
    const auto free = device_size(entry, "free_bytes");
    const std::string name = device_text(entry, "name");
    if (name.empty() || !total || !free) return fail(ErrorCode::kInternal, "the engine's list of devices is damaged");
    devices.push_back({name, device_text(entry, "description"), device_text(entry, "type") == "igpu", *total, *free});
  }
  return devices;
}

}  // namespace minerva
