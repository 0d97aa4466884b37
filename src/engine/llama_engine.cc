#include "engine/llama_engine.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <list>
#include <optional>
#include <set>
#include <utility>

#include "base/log.h"
#include "engine/device_look.h"
#include "engine/devices.h"
#include "engine/engine_surroundings.h"
#include "engine/inspection.h"
#include "engine/llama_agent.h"
#include "engine/process_state.h"
#include "engine/state_line.h"
#include "io/process.h"
#include "minerva/base/check.h"
#include "protocol/child.h"
#include "protocol/conversations.h"

namespace minerva {
namespace {

std::string variable(const char* name, const std::string& value) { return fmt::format("{}={}", name, value); }

// The variables that say what a sandboxed engine may reach in the file system, beside what every program needs.
// minerva-engine reads them (engine/src/sandbox.h). Errors: kInvalidArgument for a path that cannot be passed on.
// `on_devices`: it computes on devices.
Result<std::vector<std::string>> sandbox_environment(const std::string& mode, const ModelSpec& spec,
                                                     const std::string& sockets_folder, bool on_devices) {
  std::string paths;
  bool has_newline = false;
  const auto add = [&](std::string_view kind, const std::string& path) {
    has_newline = has_newline || path.find('\n') != std::string::npos;
    if (!path.empty()) paths += fmt::format("{} {}\n", kind, path);
  };
  add(protocol::kMayRead, spec.path);
  add(protocol::kMayRead, spec.mmproj);
  for (const std::string& file : spec.more_files) add(protocol::kMayRead, file);
  add(protocol::kMayRead, spec.conversations);
  add(protocol::kMayHaveSockets, sockets_folder);
  if (on_devices) add(protocol::kMayWrite, shader_cache());
  if (has_newline) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("the files of model \"{}\" cannot be used: a path holds a line break", spec.id));
  }
  return std::vector<std::string>{variable(protocol::kSandboxVariable, mode),
                                  variable(protocol::kSandboxPathsVariable, paths)};
}

// Whether an engine that failed to load blames the file, and not memory or the machine.
bool blames_file(std::string_view words) {
  static constexpr std::array<std::string_view, 5> kSigns = {"error loading model", "failed to load model",
                                                             "failed to load vocab", "corrupted", "invalid model"};
  if (words.find("alloc") != std::string_view::npos) return false;
  return std::any_of(kSigns.begin(), kSigns.end(),
                     [words](std::string_view sign) { return words.find(sign) != std::string_view::npos; });
}

// The device that had no room for the model, by what the engine wrote while it loaded: "the device Vulkan0", or "a
// device" if no line names it; empty: no line says so.
std::string full_device(const EngineLog& log, const std::vector<std::string>& devices) {
  // In the words of ggml's backends.
  static constexpr std::array<std::string_view, 2> kSigns = {"ggml_vulkan: Device memory allocation of size",
                                                             "cudaMalloc failed: out of memory"};
  constexpr std::size_t kLookBack = 100;
  std::string full;
  for (const std::string& line : log.tail(kLookBack)) {
    for (const std::string& device : devices) {
      if (line.find(fmt::format("allocate {} buffer", device)) != std::string::npos) return "the device " + device;
    }
    for (const std::string_view sign : kSigns) {
      if (line.find(sign) != std::string::npos) full = "a device";
    }
  }
  return full;
}

// Every engine reports the same about the sandbox: each line is logged once.
void warn_about_sandbox(std::string_view line) {
  constexpr std::string_view kSandboxLine = "minerva-engine: sandbox: ";  // engine/src/sandbox.h
  thread_local std::set<std::string, std::less<>> said;                   // for the loop's thread
  if (!line.starts_with(kSandboxLine)) return;
  line.remove_prefix(kSandboxLine.size());
  constexpr std::size_t kMostKinds = 100;  // a bound, since engines write what they like
  if (said.size() < kMostKinds && said.emplace(line).second) log::warn("the engines' sandbox: {}", line);
}

class LlamaEngine final : public Engine {
 public:
  LlamaEngine(io::Loop& loop, io::Address address, std::shared_ptr<EngineLog> log, Handlers handlers,
              Bytes conversations, std::vector<std::string> devices)
      : address_(std::move(address)),
        log_(std::move(log)),
        handlers_(std::move(handlers)),
        devices_(std::move(devices)),
        kill_timer_(loop),
        agent_(
            loop, [this](std::string_view text, io::Descriptor file) { process_->write_stdin(text, std::move(file)); },
            log_, conversations) {}

