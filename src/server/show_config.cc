#include "server/show_config.h"

#include <sys/resource.h>

#include "api/json.h"

namespace minerva {
namespace {

// The kernel's limit on open files; null if there is none.
api::Json open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return nullptr;
  return limit.rlim_cur;
}

}  // namespace

io::Task<void> show_config(Service& service, Exchange& x) {
  co_await x.json(
      200, api::dump({{"object", "config"}, {"toml", tell_config(service.config)}, {"open_files", open_files()}}));
}

}  // namespace minerva
