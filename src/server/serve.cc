#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>

#include "base/log.h"
#include "config/device_pools.h"
#include "config/parking.h"
#include "conversations/store.h"
#include "engine/command_engine.h"
#include "engine/devices.h"
#include "engine/llama_engine.h"
#include "host/access_trace.h"
#include "host/history_keeper.h"
#include "host/runtime_folder.h"
#include "io/descriptor.h"
#include "io/service_manager.h"
#include "server/reload.h"
#include "server/server.h"

namespace minerva {
namespace {

constexpr auto kCloseTimeout = std::chrono::seconds(2);

int cannot_start(const Error& error) {
  fmt::print(stderr, "minerva: {}\n", error.message);
  return error_info(error.code).cli_exit;
}

// Makes the folder, readable for its owner only. A folder that exists keeps its mode, which its owner chose (it may be
// /tmp).
Result<void> make_state_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(folder).parent_path(), error);
  const int made = ::mkdir(folder.c_str(), 0700);
  const int reason = errno;
  if (made == 0 || std::filesystem::is_directory(folder, error)) return {};
  return fail(ErrorCode::kIo, fmt::format("cannot make the state folder {}: {}. Choose another one with --state-dir.",
                                          folder, std::strerror(reason)));
}

// Locks the folder itself, so that no file is left in it. The lock ends with this process, however that ends. A file
// system that has no locks is no reason not to serve. Errors: kConflict: another process serves with this folder.
Result<io::Descriptor> lock_state_folder(const std::string& folder) {
  io::Descriptor lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (lock && ::flock(*lock, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno == EWOULDBLOCK) {
    return fail(ErrorCode::kConflict, fmt::format("another `minerva serve` uses the state folder {}. Stop that one, or "
                                                  "choose another folder with --state-dir.",
                                                  folder));
  }
  log::warn("the state folder {} cannot be locked ({}): do not start a second `minerva serve` with it", folder,
            std::strerror(errno));
  return lock;
}

// The folder of the images; empty if there can be none, with a warning.
std::string image_folder(const Config& config) {
  const Result<void> usable = make_image_folder(config.park_folder);
  // Even if parking is switched off: a reload may switch it on.
  if (!usable && config.park) log::warn("{} Until then models are stopped instead.", usable.error().message);
  return usable ? config.park_folder : std::string();
}

LlamaDriverOptions driver_options(const Config& config, const RuntimeFolder& runtime, const Devices& devices) {
  LlamaDriverOptions options;
  options.engine_path = config.engine;
  options.device_engine_path = devices.engine;
  for (const EngineDevice& device : devices.devices) options.devices.push_back(device.name);
  options.runtime_dir = runtime.path();
  options.sandbox = config.sandbox;
  options.image_folder = image_folder(config);
  return options;
}

// The devices that engines see, each with its pool in `config` from now on.
Devices look_for_devices(Config& config) {
  Devices devices = find_devices({config.engine, config.sandbox});
  for (const std::string& problem : devices.problems) log::warn("{}", problem);
  add_device_pools(config, devices);
  for (const EngineDevice& device : devices.devices) {
    const auto pool = std::find_if(config.devices.begin(), config.devices.end(),
                                   [&](const Device& d) { return d.id == device.name; });
    if (pool == config.devices.end()) {
      log::info(
          "{} ({}) shares the host's memory: no model is placed there. [device.\"{}\"] memory_budget changes that",
          device.name, device.description, device.name);
    } else {
      log::info("{} ({}) has {}, {} of them for models", device.name, device.description, format_bytes(device.total),
                format_bytes(pool->memory_budget));
    }
  }
  for (const Device& device : config.devices) {
    const bool is_seen = std::any_of(devices.devices.begin(), devices.devices.end(),
                                     [&](const EngineDevice& d) { return d.name == device.id; });
    if (!is_seen) {
      log::warn(
          "the config has a device \"{}\", and no engine sees such a device: no model is placed there. `minerva "
          "devices` lists those there are",
          device.id);
    }
  }
  return devices;
}

void warn_of_sockets_left(const io::ServiceManager& manager) {
  for (const std::string& address : manager.sockets_left()) {
    log::warn("the service manager hands over a socket on {}, which no `listen` names: nobody answers there", address);
  }
}

// Listens on every address of the config. Returns the first address, with its real port. The [::1] beside it gets the
// same port. Errors: kIo, except for such an [::1], which not every machine has.
Result<io::Address> listen_everywhere(Server& server, const Config& config, bool has_tls, io::ServiceManager& manager) {
  std::optional<io::Address> first;
  for (io::Address address : config.listen) {
    const bool optional = first && address.host == "::1";
    if (address.port == 0 && first && !first->is_unix()) address.port = first->port;
    const Result<io::Address> bound = server.listen(address, manager.take_socket(address));
    if (!bound && !optional) {
      warn_of_sockets_left(manager);  // one of these may be what has the port
      return fail(bound.error());
    }
    if (!bound) log::warn("{} is not listened on: {}", address.text(), bound.error().message);
    if (!bound) continue;
    if (!first) first = *bound;
    if (bound->is_loopback() || has_tls) continue;
    log::warn(
        "{} is reached without TLS: API keys and conversations can be read on the way. Set tls.certificate and "
        "tls.key, or put a proxy that speaks HTTPS before it",
        bound->text());
  }
  warn_of_sockets_left(manager);
  return *first;
}

// Names in the config that lead nowhere.
void warn_of_names(const Service& service) {
  for (const api::Preset& preset : service.config.presets) {
    if (service.catalog.look_up(preset.model) != nullptr) continue;
    log::warn("preset \"{}\" is of \"{}\", and there is no such model: who asks for it gets a 404", preset.id,
              preset.model);
  }
  const std::string& name = service.config.default_model;
  if (name.empty() && service.config.unknown_model == "default") {
    log::warn("unknown_model is \"default\", and default_model names none: who asks for an unknown model gets a 404");
  }
  if (name.empty() || service.find_preset(name) != nullptr || service.catalog.look_up(name) != nullptr) return;
  log::warn(
      "default_model is \"{}\", and there is no such model: who names none gets a 404. `minerva models` lists what "
      "there is",
      name);
}

// `then` is called once the running requests have ended, or the time for them has.
void drain(Service& service, Server& server, io::Timer& close_timer, const std::function<void()>& then) {
  const Duration limit = service.config.drain_timeout;
  log::info("draining: no new work, running requests may finish within {} s",
            std::chrono::duration_cast<std::chrono::seconds>(limit).count());
  service.draining = true;
  server.drain();
  service.timetable.stop();
  service.host.drain(Clock::now() + limit, [&server, &close_timer, then] {
    server.stop_accepting();
    // Gives the last answers time to go out.
    close_timer.arm(Clock::now() + kCloseTimeout, [&server] { server.close_all(); });
    server.when_all_closed(then);
  });
}

}  // namespace

