// Reload: takes a changed config into the running server, on SIGHUP and when the file changes.
//
// It touches only what changed. A model with the same entry keeps its engine. A model with a changed entry gets a new
// engine once its leases have ended. A warning names the settings that take effect at the next start only. A file with
// an error changes nothing, and the log says where the error is.
// Threading: the loop's thread. Ownership: what the constructor gets outlives it.
#pragma once

#include <memory>
#include <string>

#include "config/config.h"
#include "io/folder_watch.h"
#include "server/service.h"

namespace minerva {

// The config's settings for the log.
void configure_log(const Config& config);
// Warns in the log if other programs leave less memory than the budget. `held`: what Minerva's own engines hold.
void warn_of_budget(const Config& config, Bytes held);
// The config's settings for the core. The budget is computed from the machine's limits now. `images`: what the images
// of parked and woken models take now.
ContextOptions context_options(const Config& config, Bytes images);

class Reload {
 public:
  Reload(ConfigSource source, Config& running, Service& service)
      : source_(std::move(source)), running_(running), service_(service) {}

  // From now on a changed file is read without a signal. No effect without a file.
  void watch_file();
  // Reads the config, takes it into the server, and reads the models folders again.
  void now();

 private:
  // The config's file and the files of keys.
  std::vector<std::string> files() const;
  void watch_folders();
  // A text that changes with the files' content, without reading them; empty while one of the files is missing.
  std::string file_state() const;

  ConfigSource source_;
  Config& running_;
  Service& service_;
  std::unique_ptr<io::FolderWatch> watch_;
  std::string seen_;  // file_state() at the last reading of the config
};

}  // namespace minerva
