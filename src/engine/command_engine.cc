#include "engine/command_engine.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "engine/engine_surroundings.h"
#include "engine/process_state.h"
#include "io/descriptor.h"
#include "io/http_probe.h"
#include "io/process.h"

namespace minerva {
namespace {

constexpr std::string_view kPort = "${PORT}";
constexpr std::string_view kSocket = "${SOCKET}";
constexpr auto kFirstProbes = std::chrono::milliseconds(50);
constexpr auto kLaterProbes = std::chrono::milliseconds(250);
constexpr unsigned kManyFirstProbes = 40;
constexpr auto kProbeTimeout = std::chrono::seconds(5);
// How long the launcher gets to kill what the program has started, and to see that it is gone.
constexpr auto kLauncherGrace = std::chrono::seconds(5);
constexpr unsigned kMaxPorts = 3;

std::string replaced(std::string text, std::string_view what, const std::string& with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

std::vector<std::string> replaced(std::vector<std::string> texts, const io::Address& address) {
  for (std::string& text : texts) {
    text = replaced(std::move(text), kPort, fmt::to_string(address.port));
    text = replaced(std::move(text), kSocket, address.unix_path);
  }
  return texts;
}

bool wants_socket(const CommandSpec& command) {
  const auto names_socket = [](const std::string& text) { return text.find(kSocket) != std::string::npos; };
  return std::any_of(command.argv.begin(), command.argv.end(), names_socket) ||
         std::any_of(command.environment.begin(), command.environment.end(), names_socket);
}

// Binds 127.0.0.1:`port` (0: any free port) during this call. Returns the port.
// Errors: kIo with the reason.
Result<std::uint16_t> try_port(std::uint16_t port) {
  const io::Descriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  name.sin_port = htons(port);
  socklen_t length = sizeof name;
  auto* const raw = reinterpret_cast<sockaddr*>(&name);
  // A connection that has just ended must not make a port count as taken.
  if (port != 0) ::setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const bool bound = fd && ::bind(*fd, raw, length) == 0 && ::getsockname(*fd, raw, &length) == 0;
  if (!bound) return fail(ErrorCode::kIo, fmt::format("cannot have a port of 127.0.0.1: {}", std::strerror(errno)));
  return ntohs(name.sin_port);
}

class CommandEngine final : public Engine {
 public:
  CommandEngine(io::Loop& loop, const CommandDriverOptions& options, CommandSpec command,
                std::shared_ptr<EngineLog> log, Handlers handlers)
      : loop_(loop),
        options_(options),
        command_(std::move(command)),
        log_(std::move(log)),
        handlers_(std::move(handlers)),
        kill_timer_(loop),
        probe_timer_(loop) {}

  ~CommandEngine() override {
    if (process_ && !exited_) {
      process_->close_stdin();
      process_->await_end(kLauncherGrace);
    }
    process_.reset();
    remove_socket();
  }

  Result<void> start() {
    if (wants_socket(command_)) {
      auto address = fresh_socket(options_.runtime_dir);
      if (!address) return fail(address.error());
      address_ = std::move(*address);
    } else {
      const auto port = try_port(0);
      if (!port) return fail(port.error());
      address_ = {"127.0.0.1", *port, ""};
      ++ports_;
    }
    io::ProcessSpec child;
    child.argv = replaced(command_.argv, address_);
    child.argv.insert(child.argv.begin(), options_.launcher_path);
    child.environment = engine_environment(replaced(command_.environment, address_));
    io::Process::Handlers handlers;
    const auto take_line = [this](std::string_view line) {
      ++signs_of_life_;
      log_->append(line);
    };
    handlers.on_stdout = take_line;
    handlers.on_stderr = take_line;
    handlers.on_exit = [this](io::ExitStatus status) { exited(status); };
    auto process = io::Process::spawn(loop_, child, std::move(handlers));
    if (!process) return fail(process.error());
    process_ = std::move(*process);
    pid_ = process_->pid();
    this_run_ = std::make_shared<bool>(true);
    probe();
    return {};
  }

  const io::Address& address() const override { return address_; }
  pid_t pid() const override { return pid_; }
  void share_cores(unsigned /*sharers*/) override {}  // nobody knows how to tell a foreign program

  void stop(Duration grace) override {
    if (exited_) return;
    asked_to_stop_ = true;
    // While it loads there is nothing to end in order.
    if (!ready_ || grace <= Duration::zero()) return end_now();
    process_->signal_group(SIGTERM);
    kill_timer_.arm(Clock::now() + grace, [this] { end_now(); });
  }

  std::uint64_t activity() const override {
    std::chrono::milliseconds worked(0);
    for (const pid_t member : group_members(pid_)) worked += processor_time(member).value_or(worked.zero());
    return signs_of_life_ + static_cast<std::uint64_t>(worked.count());
  }

  void kill(Error reason) override {
    if (exited_) return;
    // The states come first: the last line of the log should be the reason, which errors quote.
    for (const pid_t member : group_members(pid_)) {
      for (const std::string& line : thread_states(member)) log_->append(line);
    }
    log_->append("error: " + reason.message);
    killed_for_ = std::move(reason);
    end_now();
  }

 private:
  // The launcher ends everything when its stdin ends.
  void end_now() {
    process_->close_stdin();
    kill_timer_.arm(Clock::now() + kLauncherGrace, [this] { process_->signal_group(SIGKILL); });
  }

  void probe() {
    io::probe(loop_, address_, command_.health, Clock::now() + kProbeTimeout,
              [this, run = std::weak_ptr(this_run_)](const Result<int>& status) {
                if (!run.expired()) probed(status);
              });
  }

  void probed(const Result<int>& status) {
    if (exited_ || asked_to_stop_ || killed_for_) return;
    constexpr int kHundred = 100;
    if (status) ++signs_of_life_;
    if (status && *status / kHundred == 2) {
      ready_ = true;
      if (handlers_.on_ready) handlers_.on_ready();
      return;
    }
    const std::string outcome = status ? fmt::format("answered with {}", *status) : status.error().message;
    if (outcome != last_outcome_) {
      log_->append(fmt::format("minerva: waiting for GET {} on {}: {}", command_.health, address_.text(), outcome));
      last_outcome_ = outcome;
    }
    const Duration pause = ++probes_ < kManyFirstProbes ? Duration(kFirstProbes) : Duration(kLaterProbes);
    probe_timer_.arm(Clock::now() + pause, [this] { probe(); });
  }

  // Another program may have taken the port between its choice and the program's use of it.
  bool another_port() {
    if (ready_ || asked_to_stop_ || killed_for_ || address_.is_unix() || ports_ >= kMaxPorts) return false;
    if (try_port(address_.port)) return false;
    log_->append(fmt::format("minerva: port {} was taken meanwhile: once more with another one", address_.port));
    return start().has_value();
  }

  void exited(const io::ExitStatus& status) {
    kill_timer_.cancel();
    probe_timer_.cancel();
    this_run_.reset();
    if (another_port()) return;
    exited_ = true;
    remove_socket();
    Error reason = reason_for(status);
    // Moved out first, since the call may destroy this engine.
    const auto call = std::exchange(handlers_.on_exit, nullptr);
    if (call) call(std::move(reason));
  }

  Error reason_for(const io::ExitStatus& status) const {
    if (asked_to_stop_) return {ErrorCode::kCancelled, "the engine was stopped"};
    if (killed_for_) return *killed_for_;
    return death(status, ready_, log_->last_words());
  }

  void remove_socket() const {
    if (address_.is_unix()) ::unlink(address_.unix_path.c_str());
  }

  io::Loop& loop_;
  const CommandDriverOptions options_;
  const CommandSpec command_;
  io::Address address_;
  std::shared_ptr<EngineLog> log_;  // shared, since it outlives the engine; see engine.h
  Handlers handlers_;
  io::Timer kill_timer_;
  io::Timer probe_timer_;
  pid_t pid_ = -1;
  bool ready_ = false;
  bool asked_to_stop_ = false;
  bool exited_ = false;
  std::optional<Error> killed_for_;
  unsigned ports_ = 0;  // how many ports were tried
  unsigned probes_ = 0;
  std::string last_outcome_;
  std::uint64_t signs_of_life_ = 0;  // lines of output, and answers to probes
  // Shows to later answers of probes that their process is gone.
  std::shared_ptr<bool> this_run_;
  std::unique_ptr<io::Process> process_;  // last member, since its handlers use the others
};

class CommandDriver final : public EngineDriver {
 public:
  CommandDriver(io::Loop& loop, CommandDriverOptions options, std::unique_ptr<EngineDriver> others)
      : loop_(loop), options_(std::move(options)), others_(std::move(others)) {}

  std::string fingerprint() const override { return others_->fingerprint(); }
  std::vector<std::string> devices() const override { return others_->devices(); }
  void look_at_devices(std::function<void(const DeviceMemories&)> done) override {
    others_->look_at_devices(std::move(done));
  }

  void inspect(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) override {
    if (spec.command.argv.empty()) return others_->inspect(spec, std::move(done));
    ModelMetadata metadata;
    metadata.predicted = spec.command.memory;
    loop_.post([alive = std::weak_ptr(alive_), done = std::move(done), metadata] {
      if (!alive.expired()) done(metadata);
    });
  }

  void inspect_idly(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) override {
    if (spec.command.argv.empty()) return others_->inspect_idly(spec, std::move(done));
    inspect(spec, std::move(done));
  }

  Result<std::unique_ptr<Engine>> start(const ModelSpec& spec, const ModelMetadata& metadata,
                                        std::shared_ptr<EngineLog> log, Engine::Handlers handlers) override {
    if (spec.command.argv.empty()) return others_->start(spec, metadata, std::move(log), std::move(handlers));
    auto engine = std::make_unique<CommandEngine>(loop_, options_, spec.command, std::move(log), std::move(handlers));
    if (const auto started = engine->start(); !started) return fail(started.error());
    return engine;
  }

 private:
  io::Loop& loop_;
  CommandDriverOptions options_;
  std::unique_ptr<EngineDriver> others_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::string default_launcher_path() {
  std::error_code error;
  return (std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "minerva-launcher").string();
}

std::unique_ptr<EngineDriver> make_command_driver(io::Loop& loop, CommandDriverOptions options,
                                                  std::unique_ptr<EngineDriver> others) {
  return std::make_unique<CommandDriver>(loop, std::move(options), std::move(others));
}

}  // namespace minerva
