#include "inspect.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "arg.h"
#include "common.h"
#include "gguf.h"
#include "llama.h"
#include "load_without_memory.h"
#include "log.h"
#include "mtmd.h"
#include "prediction.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"  // static functions in its headers
#include "chat.h"
#pragma GCC diagnostic pop

namespace minerva::engine {
namespace {

using Json = nlohmann::ordered_json;

std::uintmax_t file_bytes(const llama_model * model, const std::string & path) {
    std::uintmax_t sum = 0;
    for (const std::string & part : parts_of(model, path)) {
        sum += std::filesystem::file_size(part);
    }
    return sum;
}

// "Q4_K - Medium" -> "Q4_K_M", "(guessed) all F32" -> "F32", "IQ2_S - 2.5 bpw" -> "IQ2_S"
std::string quantization(const llama_model * model) {
    std::string name = llama_ftype_name(llama_model_ftype(model));
    for (const std::string prefix : {"(guessed) ", "all "}) {
        if (name.rfind(prefix, 0) == 0) {
            name.erase(0, prefix.size());
        }
    }
    const auto dash = name.find(" - ");
    if (dash == std::string::npos) {
        return name;
    }
    const char size = name[dash + 3];
    return name.substr(0, dash) + (size == 'S' || size == 'M' || size == 'L' ? std::string("_") + size : "");
}

const char * pooling_name(enum llama_pooling_type type) {
    switch (type) {
        case LLAMA_POOLING_TYPE_MEAN:
            return "mean";
        case LLAMA_POOLING_TYPE_CLS:
            return "cls";
        case LLAMA_POOLING_TYPE_LAST:
            return "last";
        case LLAMA_POOLING_TYPE_RANK:
            return "rank";
        default:
            return "none";
    }
}

Json to_json(const Usage & usage) {
    return {{"weights", usage.weights}, {"context", usage.context}, {"compute", usage.compute}};
}

// What a file is, by general.type, general.architecture and its tensors. A file that is a draft for another model may
// load as if it were a model by itself.
const char * kind_of(const std::string & type, const std::string & architecture) {
    if (type == "mmproj" || architecture == "clip") return "projector";
    if (type == "adapter") return "adapter";
    if (type == "imatrix") return "importance matrix";
    if (architecture == "eagle3" || architecture == "dflash" || architecture == "gemma4-assistant") return "draft";
    return type.empty() || type == "model" ? "model" : "other";
}

// The header of a file that may be no model, read without llama.cpp's loader.
class Header {
  public:
    explicit Header(const std::string & path)
        : gguf_(gguf_init_from_file(path.c_str(), {/*no_alloc=*/true, /*ctx=*/nullptr}), gguf_free) {}

    explicit operator bool() const { return gguf_ != nullptr; }
    std::string text(const char * key) const {
        const auto id = gguf_find_key(gguf_.get(), key);
        return id >= 0 && gguf_get_kv_type(gguf_.get(), id) == GGUF_TYPE_STRING ? gguf_get_val_str(gguf_.get(), id)
                                                                                : "";
    }
    bool has_tensor(const char * name) const { return gguf_find_tensor(gguf_.get(), name) >= 0; }

