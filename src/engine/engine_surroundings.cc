#include "engine/engine_surroundings.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace minerva {

std::vector<std::string> engine_environment(const std::vector<std::string>& more) {
  static constexpr std::array kInherited = {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"};
  std::vector<std::string> environment;
  for (const char* const name : kInherited) {
    if (const char* const value = std::getenv(name); value != nullptr) {
      environment.push_back(fmt::format("{}={}", name, value));
    }
  }
  environment.insert(environment.end(), more.begin(), more.end());
  return environment;
}

Result<io::Address> fresh_socket(const std::string& folder) {
  static std::atomic<std::uint64_t> made = 0;
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail(ErrorCode::kIo,
                fmt::format("cannot make the folder {} for the engines' sockets: {}", folder, std::strerror(errno)));
  }
  io::Address address;
  address.unix_path = fmt::format("{}/{}-{}.sock", folder, ::getpid(), ++made);
  if (address.unix_path.size() >= sizeof(sockaddr_un::sun_path)) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{} is too long for a socket's path ({} bytes at most); choose a shorter folder",
                            address.unix_path, sizeof(sockaddr_un::sun_path) - 1));
  }
  ::unlink(address.unix_path.c_str());  // a killed daemon with the same process id may have left it
  return address;
}

Error death(const io::ExitStatus& status, bool was_ready, const std::string& last_words) {
  // Weights are mapped: if a file is cut off, that part is missing in memory at once.
  const std::string_view why = status.signal == SIGBUS
                                   ? "; its model file was truncated or overwritten in place, or cannot be read any "
                                     "more: put new files into place by renaming them"
                                   : "";
  return {ErrorCode::kEngineCrashed, fmt::format("the engine died{} ({}{}){}", was_ready ? "" : " while loading",
                                                 status.text(), why, last_words.empty() ? "" : ": " + last_words)};
}

}  // namespace minerva
