#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "base/log.h"
#include "engine/llama_engine.h"
#include "host/runtime_folder.h"
#include "server/server.h"

namespace minerva {
namespace {

constexpr auto kCloseTimeout = std::chrono::seconds(2);

int cannot_start(const Error& error) {
  fmt::print(stderr, "minerva: {}\n", error.message);
  return error_info(error.code).cli_exit;
}

log::Level level_of(const std::string& name) {
  if (name == "debug") return log::Level::kDebug;
  if (name == "warn") return log::Level::kWarn;
  if (name == "error") return log::Level::kError;
  return log::Level::kInfo;
}

ContextOptions context_options(const Config& config) {
  ContextOptions options;
  options.max_models = config.max_models;
  options.memory_budget = resolve_budget(config.memory_budget);
  options.max_queue_per_model = config.max_queue_per_model;
  options.max_queue = config.max_queue;
  options.load_timeout = config.load_timeout;
  options.min_residency = config.min_residency;
  return options;
}

LlamaDriverOptions driver_options(const Config& config, const RuntimeFolder& runtime) {
  LlamaDriverOptions options;
  options.engine_path = config.engine;
  options.runtime_dir = runtime.path();
  options.sandbox = config.sandbox;
  return options;
}

}  // namespace

int serve(const Config& config) {
  log::configure(level_of(config.log_level), config.log_format == "json" ? log::Format::kJson : log::Format::kText);
  std::error_code error;
  std::filesystem::create_directories(config.state_dir, error);
  if (error) {
    return cannot_start({ErrorCode::kIo, fmt::format("cannot make the state folder {}: {}. Choose another one with "
                                                     "--state-dir.",
                                                     config.state_dir, error.message())});
  }
  ::chmod(config.state_dir.c_str(), 0700);
  const Result<RuntimeFolder> runtime = RuntimeFolder::make();
  if (!runtime) return cannot_start(runtime.error());
  auto policy = make_policy(config.policy);
  if (!policy) return cannot_start(policy.error());
  if (::access(config.engine.c_str(), X_OK) != 0) {
    return cannot_start(
        {ErrorCode::kIo, fmt::format("there is no engine at {}. `make build` makes it.", config.engine)});
  }

  io::Loop loop;
  const std::unique_ptr<EngineDriver> driver = make_llama_driver(loop, driver_options(config, *runtime));
  const CatalogOptions catalog_options{config.models_dirs, config.models, config.state_dir};
  Catalog catalog(catalog_options, *driver);
  const ContextOptions options = context_options(config);
  ModelHost host(loop, catalog, *driver, ContextManager(options, std::move(*policy)), {config.stop_grace});
  Service service(loop, config, catalog, catalog_options, host);
  Server server(service);
  host.on_engine_gone([&](EngineId engine) { service.pool.forget(engine); });

  const auto address = server.listen(config.listen);
  if (!address) return cannot_start(address.error());

  ScanResult scanned = Catalog::scan(catalog_options);
  for (const std::string& problem : scanned.problems) log::warn("{}", problem);
  const std::size_t count = scanned.models.size();
  host.apply(catalog.apply(std::move(scanned)));
  const std::string url = address->is_unix() ? address->text() : "http://" + address->text();
  log::info("{} models, {} for them (policy {}{})", count, format_bytes(options.memory_budget), config.policy,
            config.max_models == 0 ? "" : fmt::format(", at most {} at once", config.max_models));
  // On stdout, so that whoever started it learns the port.
  fmt::print("minerva listens on {}\n", url);
  std::fflush(stdout);

  io::Timer close_timer(loop);
  loop.on_signal([&](int signal) {
    if (signal == SIGHUP) {
      loop.spawn(service.refresh_catalog());
      return;
    }
    if (service.draining) {
      log::warn("stopping at once");
      server.close_all();
      loop.stop();
      return;
    }
    log::info("draining: no new work, running requests may finish within {} s",
              std::chrono::duration_cast<std::chrono::seconds>(config.drain_timeout).count());
    service.draining = true;
    server.stop_accepting();
    host.drain(Clock::now() + config.drain_timeout, [&] {
      // The last answers may still be on their way out.
      close_timer.arm(Clock::now() + kCloseTimeout, [&] { server.close_all(); });
      server.when_all_closed([&] { loop.stop(); });
    });
  });
  loop.run();
  service.pool.clear();
  log::info("stopped");
  return 0;
}

}  // namespace minerva