  private:
    std::unique_ptr<gguf_context, decltype(&gguf_free)> gguf_;
};

// Whether the file is a head that predicts the tokens after the next (MTP), cut out of its model: it has that model's
// architecture, but only the last layers.
bool is_cut_out_head(const llama_model * model, const std::string & path) {
    const std::string key = metadata(model, "general.architecture") + ".nextn_predict_layers";
    if (std::atoi(metadata(model, key).c_str()) <= 0 || !metadata(model, "split.count").empty()) return false;
    const Header header(path);
    return header && !header.has_tensor("blk.0.attn_norm.weight");
}

// The metadata that people ask for. A long text is left out; the chat template has a field of its own.
Json values(const llama_model * model) {
    constexpr int kMostValues = 150;
    constexpr std::size_t kLongest = 500;
    Json result = Json::object();
    for (int i = 0; i < llama_model_meta_count(model) && result.size() < kMostValues; ++i) {
        char key[kLongest + 1] = "";
        char value[kLongest + 1] = "";
        const int key_length = llama_model_meta_key_by_index(model, i, key, sizeof(key));
        const int length = llama_model_meta_val_str_by_index(model, i, value, sizeof(value));
        if (key_length < 0 || length < 0 || key_length > static_cast<int>(kLongest) ||
            length > static_cast<int>(kLongest)) {
            continue;
        }
        const std::string name = key;
        // llama.cpp hands every value over as text. Most values in "general." are texts, even one such as "3".
        const bool text = name.rfind("general.", 0) == 0 && name != "general.file_type" &&
                          name != "general.quantization_version" && name != "general.alignment";
        const Json parsed = text ? Json() : Json::parse(value, nullptr, /*allow_exceptions=*/false);
        result[name] = parsed.is_number() || parsed.is_boolean() ? parsed : Json(value);
    }
    return result;
}

// Adds the chat template and what it can do. Runs the template on what llama.cpp tries templates with.
void add_chat_template(Json & description, const common_params & params, const llama_model * model) {
    constexpr std::size_t kLongest = 64 << 10;
    const char * const own = llama_model_chat_template(model, nullptr);
    const bool has_one = own != nullptr || !params.chat_template.empty();
    description["has_chat_template"] = has_one;
    if (!has_one) return;
    const std::string text = params.chat_template.empty() ? own : params.chat_template;
    description["chat_template"] = text.size() <= kLongest ? text : "";
    try {
        const auto templates = common_chat_templates_init(model, params.chat_template);
        const auto can = common_chat_templates_get_caps(templates.get());
        const auto tools = can.find("supports_tools");
        description["supports_tools"] = tools != can.end() && tools->second;
        description["supports_thinking"] = common_chat_templates_support_enable_thinking(templates.get());
    } catch (const std::exception & e) {
        std::fprintf(stderr, "the chat template cannot be tried: %s\n", e.what());
    }
}

Json input_modalities(const common_params & params) {
    Json modalities = Json::array({"text"});
    if (params.mmproj.path.empty()) return modalities;
    const mtmd_caps can = mtmd_get_cap_from_file(params.mmproj.path.c_str());
    if (can.inp_vision) modalities.push_back("image");
    if (can.inp_audio) modalities.push_back("audio");
    return modalities;
}

Json describe(common_params & params) {
    settle(params);
    const Loaded loaded = load_without_memory(params.model.path, common_model_params_to_llama(params),
                                              common_context_params_to_llama(params));
    const llama_model * const model = loaded.model.get();
    const Memory memory = predict(params, loaded);
    const auto pooling = llama_pooling_type(loaded.context.get());

    Json devices = Json::array();
    for (const auto & [name, usage] : memory.devices) {
        Json device = to_json(usage);
        device["name"] = name;
        devices.push_back(device);
    }

    const bool pooled = pooling != LLAMA_POOLING_TYPE_NONE && pooling != LLAMA_POOLING_TYPE_UNSPECIFIED;
    const std::string architecture = metadata(model, "general.architecture");
    const std::string kind =
        is_cut_out_head(model, params.model.path) ? "draft" : kind_of(metadata(model, "general.type"), architecture);
    Json description = {{"kind", kind},
                        {"architecture", architecture},
                        {"name", metadata(model, "general.name")},
                        {"parameters", llama_model_n_params(model)},
                        {"quantization", quantization(model)},
                        {"trained_context", llama_model_n_ctx_train(model)},
                        {"embedding_length", llama_model_n_embd(model)},
                        {"layers", llama_model_n_layer(model)},
                        {"pooling", pooling_name(pooling)},
                        {"can_generate", can_generate(params, model)},
                        {"can_embed", pooled && pooling != LLAMA_POOLING_TYPE_RANK},
                        {"can_rerank", pooling == LLAMA_POOLING_TYPE_RANK},
                        {"can_infill", can_infill(model)},
                        {"multimodal", !params.mmproj.path.empty()},
                        {"input_modalities", input_modalities(params)},
                        {"values", values(model)},
                        {"size_bytes", file_bytes(model, params.model.path)},
                        {"memory",
                         {{"host", to_json(memory.host)},
                          {"devices", devices},
                          {"repack_bytes", memory.repack},
                          {"projector_bytes", memory.projector},
                          {"checkpoints_bytes", memory.checkpoints},
                          {"prompt_cache_bytes", memory.prompt_cache},
                          {"overhead_bytes", memory.overhead},
                          {"total_bytes", memory.total()}}}};
    // Comes after the prediction of the memory, which includes what this process holds.
    add_chat_template(description, params, model);
    return description;
}

// Why `path` cannot be loaded, and whether the reason is that it is no model by itself.
Json refusal(const std::string & path, const std::string & why) {
    Json json = {{"error", why}};
    const Header header(path);
    if (!header) return json;
    json["architecture"] = header.text("general.architecture");
    json["name"] = header.text("general.name");
    json["kind"] = kind_of(header.text("general.type"), header.text("general.architecture"));
    return json;
}

}  // namespace

int inspect(int argc, char ** argv) {
    // stdout gets only the answer, whatever llama.cpp prints.
    std::FILE * const answer = fdopen(dup(STDOUT_FILENO), "w");
    dup2(STDERR_FILENO, STDOUT_FILENO);
    const auto say = [answer](const Json & json) {
        // Metadata need not be valid UTF-8.
        std::fprintf(answer, "%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
        return std::fflush(answer) == 0;
    };

    std::vector<char *> arguments = {argv[0], const_cast<char *>("-m")};
    arguments.insert(arguments.end(), argv + 1, argv + argc);
    try {
        if (argc < 2) {
            throw std::runtime_error("usage: minerva-engine inspect FILE [engine arguments]");
        }
        common_params params;
        common_init();
        if (!common_params_parse(static_cast<int>(arguments.size()), arguments.data(), params, LLAMA_EXAMPLE_SERVER)) {
            throw std::runtime_error("the engine does not accept these arguments");
        }
        llama_backend_init();
        llama_log_set(keep_first_error, nullptr);
        const Json description = describe(params);
        return say(description) ? 0 : 1;
    } catch (const std::bad_alloc &) {
        say({{"error", "it asks for more memory than looking at a model may take"}});
        return 1;
    } catch (const std::exception & e) {
        say(refusal(argc < 2 ? "" : argv[1], e.what()));
        return 1;
    }
}

}  // namespace minerva::engine
