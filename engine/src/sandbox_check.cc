#include "sandbox_check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "landlock.h"
#include "protocol/child.h"
#include "sandbox.h"
#include "syscall_filter.h"

namespace minerva::engine {
namespace {

using Json = nlohmann::ordered_json;

// Closes the descriptor. Returns -1 with errno if opening it failed, as system calls do.
int opened(int fd) { return fd < 0 ? -1 : close(fd); }

int try_open(const std::string & path, int flags) { return opened(open(path.c_str(), flags | O_CLOEXEC, 0600)); }

int try_create(const std::string & path) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return -1;
    close(fd);
    return unlink(path.c_str());
}

// If a child was made all the same, it ends at once.
int try_fork() {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    return child < 0 ? -1 : waitpid(child, nullptr, 0) == child ? 0 : -1;
}

int try_exec() {
    char program[] = "/no/such/program";
    char * argv[] = {program, nullptr};
    char * environment[] = {nullptr};
    return execve(program, argv, environment);
}

int try_connect(int domain, const sockaddr * address, socklen_t length) {
    const int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    const int result = connect(fd, address, length);
    const int error = errno;
    close(fd);
    errno = error;
    return result;
}

int try_tcp() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(9);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return try_connect(AF_INET, reinterpret_cast<const sockaddr *>(&address), sizeof address);
}

sockaddr_un unix_address(const std::string & path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
}

int try_unix_connect(const std::string & path) {
    const sockaddr_un address = unix_address(path);
    return try_connect(AF_UNIX, reinterpret_cast<const sockaddr *>(&address), sizeof address);
}

int try_pair() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return -1;
    close(ends[0]);
    return close(ends[1]);
}

