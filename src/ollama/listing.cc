#include "ollama/listing.h"

#include <fmt/format.h>

#include "api/digest.h"
#include "api/json.h"

namespace minerva::ollama {
namespace {

using api::Json;

constexpr std::string_view kLatest = ":latest";

Json details_json(const ModelDetails& details) {
  Json families = Json::array();
  if (!details.architecture.empty()) families.push_back(details.architecture);
  return {{"parent_model", ""},
          {"format", "gguf"},
          {"family", details.architecture},
          {"families", std::move(families)},
          {"parameter_size", parameter_size(details.parameters)},
          {"quantization_level", details.quantization}};
}

Json model_json(const TagAnswer& model) {
  const std::string name = tagged_name(model.id);
  return {{"name", name},
          {"model", name},
          {"modified_at", api::utc(model.modified)},
          {"size", model.size.count()},
          {"digest", digest(model.id, model.identity)},
          {"details", details_json(model.details)}};
}

Json capabilities(const ShowAnswer& model) {
  Json list = Json::array();
  if (model.can_generate) list.push_back("completion");
  if (model.can_infill) list.push_back("insert");
  if (model.can_embed && !model.can_generate) list.push_back("embedding");
  if (model.sees) list.push_back("vision");
  if (model.supports_tools) list.push_back("tools");
  if (model.supports_thinking) list.push_back("thinking");
  return list;
}

Json model_info(const ShowAnswer& model) {
  Json info = Json::object();
  const std::string& architecture = model.model.details.architecture;
  if (!architecture.empty()) info["general.architecture"] = architecture;
  if (model.model.details.parameters > 0) info["general.parameter_count"] = model.model.details.parameters;
  for (const auto& [key, value] : model.values) {
    std::visit([&, &name = key](const auto& v) { info[name] = v; }, value);
  }
  if (!architecture.empty() && model.trained_context > 0) {
    info[architecture + ".context_length"] = model.trained_context;
  }
  return info;
}

}  // namespace

std::string version_json() { return api::dump(Json{{"version", kApiVersion}}); }

std::string tags_json(const std::vector<TagAnswer>& models) {
  Json list = Json::array();
  for (const TagAnswer& model : models) list.push_back(model_json(model));
  return api::dump(Json{{"models", std::move(list)}});
}

std::string ps_json(const std::vector<RunningAnswer>& models) {
  Json list = Json::array();
  for (const RunningAnswer& running : models) {
    Json json = model_json(running.model);
    json["size"] = running.memory.count();
    json.erase("modified_at");
    json["expires_at"] = api::utc(running.expires);
    json["size_vram"] = running.gpu_memory.count();
    json["context_length"] = running.context;
    list.push_back(std::move(json));
  }
  return api::dump(Json{{"models", std::move(list)}});
}

std::string show_json(const ShowAnswer& model) {
  const std::string parameters = model.context > 0 ? fmt::format("{:<30} {}", "num_ctx", model.context) : "";
  std::string modelfile = fmt::format("# As Minerva runs it.\nFROM {}\n", tagged_name(model.model.id));
  if (!model.chat_template.empty()) modelfile += fmt::format("TEMPLATE \"\"\"{}\"\"\"\n", model.chat_template);
  if (model.context > 0) modelfile += fmt::format("PARAMETER num_ctx {}\n", model.context);
  return api::dump(Json{{"modelfile", modelfile},
                        {"parameters", parameters},
                        {"template", model.chat_template},
                        {"details", details_json(model.model.details)},
                        {"model_info", model_info(model)},
                        {"capabilities", capabilities(model)},
                        {"modified_at", api::utc(model.model.modified)}});
}

std::string tagged_name(const ModelId& id) {
  return id.find(':') == std::string::npos ? id + std::string(kLatest) : id;
}

std::optional<std::string> untagged_name(std::string_view name) {
  if (!name.ends_with(kLatest)) return std::nullopt;
  return std::string(name.substr(0, name.size() - kLatest.size()));
}

std::string parameter_size(std::uint64_t count) {
  const auto number = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.1f}B", number / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.2f}M", number / 1e6);
  if (count >= 1'000) return fmt::format("{:.0f}K", number / 1e3);
  return count == 0 ? "" : std::to_string(count);
}

std::string pull_json(std::string_view file, std::string_view version, Bytes size, Bytes done) {
  const std::string which = digest(std::string(file), version);
  return api::dump(Json{{"status", "pulling " + which.substr(0, 12)},
                        {"digest", "sha256:" + which},
                        {"total", size.count()},
                        {"completed", done.count()}});
}

std::string digest(const ModelId& id, std::string_view identity) {
  return api::hex(api::sha256(fmt::format("{}\n{}", id, identity)));
}

}  // namespace minerva::ollama