  ~LlamaEngine() override {
    process_.reset();
    remove_socket();
  }

  Result<void> start(io::Loop& loop, const io::ProcessSpec& spec) {
    io::Process::Handlers handlers;
    handlers.on_stdout = [this](std::string_view line) { take_line(line); };
    handlers.on_stderr = [this](std::string_view line) {
      ++lines_;
      warn_about_sandbox(line);
      log_->append(line);
    };
    handlers.on_exit = [this](io::ExitStatus status) { exited(status); };
    handlers.on_stdin = [this](std::string_view line) {
      ++lines_;
      // Nobody wants to know what an engine holds that is on its way out.
      if (!asked_to_stop_ && !killed_for_) agent_.take_line(line);
    };
    auto process = io::Process::spawn(loop, spec, std::move(handlers));
    if (!process) return fail(process.error());
    process_ = std::move(*process);
    pid_ = process_->pid();
    return {};
  }

  EngineAgent* agent() override { return &agent_; }
  const io::Address& address() const override { return address_; }
  pid_t pid() const override { return pid_; }

  void share_cores(unsigned sharers) override {
    process_->write_stdin(fmt::format("{} {}\n", protocol::kSharers, sharers));
  }

  void stop(Duration grace) override {
    if (exited_) return;
    asked_to_stop_ = true;
    // While it loads there is nothing to end in order.
    if (!ready_ || grace <= Duration::zero()) {
      process_->signal_group(SIGKILL);
      return;
    }
    process_->close_stdin();
    kill_timer_.arm(Clock::now() + grace, [this] { process_->signal_group(SIGKILL); });
  }

  std::uint64_t activity() const override {
    return lines_ + static_cast<std::uint64_t>(processor_time(pid_).value_or(std::chrono::milliseconds(0)).count());
  }

  void kill(Error reason) override {
    if (exited_) return;
    // The states come first: the last line of the log should be the reason, which errors quote.
    for (const std::string& line : thread_states(pid_)) log_->append(line);
    log_->append("error: " + reason.message);
    killed_for_ = std::move(reason);
    process_->signal_group(SIGKILL);
  }

 private:
  void take_line(std::string_view line) {
    ++lines_;
    const auto state = parse_state_line(line);
    if (!state) {
      if (!line.empty()) log_->append(line);
      return;
    }
    if (asked_to_stop_ || ready_) return;
    if (state->state == StateLine::State::kReady) {
      process_->read_stdin();  // first what its agent has said
      ready_ = true;
      if (handlers_.on_ready) handlers_.on_ready();
    } else if (state->fraction && handlers_.on_progress) {
      // Stages may be reported out of order. A bar that waits is better than one that goes back.
      progress_ = std::max(progress_, *state->fraction);
      handlers_.on_progress(progress_);
    }
  }

  void exited(const io::ExitStatus& status) {
    exited_ = true;
    kill_timer_.cancel();
    remove_socket();
    Error reason = reason_for(status);
    // Moved out first, since the call may destroy this engine.
    const auto call = std::exchange(handlers_.on_exit, nullptr);
    if (call) call(std::move(reason));
  }

  Error reason_for(const io::ExitStatus& status) const {
    if (asked_to_stop_) return {ErrorCode::kCancelled, "the engine was stopped"};
    if (killed_for_) return *killed_for_;
    const std::string words = log_->last_words();
    if (const std::string full = ready_ ? "" : full_device(*log_, devices_); !full.empty()) {
      return {ErrorCode::kNoCapacity,
              fmt::format("the model cannot be loaded, since {} has no room for it: {}", full, words)};
    }
    if (!ready_ && status.signal == 0 && blames_file(words)) {
      return {ErrorCode::kInvalidModel, fmt::format("the model cannot be loaded{}", words.empty() ? "" : ": " + words)};
    }
    return death(status, ready_, words);
  }

  void remove_socket() const { ::unlink(address_.unix_path.c_str()); }