int listen_at(const std::string & path) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    const sockaddr_un address = unix_address(path);
    if (bind(fd, reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0 || listen(fd, 1) != 0) {
        const int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int try_thread() {
    std::thread([] {}).join();
    return 0;
}

int try_parents_limits() {
    rlimit limit{};
    return prlimit(getppid(), RLIMIT_NOFILE, nullptr, &limit);
}

// More memory than an inspection may have.
int try_much_memory() {
    constexpr std::size_t kMuch = std::size_t{5} << 30;
    void * const memory =
        mmap(nullptr, kMuch, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? -1 : munmap(memory, kMuch);
}

int try_shared_memory() {
    const int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    return id < 0 ? -1 : shmctl(id, IPC_RMID, nullptr);
}

// The same as unshare(), which the filter refuses by its name.
int try_new_user() {
    const long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (child == 0) _exit(0);
    return child < 0 ? -1 : waitpid(static_cast<pid_t>(child), nullptr, 0) == child ? 0 : -1;
}

void record(Json & attempts, const char * name, const std::function<int()> & attempt) {
    errno = 0;
    attempts[name] = attempt() >= 0 ? "ok" : strerrorname_np(errno);
}

void try_everything(Json & attempts, const std::string & file) {
    const std::string folder = file.substr(0, file.find_last_of('/'));
    const auto attempt = [&](const char * name, const std::function<int()> & what) { record(attempts, name, what); };
    // what an engine needs
    attempt("read_self", [] { return try_open("/proc/self/status", O_RDONLY); });
    attempt("read_cpus", [] { return try_open("/proc/cpuinfo", O_RDONLY); });
    attempt("write_null", [] { return try_open("/dev/null", O_WRONLY); });
    attempt("thread", try_thread);
    attempt("signal_self", [] { return kill(getpid(), 0); });
    attempt("much_memory", try_much_memory);
    // files
    attempt("read_file", [&] { return try_open(file, O_RDONLY); });
    attempt("write_file", [&] { return try_open(file, O_WRONLY); });
    attempt("list_folder", [&] { return try_open(folder, O_RDONLY | O_DIRECTORY); });
    attempt("create_file", [&] { return try_create(file + ".created"); });
    attempt("create_in_tmp", [] { return try_create("/tmp/minerva-sandbox-check." + std::to_string(getpid())); });
    attempt("remove_file", [&] { return rename(file.c_str(), (file + ".moved").c_str()); });
    attempt("truncate", [&] { return truncate(file.c_str(), 0); });
    attempt("chmod", [&] { return chmod(file.c_str(), 0600); });
    attempt("change_times", [&] { return utimensat(AT_FDCWD, file.c_str(), nullptr, 0); });
    attempt("make_fifo", [&] { return mkfifo((file + ".fifo").c_str(), 0600); });
    attempt("read_passwords", [] { return try_open("/etc/passwd", O_RDONLY); });
    attempt("read_parents_environment",
            [] { return try_open("/proc/" + std::to_string(getppid()) + "/environ", O_RDONLY); });
    attempt("mount", [] { return mount("none", "/mnt", "tmpfs", MS_RDONLY, nullptr); });
    // other processes
    attempt("fork", try_fork);
    attempt("new_user_namespace", try_new_user);
    attempt("unshare", [] { return unshare(CLONE_NEWUSER); });
    attempt("signal_parent", [] { return kill(getppid(), 0); });
    attempt("signal_everybody", [] { return kill(-1, 0); });
    attempt("ptrace_parent", [] { return static_cast<int>(ptrace(PTRACE_SEIZE, getppid(), nullptr, nullptr)); });
    attempt("parents_limits", try_parents_limits);
    attempt("shared_memory", try_shared_memory);
    // the network
    attempt("tcp", try_tcp);
    attempt("udp", [] { return opened(socket(AF_INET, SOCK_DGRAM, 0)); });
    attempt("netlink", [] { return opened(socket(AF_NETLINK, SOCK_RAW, 0)); });
    attempt("unix_datagram", [] { return opened(socket(AF_UNIX, SOCK_DGRAM, 0)); });
    attempt("unix_connect", [] { return try_unix_connect("/run/dbus/system_bus_socket"); });
    attempt("socket_pair", try_pair);
    // the kernel
    attempt("userfaultfd", [] { return opened(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC))); });
    attempt("io_uring", [] {
        char parameters[256] = {};
        return opened(static_cast<int>(syscall(SYS_io_uring_setup, 1, parameters)));
    });
    attempt("perf", [] {
        perf_event_attr what{};
        what.size = sizeof what;
        return opened(static_cast<int>(syscall(SYS_perf_event_open, &what, 0, -1, -1, 0)));
    });
    attempt("bpf", [] { return opened(static_cast<int>(syscall(SYS_bpf, 0, nullptr, 0))); });
    attempt("keyring", [] { return static_cast<int>(syscall(SYS_keyctl, 0, -1, 0, 0, 0)); });
    attempt("exec", try_exec);
}

void try_sockets(Json & attempts, const std::string & folder) {
    const std::string path = folder + "/check-" + std::to_string(getpid()) + ".sock";
    record(attempts, "listen", [&] { return listen_at(path); });
    record(attempts, "socket_after_listen", [] { return opened(socket(AF_UNIX, SOCK_STREAM, 0)); });
    record(attempts, "listen_again", [&] { return listen_at(path + "2"); });
    record(attempts, "file_among_sockets", [&] { return try_create(folder + "/file"); });
    record(attempts, "remove_socket", [&] { return unlink(path.c_str()); });
}

// The folder in the line "sockets FOLDER"; empty if there is no such line.
std::string sockets_folder() {
    const char * const text = std::getenv(protocol::kSandboxPathsVariable);
    const std::string paths = text == nullptr ? "" : text;
    const std::string word = std::string(protocol::kMayHaveSockets) + " ";
    const std::size_t at = paths.find(word);
    if (at == std::string::npos) return {};
    const std::size_t from = at + word.size();
    return paths.substr(from, paths.find('\n', from) - from);
}

}  // namespace

int sandbox_check(int argc, char ** argv) {
    const std::string purpose = argc > 1 ? argv[1] : "";
    if (argc != 1 && (argc != 3 || (purpose != "serve" && purpose != protocol::kInspectCommand))) {
        std::fputs("usage: minerva-engine sandbox-check [serve|inspect FILE]\n", stderr);
        return 2;
    }
    Json answer = {{"landlock", landlock_version()}, {"seccomp", can_filter_syscalls()}};
    if (argc == 3) {
        const std::string folder = sockets_folder();
        enter_sandbox(purpose == "serve" ? Purpose::kServe : Purpose::kInspect);
        answer["attempts"] = Json::object();
        if (!folder.empty()) try_sockets(answer["attempts"], folder);
        try_everything(answer["attempts"], argv[2]);
    }
    std::puts(answer.dump().c_str());
    return 0;
}

}  // namespace minerva::engine
