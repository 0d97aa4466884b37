#include "engine/inspection.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/engine.h"
#include "protocol/child.h"

namespace minerva {
namespace {

using nlohmann::json;

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

constexpr std::array<std::pair<std::string_view, FileKind>, 6> kKinds = {
    {{"model", FileKind::kModel},
     {"projector", FileKind::kProjector},
     {"draft", FileKind::kDraft},
     {"adapter", FileKind::kAdapter},
     {"importance matrix", FileKind::kImportanceMatrix},
     {"other", FileKind::kOther}}};

std::vector<std::string> modalities_of(const json& object) {
  std::vector<std::string> modalities;
  const auto list = object.find("input_modalities");
  if (list == object.end() || !list->is_array()) return modalities;
  for (const std::string_view known : {"text", "image", "audio"}) {
    if (std::find(list->begin(), list->end(), known) != list->end()) modalities.emplace_back(known);
  }
  return modalities;
}

// The inspector bounds the number and the length of the values. This checks the bounds again, as the inspector has read
// foreign bytes.
std::map<std::string, MetadataValue> values_of(const json& object) {
  constexpr std::size_t kMostValues = 200;
  constexpr std::size_t kLongest = 512;
  std::map<std::string, MetadataValue> values;
  const auto list = object.find("values");
  if (list == object.end() || !list->is_object()) return values;
  for (const auto& [key, value] : list->items()) {
    if (values.size() >= kMostValues) break;
    if (key.size() > kLongest) continue;
    if (value.is_boolean()) {
      values[key] = value.get<bool>();
    } else if (value.is_number_float()) {
      values[key] = value.get<double>();
    } else if (value.is_number_integer()) {
      if (!value.is_number_unsigned() || value.get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max()) {
        values[key] = value.get<std::int64_t>();
      }
    } else if (value.is_string() && value.get_ref<const std::string&>().size() <= kLongest) {
      values[key] = value.get<std::string>();
    }
  }
  return values;
}

DeviceBytes devices_of(const json& memory) {
  DeviceBytes bytes;
  const auto list = memory.find("devices");
  if (list == memory.end() || !list->is_array()) return bytes;
  for (const json& device : *list) {
    if (!device.is_object()) continue;
    // Saturating, as the numbers come from a process that has read foreign bytes.
    bytes[text_of(device, "name")] +=
        Bytes(count_of(device, "weights")) + Bytes(count_of(device, "context")) + Bytes(count_of(device, "compute"));
  }
  return bytes;
}

std::string after_colon(const std::string& words) { return words.empty() ? std::string() : ": " + words; }

}  // namespace

std::string_view file_kind_name(FileKind kind) {
  return std::find_if(kKinds.begin(), kKinds.end(), [kind](const auto& k) { return k.second == kind; })->first;
}

std::optional<FileKind> find_file_kind(std::string_view name) {
  const auto* const found =
      std::find_if(kKinds.begin(), kKinds.end(), [name](const auto& k) { return k.first == name; });
  return found == kKinds.end() ? std::nullopt : std::optional(found->second);
}

Result<ModelMetadata> parse_inspection(std::string_view text) {
  const json data = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!data.is_object()) return fail(ErrorCode::kInternal, "the inspector printed no JSON object");
  ModelMetadata metadata;
  // An unknown kind counts as what the file was taken for: a model.
  metadata.kind = find_file_kind(text_of(data, "kind")).value_or(FileKind::kModel);
  metadata.name = text_of(data, "name");
  metadata.architecture = text_of(data, "architecture");
  // Such a file need not be loadable by itself.
  if (metadata.kind != FileKind::kModel) return metadata;
  if (data.contains("error")) {
    const std::string reason = text_of(data, "error");
    return fail(ErrorCode::kInvalidModel,
                reason.empty() ? "The file cannot be loaded." : "The file is no model that can be loaded: " + reason);
  }
  const auto memory = data.find("memory");
  if (memory == data.end() || !memory->is_object() || count_of(*memory, "total_bytes") == 0) {
    return fail(ErrorCode::kInternal, "the inspector did not say what memory the model takes");
  }
  metadata.quantization = text_of(data, "quantization");
  metadata.parameters = count_of(data, "parameters");
  metadata.trained_context = static_cast<unsigned>(
      std::min<std::uint64_t>(count_of(data, "trained_context"), std::numeric_limits<unsigned>::max()));
  metadata.can_generate = flag_of(data, "can_generate");
  metadata.can_embed = flag_of(data, "can_embed");
  metadata.can_rerank = flag_of(data, "can_rerank");
  metadata.can_infill = flag_of(data, "can_infill");
  metadata.has_chat_template = flag_of(data, "has_chat_template");
  metadata.multimodal = flag_of(data, "multimodal");
  metadata.chat_template = text_of(data, "chat_template");
  metadata.supports_tools = flag_of(data, "supports_tools");
  metadata.supports_thinking = flag_of(data, "supports_thinking");
  metadata.input_modalities = modalities_of(data);
  metadata.file_values = values_of(data);
  metadata.layers =
      static_cast<unsigned>(std::min<std::uint64_t>(count_of(data, "layers"), std::numeric_limits<unsigned>::max()));
  metadata.predicted_on_devices = devices_of(*memory);
  metadata.predicted = Bytes(count_of(*memory, "total_bytes"));
  metadata.prompt_cache = Bytes(count_of(*memory, "prompt_cache_bytes"));
  metadata.checkpoints = Bytes(count_of(*memory, "checkpoints_bytes"));
  metadata.repacked = Bytes(count_of(*memory, "repack_bytes"));
  return metadata;
}