  io::Address address_;
  std::shared_ptr<EngineLog> log_;  // shared, since it outlives the engine; see engine.h
  Handlers handlers_;
  const std::vector<std::string> devices_;  // where it may take memory
  io::Timer kill_timer_;
  pid_t pid_ = -1;
  bool ready_ = false;
  bool asked_to_stop_ = false;
  bool exited_ = false;
  std::optional<Error> killed_for_;
  std::uint64_t lines_ = 0;  // how many it wrote
  double progress_ = 0;
  LlamaAgent agent_;
  std::unique_ptr<io::Process> process_;  // last member, since its handlers use the others
};

// Differs from one build of the program to the next.
std::string build_of(const std::string& program) {
  struct stat status{};
  const bool there = ::stat(program.c_str(), &status) == 0;
  return fmt::format("{} {} {}", there ? status.st_size : -1, there ? status.st_mtim.tv_sec : 0,
                     there ? status.st_mtim.tv_nsec : 0);
}

class LlamaDriver final : public EngineDriver {
 public:
  LlamaDriver(io::Loop& loop, LlamaDriverOptions options) : loop_(loop), options_(std::move(options)) {
    inspect_environment_ = engine_environment(options_.environment);
    if (!options_.device_engine_path.empty()) append(inspect_environment_, device_environment());
    serve_environment_ = inspect_environment_;
    // Makes llama.cpp's server report its state on stdout and follow its stdin. Nothing listens on that port.
    serve_environment_.push_back(variable(protocol::kChildVariable, "1"));
    if (!options_.image_folder.empty())
      serve_environment_.push_back(variable(protocol::kImageFolderVariable, options_.image_folder));
  }

  std::string fingerprint() const override {
    std::string result = build_of(options_.engine_path);
    if (!options_.device_engine_path.empty()) result += " " + build_of(options_.device_engine_path);
    return fmt::format("{} {}", result, fmt::join(engine_arguments(ModelSpec{}, nullptr, options_.defaults), " "));
  }

  std::vector<std::string> devices() const override { return options_.devices; }

  void look_at_devices(std::function<void(const DeviceMemories&)> done) override {
    if (options_.device_engine_path.empty()) return done({});
    io::ProcessSpec child;
    child.argv = {options_.device_engine_path, protocol::kListDevicesCommand};
    child.environment = inspect_environment_;
    child.environment.push_back(variable(protocol::kSandboxVariable, options_.sandbox));
    device_look_ = std::make_unique<DeviceLook>(loop_, child, options_.device_look_timeout, std::move(done));
  }

  void inspect(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) override {
    end_idle();
    queue_.push_back({spec, std::move(done)});
    // Later, so that `done` is never called inside this call.
    loop_.post([alive = std::weak_ptr(alive_), this] {
      if (!alive.expired()) start_queued();
    });
  }

  void inspect_idly(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) override {
    check(idle_.empty(), "two inspections for nobody at once");
    idle_.push_back({spec, std::move(done)});
    loop_.post([alive = std::weak_ptr(alive_), this] {
      if (alive.expired() || idle_.empty() || idle_.front().inspection) return;
      const auto job = idle_.begin();
      run_stage(job, engine_arguments(job->spec, nullptr, options_.defaults));
    });
  }

  Result<std::unique_ptr<Engine>> start(const ModelSpec& spec, const ModelMetadata& metadata,
                                        std::shared_ptr<EngineLog> log, Engine::Handlers handlers) override {
    end_idle();
    auto address = fresh_socket(options_.runtime_dir);
    if (!address) return fail(address.error());
    io::ProcessSpec child;
    child.argv = {program_for(spec), "--host", address->unix_path, "-m", spec.path, "--alias", spec.id};
    append(child.argv, engine_arguments(spec, &metadata, options_.defaults));
    child.environment = serve_environment_;
    child.stdin_is_socket = true;
    auto sandbox = sandbox_environment(options_.sandbox, spec, options_.runtime_dir, on_devices(spec));
    if (!sandbox) return fail(sandbox.error());
    append(child.environment, *sandbox);
    if (!spec.conversations.empty()) {
      child.environment.push_back(variable(protocol::kConversationsVariable, spec.conversations));
    }
    const bool on_devices = !spec.placement.devices.empty() || chooses_devices(spec);
    auto engine = std::make_unique<LlamaEngine>(loop_, std::move(*address), std::move(log), std::move(handlers),
                                                metadata.conversations(),
                                                on_devices ? options_.devices : std::vector<std::string>());
    if (const auto started = engine->start(loop_, child); !started) return fail(started.error());
    return engine;
  }

