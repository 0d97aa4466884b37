#include "engine/inspection.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/engine.h"

namespace minerva {
namespace {

using nlohmann::json;

constexpr int kExitWithoutSandbox = 78;  // engine/src/sandbox.cc

std::string text_of(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::uint64_t count_of(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_number_unsigned() ? it->get<std::uint64_t>() : 0;
}

bool flag_of(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_boolean() && it->get<bool>();
}

std::string after_colon(const std::string& words) { return words.empty() ? std::string() : ": " + words; }

}  // namespace

Result<ModelMetadata> parse_inspection(std::string_view text) {
  const json data = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!data.is_object()) return fail(ErrorCode::kInternal, "the inspector printed no JSON object");
  if (data.contains("error")) {
    const std::string reason = text_of(data, "error");
    return fail(ErrorCode::kInvalidModel,
                reason.empty() ? "The file cannot be loaded." : "The file is no model that can be loaded: " + reason);
  }
  const auto memory = data.find("memory");
  if (memory == data.end() || !memory->is_object() || count_of(*memory, "total_bytes") == 0) {
    return fail(ErrorCode::kInternal, "the inspector did not say what memory the model takes");
  }
  ModelMetadata metadata;
  metadata.architecture = text_of(data, "architecture");
  metadata.quantization = text_of(data, "quantization");
  metadata.parameters = count_of(data, "parameters");
  metadata.trained_context = static_cast<unsigned>(
      std::min<std::uint64_t>(count_of(data, "trained_context"), std::numeric_limits<unsigned>::max()));
  metadata.can_generate = flag_of(data, "can_generate");
  metadata.can_embed = flag_of(data, "can_embed");
  metadata.can_rerank = flag_of(data, "can_rerank");
  metadata.has_chat_template = flag_of(data, "chat_template");
  metadata.multimodal = flag_of(data, "multimodal");
  metadata.predicted = Bytes(count_of(*memory, "total_bytes"));
  metadata.conversations =
      Bytes(count_of(*memory, "prompt_cache_bytes")) + Bytes(count_of(*memory, "checkpoints_bytes"));
  return metadata;
}

struct Inspection::Impl {
  explicit Impl(io::Loop& loop) : deadline(loop) {}

  io::Timer deadline;
  EngineLog log;  // of stderr: why it failed
  std::string output;
  std::size_t output_limit = 0;
  bool timed_out = false;
  bool too_much = false;
  std::function<void(Result<ModelMetadata>)> done;
  std::unique_ptr<io::Process> process;  // last: its handlers use the others

  void take_output(std::string_view line) {
    if (too_much) return;
    if (output.size() + line.size() > output_limit) {
      too_much = true;
      process->signal_group(SIGKILL);
      return;
    }
    output += line;
    output += '\n';
  }

  Result<ModelMetadata> judge(const io::ExitStatus& status) {
    if (timed_out) return fail(ErrorCode::kEngineTimeout, "inspecting the file took too long and was given up");
    if (too_much) return fail(ErrorCode::kInternal, "the inspector printed more than it should");
    if (status.signal == SIGXCPU) return fail(ErrorCode::kInvalidModel, "the file keeps the loader busy for ever");
    // Not the file's doing: somebody, most likely the kernel short of memory, killed it.
    if (status.signal == SIGKILL || status.signal == SIGTERM) {
      return fail(ErrorCode::kInternal, fmt::format("the inspector was {}", status.text()));
    }
    if (status.signal != 0) {
      return fail(ErrorCode::kInvalidModel,
                  fmt::format("the file crashes the loader ({}){}", status.text(), after_colon(log.last_words())));
    }
    if (status.signal == 0 && status.code == kExitWithoutSandbox) {
      return fail(ErrorCode::kInternal, fmt::format("no engine can be started{}", after_colon(log.last_words())));
    }
    auto parsed = parse_inspection(output);
    if (!parsed && parsed.error().code == ErrorCode::kInternal) {
      return fail(ErrorCode::kInternal,
                  fmt::format("{} ({}){}", parsed.error().message, status.text(), after_colon(log.last_words())));
    }
    if (parsed && status.code != 0) {
      return fail(ErrorCode::kInternal,
                  fmt::format("the inspector failed ({}){}", status.text(), after_colon(log.last_words())));
    }
    return parsed;
  }
};

Inspection::Inspection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Inspection::~Inspection() = default;

Result<std::unique_ptr<Inspection>> Inspection::start(io::Loop& loop, const io::ProcessSpec& child, Limits limits,
                                                      std::function<void(Result<ModelMetadata>)> done) {
  auto impl = std::make_unique<Impl>(loop);
  Impl* const self = impl.get();
  self->output_limit = limits.output_bytes;
  self->done = std::move(done);
  io::Process::Handlers handlers;
  handlers.on_stdout = [self](std::string_view line) { self->take_output(line); };
  handlers.on_stderr = [self](std::string_view line) { self->log.append(line); };
  handlers.on_exit = [self](io::ExitStatus status) {
    self->deadline.cancel();
    // Taken out first: the call may destroy this Inspection.
    const auto call = std::exchange(self->done, nullptr);
    auto result = self->judge(status);
    call(std::move(result));
  };
  auto process = io::Process::spawn(loop, child, std::move(handlers));
  if (!process) return fail(process.error());
  self->process = std::move(*process);
  self->process->close_stdin();
  self->deadline.arm(Clock::now() + limits.time, [self] {
    self->timed_out = true;
    self->process->signal_group(SIGKILL);
  });
  return std::unique_ptr<Inspection>(new Inspection(std::move(impl)));
}

}  // namespace minerva
