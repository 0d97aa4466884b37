#include "inspect.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "arg.h"
#include "common.h"
#include "llama.h"
#include "load_without_memory.h"
#include "log.h"
#include "prediction.h"

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
    return {{"architecture", metadata(model, "general.architecture")},
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
            {"chat_template", llama_model_chat_template(model, nullptr) != nullptr},
            {"multimodal", !params.mmproj.path.empty()},
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
}

}  // namespace

int inspect(int argc, char ** argv) {
    // stdout carries the answer alone, whatever llama.cpp prints.
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
        say({{"error", e.what()}});
        return 1;
    }
}

}  // namespace minerva::engine
