#include "lifeline.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "daemon_command.h"
#include "footprint.h"
#include "protocol/agent.h"
#include "thread_share.h"

namespace minerva::engine {
namespace {

constexpr size_t kMaxLine = 256;

void say(int output, const nlohmann::ordered_json & json) {
    const std::string line = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    // An error is ignored here: poll() notices when the daemon is gone.
    send(output, line.data(), line.size(), MSG_NOSIGNAL);
}

bool is_socket(int fd) {
    struct stat status{};
    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

void say_what_it_can(int output, const Parking & parking) {
    nlohmann::ordered_json json = {{protocol::kProtocolMember, protocol::kVersion},
                                   {protocol::kCanPark, parking.why_not().empty()}};
    if (!parking.why_not().empty()) {
        json[protocol::kWhyNot] = parking.why_not();
    }
    say(output, json);
}

void answer(int output, std::uint64_t id, const protocol::ParkReport & report) {
    nlohmann::ordered_json json = {{protocol::kId, id}, {protocol::kParked, report.parked}};
    if (!report.refused.empty()) {
        json[protocol::kRefused] = report.refused;
        json[protocol::kBusy] = report.busy;
    }
    for (const protocol::ParkNumber & number : protocol::kParkNumbers) {
        json[number.name] = report.*number.value;
    }
    say(output, json);
}

protocol::ParkReport carry_out(const DaemonCommand & command, Parking & parking) {
    switch (command.kind) {
        case DaemonCommand::Kind::kPark:
            return parking.park(command.number);
        case DaemonCommand::Kind::kDrop:
            return parking.drop(command.number);
        default:
            return parking.wake();
    }
}

void answer_footprint(int output, std::uint64_t id, std::uint64_t conversations) {
    nlohmann::ordered_json measured = nlohmann::ordered_json::object();
    if (const std::optional<Footprint> footprint = measure_footprint()) {
        measured = {{protocol::kFootprint, footprint->total_with_conversations(conversations)},
                    {"weights_mapped_bytes", footprint->weights_mapped},
                    {"blocks_bytes", footprint->blocks},
                    {"rest_bytes", footprint->rest},
                    {"conversations_bytes", footprint->conversations}};
    }
    say(output, {{protocol::kId, id}, {protocol::kMeasured, std::move(measured)}});
}

// `parking`: nullptr where the engine cannot answer.
void obey(std::string_view line, int output, Parking * parking) {
    const std::optional<DaemonCommand> command = parse_daemon_command(line);
    if (!command) {
        return;
    }
    using Kind = DaemonCommand::Kind;
    if (command->kind == Kind::kSharers) {
        share_threads(static_cast<int>(std::min<std::uint64_t>(command->number, 1 << 16)));
    } else if (parking == nullptr) {
        return;
    } else if (command->kind == Kind::kMeasure) {
        answer_footprint(output, command->id, command->number);
    } else {
        answer(output, command->id, carry_out(*command, *parking));
    }
}

// Reads what stdin has now. false: its other end is closed.
bool read_lines(int input, std::string & partial, Parking * parking) {
    char buffer[512];
    const ssize_t n = read(input, buffer, sizeof buffer);
    if (n < 0) {
        return errno == EINTR || errno == EAGAIN;
    }
    if (n == 0) {
        return false;
    }
    for (const char c : std::string_view(buffer, static_cast<size_t>(n))) {
        if (c == '\n') {
            obey(partial, input, parking);
            partial.clear();
        } else if (partial.size() < kMaxLine) {
            partial += c;
        }
    }
    return true;
}

[[noreturn]] void watch(int input, int signals, Parking * parking) {
    std::string partial;
    pollfd ends[] = {{input, POLLIN, 0}, {signals, POLLIN, 0}};
    while (true) {
        if (poll(ends, 2, -1) < 0) {
            continue;
        }
        if (ends[1].revents != 0 || (ends[0].revents != 0 && !read_lines(input, partial, parking))) {
            // No exit handlers: they would race with the other threads. Only the log has buffered output.
            _exit(0);
        }
    }
}

[[noreturn]] void fail(const char * what) {
    std::perror(what);
    _exit(1);
}

// Takes stdin for this thread, and puts a pipe in its place on which nothing comes.
int take_stdin() {
    const int input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    int silent[2];
    if (input < 0 || pipe2(silent, O_CLOEXEC) < 0 || dup2(silent[0], STDIN_FILENO) < 0) {
        fail("minerva-engine: stdin");
    }
    close(silent[0]);
    return input;
}

}  // namespace

void hold_lifeline(std::unique_ptr<Parking> parking) {
    // The parent may have ended before the kernel knew of the wish to end with it: so this checks afterwards.
    const pid_t parent = getppid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(0);
    }
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, nullptr);
    const int signals = signalfd(-1, &ends, SFD_CLOEXEC);
    if (signals < 0) {
        fail("minerva-engine: signalfd");
    }
    // A limit on the size of files must only refuse a park, and not end the process.
    signal(SIGXFSZ, SIG_IGN);
    const int input = take_stdin();
    if (is_socket(input)) {
        say_what_it_can(input, *parking);
    } else {
        parking = nullptr;
    }
    // Both exist as long as the process.
    std::thread([input, signals, parking = parking.release()] { watch(input, signals, parking); }).detach();
}

}  // namespace minerva::engine
