// Reload: takes a changed config into the running server, on SIGHUP and when the file changes.
//
// Only what changed is touched: a model whose entry is the same keeps its engine, a changed one gets a new engine once
// its leases have ended. What counts at start only is named in a warning. A file with an error changes nothing, and the
// log says where the error is.
// Threading: the loop's thread. Ownership: what it is given outlives it.
#pragma once

#include <memory>
#include <string>

#include "config/config.h"
#include "io/folder_watch.h"
#include "server/service.h"

namespace minerva {

// What a config means to the log and to the core. The budget is resolved by the limits there are now.
void configure_log(const Config& config);
// Says it in the log if other programs leave less than the budget. `held`: what Minerva's own engines hold.
void warn_of_budget(const Config& config, Bytes held);
// `images`: what those of parked and woken models take now.
ContextOptions context_options(const Config& config, Bytes images);

class Reload {
 public:
  Reload(ConfigSource source, Config& running, Service& service)
      : source_(std::move(source)), running_(running), service_(service) {}

  // From now on a changed file is taken by itself. No effect without a file.
  void watch_file();
  // Takes the config as it is now, and reads the models folders again.
  void now();

 private:
  // The config's own and that of the keys.
  std::vector<std::string> files() const;
  void watch_folders();
  // What tells one content of them from another without reading it; empty while one of them is not there.
  std::string file_state() const;

  ConfigSource source_;
  Config& running_;
  Service& service_;
  std::unique_ptr<io::FolderWatch> watch_;
  std::string seen_;  // file_state() when the config was read last
};

}  // namespace minerva