struct Inspection::Impl {
  explicit Impl(io::Loop& loop) : deadline(loop) {}

  io::Timer deadline;
  EngineLog log;  // of stderr: it says why the child failed
  std::string output;
  std::size_t output_limit = 0;
  bool timed_out = false;
  bool too_much = false;
  std::function<void(Result<ModelMetadata>)> done;
  std::unique_ptr<io::Process> process;  // last member, since its handlers use the others

  void take_output(std::string_view line) {
    if (too_much) return;
    if (output.size() + line.size() > output_limit) {
      too_much = true;
      process->signal_group(SIGKILL);
      return;
    }
    output += line;  // a long line comes in parts
  }

  Result<ModelMetadata> judge(const io::ExitStatus& status) {
    if (timed_out) return fail(ErrorCode::kEngineTimeout, "inspecting the file took too long and was given up");
    if (too_much) return fail(ErrorCode::kInternal, "the inspector printed more than it should");
    if (status.signal == SIGXCPU) return fail(ErrorCode::kInvalidModel, "the file keeps the loader busy for ever");
    // Another process killed the child, most likely the kernel when memory was short. The file is not the reason.
    if (status.signal == SIGKILL || status.signal == SIGTERM) {
      return fail(ErrorCode::kInternal, fmt::format("the inspector was {}", status.text()));
    }
    if (status.signal != 0) {
      return fail(ErrorCode::kInvalidModel,
                  fmt::format("the file crashes the loader ({}){}", status.text(), after_colon(log.last_words())));
    }
    if (status.signal == 0 && status.code == protocol::kExitWithoutSandbox) {
      return fail(ErrorCode::kInternal, fmt::format("no engine can be started{}", after_colon(log.last_words())));
    }
    auto parsed = parse_inspection(output);
    if (!parsed && parsed.error().code == ErrorCode::kInternal) {
      return fail(ErrorCode::kInternal,
                  fmt::format("{} ({}){}", parsed.error().message, status.text(), after_colon(log.last_words())));
    }
    // A file that is no model by itself cannot be loaded as one: this is no error.
    if (parsed && parsed->kind == FileKind::kModel && status.code != 0) {
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
    // Moved out first, since the call may destroy this Inspection.
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
