#include "server/reload.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <filesystem>
#include <random>

#include "base/log.h"
#include "config/device_pools.h"
#include "config/parking.h"

namespace minerva {

void configure_log(const Config& config) {
  log::Level level = log::Level::kInfo;
  if (config.log_level == "debug") level = log::Level::kDebug;
  if (config.log_level == "warn") level = log::Level::kWarn;
  if (config.log_level == "error") level = log::Level::kError;
  log::configure(level, config.log_format == "json" ? log::Format::kJson : log::Format::kText);
}

void warn_of_budget(const Config& config, Bytes held) {
  if (const std::string warning = budget_warning(config, io::read_machine_memory(), held); !warning.empty()) {
    log::warn("{}", warning);
  }
}

ContextOptions context_options(const Config& config, Bytes images) {
  ContextOptions options;
  options.max_models = config.max_models;
  options.memory_budget = resolve_budget(config.memory_budget, io::read_machine_memory());
  options.devices = config.devices;
  options.parking = parking_limits(config, options.memory_budget, images);
  options.prediction = config.prediction;
  options.max_queue_per_model = config.max_queue_per_model;
  options.max_queue = config.max_queue;
  options.load_timeout = config.load_timeout;
  options.min_residency = config.min_residency;
  options.head_start = config.head_start;
  options.max_switches_per_second = config.max_switches_per_second;
  options.jitter_seed = std::random_device()();
  return options;
}

std::vector<std::string> Reload::files() const {
  std::vector<std::string> files;
  for (const std::string& file : {source_.file, running_.api_key_file}) {
    if (!file.empty()) files.push_back(file);
  }
  return files;
}

void Reload::watch_file() {
  if (files().empty()) return;
  seen_ = file_state();
  // Watches the folders, not the files: editors and deployments put another file in the place of the old one.
  auto watch = io::FolderWatch::open(service_.loop, io::FolderWatch::Notice::kWritten, [this] {
    if (const std::string state = file_state(); !state.empty() && state != seen_) now();
  });
  if (!watch) {
    log::warn("{}; send SIGHUP after changing {}", watch.error().message, fmt::join(files(), " or "));
    return;
  }
  watch_ = std::move(*watch);
  watch_folders();
}

void Reload::watch_folders() {
  std::vector<std::string> folders;
  for (const std::string& file : files()) {
    std::error_code error;
    folders.push_back(std::filesystem::absolute(file, error).parent_path().string());
  }
  watch_->watch(folders);
}

void Reload::now() {
  seen_ = file_state();
  Result<Config> next = source_.load();
  if (!next) {
    log::error("the config was not reloaded, what runs stays as it is: {}", next.error().message);
    return;
  }
  add_device_pools(*next, service_.devices);
  const ConfigChanges changes = compare_configs(running_, *next);
  const bool other_files = running_.api_key_file != next->api_key_file;
  running_ = std::move(*next);
  if (other_files && watch_) {
    seen_ = file_state();
    watch_folders();
  }
  service_.sessions.keep([&](UserId user) { return running_.accepted_keys.find_user(user).has_value(); });
  service_.conversations.apply();
  configure_log(running_);
  service_.catalog.set_options(running_.models_dirs, running_.models_dirs_are_default, running_.models,
                               running_.may_fit());
  Bytes images;
  for (const ModelView& model : service_.host.context().models(Clock::now())) images += model.image;
  service_.host.set_limits(context_options(running_, images),
                           {running_.stop_grace, running_.stall_timeout, running_.min_free_memory});
  service_.memory_watch.set_min_free(running_.min_free_memory);
  warn_of_budget(running_, service_.host.context().reserved_memory());
  for (const std::string& name : changes.at_restart) log::warn("{} has changed: that needs a restart", name);
  service_.statuses.take_listing();  // the list of presets may have changed
  service_.events.take_config(changes.live, changes.at_restart, std::chrono::system_clock::now());
  service_.tell_watchers();
  log::info("config reloaded: {}",
            changes.live.empty() ? "nothing to change" : fmt::format("changed {}", fmt::join(changes.live, ", ")));
  service_.loop.spawn(service_.catalog_watch.refresh());
}

std::string Reload::file_state() const {
  std::string state;
  for (const std::string& file : files()) {
    struct stat status{};
    if (::stat(file.c_str(), &status) != 0) return {};
    state += fmt::format("{} {} {} {}.{} ", status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec,
                         status.st_mtim.tv_nsec);
  }
  return state;
}

}  // namespace minerva