 private:
  struct Job {
    ModelSpec spec;
    std::function<void(Result<ModelMetadata>)> done;
    std::vector<std::string> arguments = {};
    bool final_stage = false;
    std::unique_ptr<Inspection> inspection = {};
  };
  using Running = std::list<Job>::iterator;

  bool on_devices(const ModelSpec& spec) const {
    const bool wanted = !spec.placement.devices.empty() || chooses_devices(spec);
    return wanted && !options_.device_engine_path.empty();
  }
  const std::string& program_for(const ModelSpec& spec) const {
    return on_devices(spec) ? options_.device_engine_path : options_.engine_path;
  }

  static void append(std::vector<std::string>& to, const std::vector<std::string>& more) {
    to.insert(to.end(), more.begin(), more.end());
  }

  // A request wants something: the inspection for nobody gives way.
  void end_idle() {
    if (idle_.empty()) return;
    const auto done = std::move(idle_.front().done);
    idle_.clear();
    loop_.post([alive = std::weak_ptr(alive_), done] {
      if (!alive.expired()) done(fail(ErrorCode::kCancelled, "the inspection made way for a request"));
    });
  }

  bool is_idle(Running job) { return !idle_.empty() && job == idle_.begin(); }

  void start_queued() {
    const std::weak_ptr<bool> alive = alive_;
    while (!alive.expired() && !queue_.empty() && running_.size() < options_.max_inspections) {
      running_.push_back(std::move(queue_.front()));
      queue_.pop_front();
      const auto job = std::prev(running_.end());
      run_stage(job, engine_arguments(job->spec, nullptr, options_.defaults));
    }
  }

  void run_stage(Running job, std::vector<std::string> arguments) {
    job->arguments = std::move(arguments);
    io::ProcessSpec child;
    child.argv = {program_for(job->spec), protocol::kInspectCommand, job->spec.path};
    append(child.argv, job->arguments);
    child.environment = inspect_environment_;
    child.idle = is_idle(job);
    const auto sandbox = sandbox_environment(options_.sandbox, job->spec, "", on_devices(job->spec));
    if (!sandbox) {
      finish(job, fail(sandbox.error()));
      return;
    }
    append(child.environment, *sandbox);
    Inspection::Limits limits;
    limits.time = options_.inspect_timeout;
    auto inspection = Inspection::start(
        loop_, child, limits, [this, job](Result<ModelMetadata> result) { stage_done(job, std::move(result)); });
    if (!inspection) {
      finish(job, fail(ErrorCode::kInternal, inspection.error().message));
      return;
    }
    job->inspection = std::move(*inspection);
  }

  void stage_done(Running job, Result<ModelMetadata> result) {
    if (!result || result->kind != FileKind::kModel) {
      finish(job, std::move(result));
      return;
    }
    // The file's content may lead to other arguments, and the footprint must be for the arguments that will be used. So
    // it inspects once more, but only once: two inspections that ask for each other's arguments must not go on for
    // ever.
    auto arguments = engine_arguments(job->spec, &*result, options_.defaults);
    if (!job->final_stage && arguments != job->arguments) {
      job->final_stage = true;
      run_stage(job, std::move(arguments));
      return;
    }
    result->context = conversation_context(job->spec, result->trained_context);
    finish(job, std::move(result));
  }

  void finish(Running job, Result<ModelMetadata> result) {
    const auto done = std::move(job->done);
    // Kept until this function returns, which may run inside its callback.
    const auto ended = std::move(job->inspection);
    (is_idle(job) ? idle_ : running_).erase(job);
    const std::weak_ptr<bool> alive = alive_;
    done(std::move(result));
    if (!alive.expired()) start_queued();
  }

  io::Loop& loop_;
  LlamaDriverOptions options_;
  std::vector<std::string> inspect_environment_;
  std::vector<std::string> serve_environment_;
  std::deque<Job> queue_;
  std::list<Job> running_;
  std::list<Job> idle_;  // at most one, for no request
  std::unique_ptr<DeviceLook> device_look_;
  // Shows to calls that outlive the driver that it is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<EngineDriver> make_llama_driver(io::Loop& loop, LlamaDriverOptions options) {
  return std::make_unique<LlamaDriver>(loop, std::move(options));
}

}  // namespace minerva
