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
#include <chrono>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "daemon_command.h"
#include "device_buffers.h"
#include "footprint.h"
#include "keeper.h"
#include "protocol/agent.h"
#include "protocol/conversations.h"
#include "thread_share.h"

namespace minerva::engine {
namespace {

constexpr size_t kMaxLine = 256;
constexpr size_t kMaxFiles = 16;

int daemon_socket = -1;
std::mutex & say_mutex = *new std::mutex;        // so that lines of several threads stay whole
std::deque<int> & files = *new std::deque<int>;  // that the daemon has sent, in the order of its requests

void say(int output, const nlohmann::ordered_json & json) {
    const std::string line = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    const std::lock_guard<std::mutex> lock(say_mutex);
    for (std::string_view rest = line; !rest.empty();) {
        const ssize_t n = send(output, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            return;  // poll() notices when the daemon is gone
        }
        rest.remove_prefix(static_cast<size_t>(std::max<ssize_t>(n, 0)));
    }
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
    if (!report.devices.empty()) {
        json[protocol::kDevices] = report.devices;
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
        nlohmann::ordered_json devices = nlohmann::ordered_json::object();
        for (const DeviceBytes & device : bytes_on_devices()) {
            devices[device.device] = device.total();
        }
        if (!devices.empty()) {
            measured[protocol::kDevices] = std::move(devices);
        }
    }
    say(output, {{protocol::kId, id}, {protocol::kMeasured, std::move(measured)}});
}

void answer_room(int output, std::uint64_t id) {
    nlohmann::ordered_json rooms = nlohmann::ordered_json::object();
    for (const RoomOnDevice & room : room_on_devices()) {
        rooms[room.device] = {{protocol::kFreeBytes, room.free}, {protocol::kTotalBytes, room.total}};
    }
    say(output, {{protocol::kId, id}, {protocol::kRoom, std::move(rooms)}});
}

bool has_more_to_read(int input) {
    pollfd end = {input, POLLIN, 0};
    return poll(&end, 1, 0) > 0;
}

void save(int output, const DaemonCommand & command, const Parking & parking) {
    const int file = files.empty() ? -1 : files.front();
    SaveReport report;
    if (file < 0) {
        report.refused = "no file came";
    } else {
        files.pop_front();
        if (parking.parked()) {
            // What it has was saved before, or will be after the wake.
        } else if (keeps_conversations()) {
            report =
                save_conversation(file, std::chrono::milliseconds(std::min<std::uint64_t>(command.number, INT_MAX)),
                                  [output] { return has_more_to_read(output); });
        } else {
            report.why_not = "no folder was given";
        }
        close(file);
    }
    nlohmann::ordered_json saved = nlohmann::ordered_json::object();
    if (!report.name.empty()) {
        saved = {{protocol::kTenant, report.tenant}, {protocol::kName, report.name}, {protocol::kBytes, report.bytes}};
    }
    nlohmann::ordered_json json = {
        {protocol::kId, command.id}, {protocol::kSaved, std::move(saved)}, {protocol::kMore, report.more}};
    if (!report.refused.empty()) {
        json[protocol::kRefused] = report.refused;
    }
    if (!report.why_not.empty()) {
        json[protocol::kWhyNot] = report.why_not;
    }
    say(output, json);
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
    } else if (command->kind == Kind::kRoom) {
        answer_room(output, command->id);
    } else if (command->kind == Kind::kSave) {
        save(output, *command, *parking);
    } else if (command->kind == Kind::kForget) {
        if (keeps_conversations()) {
            forget_conversations(command->tenant);
        }
    } else {
        answer(output, command->id, carry_out(*command, *parking));
    }
}

// read(), and takes the descriptors that come with it.
ssize_t receive(int input, char * buffer, size_t bytes) {
    iovec part = {buffer, bytes};
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxFiles * sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t n = recvmsg(input, &message, MSG_CMSG_CLOEXEC);
    for (cmsghdr * c = n < 0 ? nullptr : CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
                int file = -1;
                memcpy(&file, CMSG_DATA(c) + i * sizeof file, sizeof file);
                files.push_back(file);
            }
        }
    }
    return n;
}

// Reads what stdin has now. false: its other end is closed.
bool read_lines(int input, std::string & partial, Parking * parking) {
    char buffer[512];
    const ssize_t n = parking == nullptr ? read(input, buffer, sizeof buffer) : receive(input, buffer, sizeof buffer);
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
        daemon_socket = input;
        say_what_it_can(input, *parking);
    } else {
        parking = nullptr;
    }
    // Both exist as long as the process.
    std::thread([input, signals, parking = parking.release()] { watch(input, signals, parking); }).detach();
}

void tell_daemon(const nlohmann::ordered_json & json) {
    if (daemon_socket >= 0) {
        say(daemon_socket, json);
    }
}

}  // namespace minerva::engine
