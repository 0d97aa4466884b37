#include "cli/examination.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/concession.h"
#include "catalog/catalog.h"
#include "catalog/fit.h"
#include "config/parking.h"
#include "engine/command_engine.h"
#include "engine/inspection.h"
#include "engine/llama_engine.h"
#include "io/machine_memory.h"
#include "io/process.h"
#include "io/stream.h"
#include "protocol/child.h"

namespace minerva::cli {
namespace {

namespace fs = std::filesystem;
using Level = Finding::Level;
using nlohmann::json;

constexpr auto kPatience = std::chrono::seconds(30);  // for a program that should answer at once

struct Output {
  std::string text;    // of stdout
  std::string status;  // empty: exit code 0
};

// Errors: kIo when it cannot be started, kEngineTimeout when it does not end.
Result<Output> output_of(std::vector<std::string> argv) {
  io::Loop loop;
  Output output;
  bool timed_out = false;
  io::Process::Handlers handlers;
  handlers.on_stdout = [&](std::string_view line) { output.text += std::string(line) + "\n"; };
  handlers.on_exit = [&](const io::ExitStatus& status) {
    if (status.signal != 0 || status.code != 0) output.status = status.text();
    loop.stop();
  };
  const auto process = io::Process::spawn(loop, {std::move(argv), {}, ""}, std::move(handlers));
  if (!process) return fail(process.error());
  (*process)->close_stdin();
  io::Timer timer(loop);
  timer.arm(Clock::now() + kPatience, [&] {
    timed_out = true;
    (*process)->signal_group(SIGKILL);
  });
  loop.run();
  if (timed_out) return fail(ErrorCode::kEngineTimeout, "it does not end");
  return output;
}

// Most messages of the functions below end without a full stop.
std::string sentence(std::string text) { return text.ends_with('.') ? text : text + "."; }

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// false: it is no engine of ours.
bool examine_sandbox(const Config& config, const FindingSink& found) {
  const auto check = output_of({config.engine, protocol::kSandboxCheckCommand});
  const json features = check ? json::parse(check->text, nullptr, /*allow_exceptions=*/false) : json();
  if (!features.is_object() || !features.contains("landlock") || !features["landlock"].is_number_integer() ||
      !features.contains("seccomp") || !features["seccomp"].is_boolean()) {
    found({Level::kProblem, "sandbox",
           "The engine does not say what its sandbox can do, so it is not the one of this version: `make build` makes "
           "it."});
    return false;
  }
  const int landlock = features["landlock"].get<int>();
  const bool seccomp = features["seccomp"].get<bool>();
  const bool complete = landlock > 0 && seccomp;
  if (config.sandbox == "off") {
    found({Level::kNote, "sandbox",
           "The engines' sandbox is switched off (sandbox = \"off\"): an engine that a model file or a request takes "
           "over can do what you can."});
  } else if (complete) {
    found({Level::kFine, "sandbox",
           fmt::format("Engines run in a sandbox: landlock (version {}) and seccomp keep them from other files, the "
                       "network and other programs.",
                       landlock)});
  } else {
    found({config.sandbox == "required" ? Level::kProblem : Level::kNote, "sandbox",
           fmt::format("The engines' sandbox is incomplete: this kernel offers {}{}. A newer kernel, or one with "
                       "landlock in its list of security modules (lsm=), has both.{}",
                       landlock > 0 ? "landlock, but no seccomp" : "no landlock",
                       seccomp || landlock > 0 ? "" : " and no seccomp",
                       config.sandbox == "required" ? " It is required, so no engine will start." : "")});
    return config.sandbox != "required";
  }
  return true;
}

std::uint64_t physical_memory() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// The folder, or its nearest parent that exists.
fs::path existing_part(fs::path folder) {
  std::error_code error;
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

void examine_fit(const ModelSpec& spec, const FittedModel& model, Bytes budget, const FindingSink& found) {
  const Bytes takes = model.metadata.footprint();
  if (takes > budget) {
    found({Level::kProblem, "models",
           fmt::format("The model \"{}\" can never run here: it takes {}, the budget for all models is {}. A smaller "
                       "context or parallel in its entry, a smaller quantization, or a larger memory_budget may help.",
                       spec.id, format_bytes(takes), format_bytes(budget))});
  } else if (model.reduction != Reduction{}) {
    found({Level::kNote, "models",
           fmt::format("The model \"{}\" runs with {}, as the budget for all models is {}.", spec.id,
                       concessions_text(concessions(spec, model.reduction, model.metadata.trained_context)),
                       format_bytes(budget))});
  }
}

struct Inspections {
  std::size_t good = 0;  // models that can run
  Bytes together;        // what these take together
};

// Asks the engine about every model.
Inspections inspect_models(const Config& config, std::vector<ModelSpec> models, const FindingSink& found) {
  io::Loop loop;
  LlamaDriverOptions options;
  options.engine_path = config.engine;
  options.sandbox = config.sandbox;
  const auto driver =
      make_command_driver(loop, {default_launcher_path(), ""}, make_llama_driver(loop, std::move(options)));
  const Bytes budget = resolve_budget(config.memory_budget, io::read_machine_memory());
  std::size_t waiting = models.size();
  Inspections result;
  const auto inspect = [&driver](const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) {
    driver->inspect(spec, std::move(done));
  };
  for (const ModelSpec& spec : models) {
    inspect_to_fit(spec, budget, inspect, [&](const Result<FittedModel>& model) {
      if (!model) {
        found(
            {Level::kProblem, "models",
             sentence(fmt::format("The model \"{}\" ({}) cannot run: {}", spec.id, spec.path, model.error().message))});
      } else if (model->metadata.kind != FileKind::kModel) {
        found({Level::kNote, "models",
               fmt::format("{} is no model by itself: it says that its kind is {}.", spec.path,
                           file_kind_name(model->metadata.kind))});
      } else {
        examine_fit(spec, *model, budget, found);
        const bool good = model->metadata.footprint() <= budget;
        result.good += good ? 1 : 0;
        result.together += good ? model->metadata.footprint() : Bytes();
      }
      if (--waiting == 0) loop.stop();
    });
  }
  if (waiting > 0) loop.run();
  return result;
}

}  // namespace

void examine_listen_address(const Config& config, const FindingSink& found) {
  io::Loop loop;
  for (std::size_t i = 0; i < config.listen.size(); ++i) {
    const io::Address& address = config.listen[i];
    const auto listener = io::Listener::open(loop, address, [](std::unique_ptr<io::Stream>) {});
    if (listener) {
      found({Level::kFine, "listen", fmt::format("A server could listen on {}.", address.text())});
    } else if (i > 0 && address.host == "::1") {
      found({Level::kFine, "listen", sentence(fmt::format("A server would do without: {}", listener.error().message))});
    } else {
      found({Level::kProblem, "listen",
             sentence(fmt::format("A server could not start here: {}", listener.error().message))});
    }
  }
}

bool examine_engine(const Config& config, const FindingSink& found) {
  if (::access(config.engine.c_str(), X_OK) != 0) {
    found({Level::kProblem, "engine",
           fmt::format("There is no engine at {} ({}). `make build` makes it, --engine names another.", config.engine,
                       std::strerror(errno))});
    return false;
  }
  const auto version = output_of({config.engine, "--version"});
  if (!version || !version->status.empty()) {
    found({Level::kProblem, "engine",
           fmt::format("The engine {} does not run: {}. `make build` makes it anew.", config.engine,
                       version ? version->status : version.error().message)});
    return false;
  }
  found({Level::kFine, "engine", fmt::format("The engine is {} ({}).", config.engine, first_line(version->text))});
  return examine_sandbox(config, found);
}

void examine_memory(const Config& config, Bytes held, const FindingSink& found) {
  const Bytes machine(physical_memory());
  const io::MachineMemory memory = io::read_machine_memory();
  const Bytes available = memory.limit();
  const Bytes budget = resolve_budget(config.memory_budget, memory);
  const bool limited = available < machine;
  if (limited) {
    found({Level::kNote, "memory",
           fmt::format("A cgroup limits this process to {} of the machine's {}.", format_bytes(available),
                       format_bytes(machine))});
  }
  if (budget > available) {
    found({Level::kProblem, "memory",
           fmt::format("The models may take {}, but there are only {}: the kernel will kill engines when it runs "
                       "short. Lower memory_budget.",
                       format_bytes(budget), format_bytes(available))});
  } else if (std::string warning = budget_warning(config, memory, held); !warning.empty()) {
    found({Level::kNote, "memory", std::move(warning)});
  } else {
    found({Level::kFine, "memory",
           fmt::format("The models may take {} of {}.", format_bytes(budget), format_bytes(available))});
  }
}

void examine_descriptors(const Config& config, std::optional<std::uint64_t> allowed, const FindingSink& found) {
  // One for each client's connection and one for the engine's beside it; pipes and a handle for each engine; the rest
  // of the server.
  const std::uint64_t needed = 2ULL * config.max_connections + 256;
  if (allowed && *allowed < needed) {
    found({Level::kNote, "descriptors",
           fmt::format("The server may open {} files, and {} connections need up to {}: beyond that clients wait. "
                       "Raise the limit (ulimit -n, LimitNOFILE=) or lower limits.max_connections.",
                       *allowed, config.max_connections, needed)});
  } else {
    found({Level::kFine, "descriptors",
           fmt::format("{} connections at once need up to {} open files, which are allowed.", config.max_connections,
                       needed)});
  }
}

void examine_state_folder(const Config& config, const FindingSink& found) {
  constexpr std::uint64_t kLittle = std::uint64_t{1} << 30;
  const fs::path there = existing_part(config.state_dir);
  struct statvfs status{};
  if (::access((there / ".").c_str(), W_OK | X_OK) != 0 || ::statvfs(there.c_str(), &status) != 0) {
    found({Level::kProblem, "state",
           fmt::format("The state folder {} cannot be used ({}): choose another one with --state-dir.",
                       config.state_dir, std::strerror(errno))});
    return;
  }
  const std::uint64_t free = std::uint64_t{status.f_bavail} * status.f_frsize;
  found({free < kLittle ? Level::kNote : Level::kFine, "state",
         fmt::format("The state folder {} {}, with {} free.", config.state_dir,
                     there == fs::path(config.state_dir) ? "can be written to" : "will be made",
                     format_bytes(Bytes(free)))});
}

void examine_parking(const Config& config, const FindingSink& found) {
  if (!config.park) {
    found({Level::kFine, "parking", "Parking is switched off, so models that make room are stopped."});
    return;
  }
  // The server makes the folder at its start if it does not exist.
  if (const auto usable = try_image_folder(existing_part(config.park_folder).string()); !usable) {
    found({Level::kNote, "parking",
           sentence(fmt::format("Models that make room will be stopped: {}", usable.error().message))});
    return;
  }
  const ParkingLimits limits =
      parking_limits(config, resolve_budget(config.memory_budget, io::read_machine_memory()), Bytes());
  found({Level::kFine, "parking",
         fmt::format("Models that make room are parked: together they keep {} of memory at most, and {} of disk in {}.",
                     format_bytes(limits.memory), format_bytes(limits.images), config.park_folder)});
}

void examine_models(const Config& config, bool engine_works, const FindingSink& found) {
  ScanResult scanned =
      Catalog::scan({config.models_dirs, config.models, "", config.models_dirs_are_default, config.may_fit()});
  for (const std::string& problem : scanned.problems) found({Level::kProblem, "models", sentence(problem)});
  const std::size_t count = scanned.models.size();
  if (count == 0) {
    found({Level::kNote, "models",
           fmt::format("There are no models in {}: put GGUF files there, or let `minerva pull` fetch some.",
                       fmt::join(config.models_dirs, ", "))});
    return;
  }
  if (!engine_works) return;  // that was reported
  const Inspections inspected = inspect_models(config, std::move(scanned.models), found);
  if (inspected.good == 0) return;
  found({Level::kFine, "models", fmt::format("{} of {} models can run.", inspected.good, count)});
  if (inspected.good == 1) return;
  const Bytes budget = resolve_budget(config.memory_budget, io::read_machine_memory());
  found({Level::kFine, "models",
         fmt::format("Together they take {}: {}.", format_bytes(inspected.together),
                     inspected.together <= budget
                         ? fmt::format("all of them fit the budget of {}", format_bytes(budget))
                         : fmt::format("they take turns in the budget of {}", format_bytes(budget)))});
}

}  // namespace minerva::cli