// Long because it makes the parts of the server in their one right order, each from those before.
int serve(const ConfigSource& source, const Config& given) {
  Config config = given;  // the running config: a reload changes it
  configure_log(config);
  io::ServiceManager manager;  // made while there is only one thread
  for (const std::string& warning : source.warnings) log::warn("{}", warning);
  if (const Result<void> made = make_state_folder(config.state_dir); !made) return cannot_start(made.error());
  // Before anything in the folder is read.
  const Result<io::Descriptor> lock = lock_state_folder(config.state_dir);
  if (!lock) return cannot_start(lock.error());
  const Result<RuntimeFolder> runtime = RuntimeFolder::make();
  if (!runtime) return cannot_start(runtime.error());
  auto policy = make_policy(config.policy);
  if (!policy) return cannot_start(policy.error());
  if (::access(config.engine.c_str(), X_OK) != 0) {
    return cannot_start(
        {ErrorCode::kIo, fmt::format("there is no engine at {}. `make build` makes it.", config.engine)});
  }

  std::shared_ptr<io::TlsContext> tls;
  if (!config.tls_certificate.empty()) {
    Result<std::shared_ptr<io::TlsContext>> loaded = io::TlsContext::load(config.tls_certificate, config.tls_key);
    if (!loaded) return cannot_start(loaded.error());
    tls = *std::move(loaded);
  }

  Devices devices = look_for_devices(config);
  io::Loop loop;
  const std::unique_ptr<EngineDriver> driver =
      make_command_driver(loop, {default_launcher_path(), runtime->path()},
                          make_llama_driver(loop, driver_options(config, *runtime, devices)));
  Catalog catalog(
      {config.models_dirs, config.models, config.state_dir, config.models_dirs_are_default, config.may_fit()}, *driver,
      &loop);
  const ContextOptions options = context_options(config, Bytes());
  // Declared before the host, since the last leases end when the host ends.
  std::optional<AccessTrace> trace;
  if (config.trace) trace.emplace(loop, trace_folder(config));
  // A token costs about as much more as the model is larger. That orders the models, which is all that is needed.
  conversations::Store kept(loop, conversations_folder(config), [&catalog](const ModelId& model) {
    const ModelSpec* const spec = catalog.find(model);
    return spec == nullptr ? 0.0 : static_cast<double>(spec->size.count());
  });
  ModelHost host(loop, catalog, *driver, ContextManager(options, std::move(*policy)),
                 {config.stop_grace, config.stall_timeout, config.min_free_memory});
  host.keep_conversations(kept);
  Service service(loop, config, catalog, host, kept, std::move(devices));
  Server server(service, tls);
  host.on_engine_gone([&](EngineId engine) { service.engine_gone(engine); });
  if (trace) host.on_access([&](const Access& access) { trace->record(access); });

  const auto address = listen_everywhere(server, config, tls != nullptr, manager);
  if (!address) return cannot_start(address.error());

  service.catalog_watch.start();
  service.conversations.apply();
  HistoryKeeper history(loop, host, config.state_dir + "/history.json", config.restore);
  const std::string url = address->is_unix() ? address->text() : (tls ? "https://" : "http://") + address->text();
  log::info("{} models, {} for them (policy {}{})", catalog.list().size(), format_bytes(options.memory_budget),
            config.policy, config.max_models == 0 ? "" : fmt::format(", at most {} at once", config.max_models));
  warn_of_budget(config, Bytes());  // no engine runs yet
  warn_of_names(service);
  service.memory_watch.start();
  service.downloads.start();
  service.samples.start();
  Reload reload(source, config, service);
  reload.watch_file();
  io::Timer close_timer(loop);
  io::Timer watchdog(loop);
  loop.on_signal([&](int signal) {
    if (signal == SIGHUP) {
      reload.now();
      return;
    }
    if (service.draining) {
      log::warn("stopping at once");
      server.close_all();
      loop.stop();
      return;
    }
    manager.stopping();
    drain(service, server, close_timer, [&] { loop.stop(); });
  });
  // On stdout, so that whoever started the server learns the port. Signals are handled by now.
  fmt::print("minerva listens on {}\n", url);
  std::fflush(stdout);
  manager.ready();
  manager.keep_alive(watchdog);
  loop.run();
  service.pool.clear();
  service.downloads.finish();
  history.finish();
  kept.finish();
  catalog.finish();
  log::info("stopped");
  return 0;
}

}  // namespace minerva
