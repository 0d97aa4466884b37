#include "engine/process_state.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace minerva {
namespace {

// The text of the file; empty if it cannot be read.
std::string read_all(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The fields of a `stat` file from the third one on; the second one, the name, may hold any characters. Source:
// proc(5).
std::istringstream stat_fields(const std::string& stat) {
  const std::size_t name_end = stat.rfind(')');
  return std::istringstream(name_end == std::string::npos ? std::string() : stat.substr(name_end + 1));
}

}  // namespace

std::optional<std::chrono::milliseconds> processor_time(pid_t pid) {
  std::istringstream fields = stat_fields(read_all(fmt::format("/proc/{}/stat", pid)));
  constexpr int kBeforeUtime = 11;  // utime is field 14
  std::string skipped;
  for (int i = 0; i < kBeforeUtime; ++i) fields >> skipped;
  std::int64_t user_ticks = 0;
  std::int64_t system_ticks = 0;
  if (!(fields >> user_ticks >> system_ticks)) return std::nullopt;
  constexpr std::int64_t kMsPerSecond = 1000;
  return std::chrono::milliseconds((user_ticks + system_ticks) * kMsPerSecond / ::sysconf(_SC_CLK_TCK));
}

std::optional<Bytes> private_memory(pid_t pid) {
  std::istringstream fields(read_all(fmt::format("/proc/{}/statm", pid)));
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  std::uint64_t shared = 0;
  if (!(fields >> size >> resident >> shared) || shared > resident) return std::nullopt;
  return Bytes((resident - shared) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
}

std::vector<pid_t> group_members(pid_t leader) {
  std::vector<pid_t> members;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::string state;
    pid_t parent = 0;
    pid_t group = 0;
    stat_fields(read_all("/proc/" + name + "/stat")) >> state >> parent >> group;
    if (group == leader) members.push_back(std::stoi(name));
  }
  return members;
}

std::vector<std::string> thread_states(pid_t pid, std::size_t most) {
  std::vector<std::string> lines;
  std::size_t more = 0;
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    if (lines.size() >= most) {
      ++more;
      continue;
    }
    const std::string folder = thread.path().string();
    std::string name = read_all(folder + "/comm");
    while (!name.empty() && name.back() == '\n') name.pop_back();
    std::string state = "?";
    stat_fields(read_all(folder + "/stat")) >> state;
    const std::string wchan = read_all(folder + "/wchan");
    const bool told = !wchan.empty() && wchan != "0";
    lines.push_back(fmt::format("thread {} ({}): {}{}", thread.path().filename().string(), name, state,
                                told ? " in " + wchan : std::string()));
  }
  if (more > 0) lines.push_back(fmt::format("and {} more threads", more));
  return lines;
}

}  // namespace minerva
