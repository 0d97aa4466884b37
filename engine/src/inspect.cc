#include "inspect.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <filesystem>
#include <map>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "arg.h"
#include "common.h"
#include "ggml-backend.h"
#include "llama-cpp.h"
#include "llama.h"
#include "log.h"
#include "mtmd.h"
#include "speculative.h"
#include "src/llama-ext.h"

namespace minerva::engine {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMiB = std::size_t{1} << 20;

// The first error llama.cpp logs is the cause; those after it only say what failed because of it.
std::string first_error;  // NOLINT: llama.cpp's log callback has no better place

void keep_first_error(ggml_log_level level, const char * text, void * /*user_data*/) {
    if (level < GGML_LOG_LEVEL_WARN) {
        return;
    }
    std::fputs(text, stderr);
    if (level == GGML_LOG_LEVEL_ERROR && first_error.empty()) {
        first_error = text;
    }
}

// "llama_model_load: error loading model: tensor ..." -> "tensor ...", in one line.
std::string reason(const std::string & fallback) {
    std::string text = first_error.empty() ? fallback : first_error;
    for (const std::string prefix : {"gguf_init_from_file: ", "gguf_init_from_file_ptr: ", "gguf_init_from_reader: ",
                                     "llama_model_load: ", "error loading model: ", "llama_init_from_model: "}) {
        if (text.rfind(prefix, 0) == 0) {
            text.erase(0, prefix.size());
        }
    }
    std::replace_if(text.begin(), text.end(), [](unsigned char c) { return c < ' '; }, ' ');
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

struct Usage {
    std::size_t weights = 0;
    std::size_t context = 0;
    std::size_t compute = 0;
};

struct Memory {
    Usage host;
    std::map<std::string, Usage> devices;
    std::size_t repack = 0;
};

struct Loaded {
    llama_model_ptr model;
    llama_context_ptr context;
};

Loaded load_without_memory(const char * path, llama_model_params model_params, const llama_context_params & params) {
    model_params.no_alloc = true;
    model_params.load_mode = LLAMA_LOAD_MODE_NONE;
    Loaded loaded;
    loaded.model.reset(llama_model_load_from_file(path, model_params));
    if (!loaded.model) {
        throw std::runtime_error(reason("llama.cpp cannot load it"));
    }
    loaded.context.reset(llama_init_from_model(loaded.model.get(), params));
    if (!loaded.context) {
        throw std::runtime_error(reason("llama.cpp cannot make a context with these arguments"));
    }
    return loaded;
}

bool is_mapped(llama_load_mode mode) {
    return mode == LLAMA_LOAD_MODE_AUTO || mode == LLAMA_LOAD_MODE_MMAP || mode == LLAMA_LOAD_MODE_MMAP_MLOCK;
}

// Adds what one model and its context take. llama.cpp's own summary drops buffers that are neither host memory nor
// on one of the model's devices; the CPU's repacked weights are such.
void add(Memory & memory, const Loaded & loaded, bool mapped, bool count_weights) {
    std::size_t host_weights = 0;
    std::size_t device_weights = 0;
    for (const auto & [type, bytes] : llama_get_memory_breakdown(loaded.context.get())) {
        ggml_backend_dev_t const device = ggml_backend_buft_get_device(type);
        if (ggml_backend_buft_is_host(type)) {
            host_weights += bytes.model;
            memory.host.context += bytes.context;
            memory.host.compute += bytes.compute;
        } else if (device == nullptr || ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU) {
            memory.repack += count_weights ? bytes.model : 0;
            memory.host.context += bytes.context;
            memory.host.compute += bytes.compute;
        } else {
            Usage & usage = memory.devices[ggml_backend_dev_name(device)];
            device_weights += bytes.model;
            usage.weights += count_weights ? bytes.model : 0;
            usage.context += bytes.context;
            usage.compute += bytes.compute;
        }
    }
    if (count_weights) {
        // Repacked tensors stay in the file's mapping beside their copy.
        const std::size_t file = llama_model_size(loaded.model.get());
        memory.host.weights += mapped ? std::max(host_weights, file - std::min(file, device_weights)) : host_weights;
    }
}

std::size_t context_bytes(const llama_context * context) {
    std::size_t sum = 0;
    for (const auto & [type, bytes] : llama_get_memory_breakdown(context)) {
        sum += bytes.context;
    }
    return sum;
}

// The part of one sequence's state that does not grow with the context: what a context checkpoint stores (the window of
// sliding-window layers, the state of recurrent ones). Found by looking at two contexts so long that only the rest
// grows.
std::size_t checkpoint_bytes(llama_model * model, llama_context_params params) {
    const bool recurrent = llama_model_is_recurrent(model) || llama_model_is_hybrid(model);
    const std::uint32_t window =
        params.swa_full ? 0 : static_cast<std::uint32_t>(std::max(0, llama_model_n_swa(model)));
    if (window == 0 && !recurrent) {
        return 0;
    }
    const std::uint32_t sequences = std::max<std::uint32_t>(1, params.n_seq_max);
    std::size_t bytes[2];
    const std::uint32_t past_window = (window + params.n_ubatch + 256) * sequences;
    for (std::uint32_t i = 0; i < 2; ++i) {
        params.n_ctx = GGML_PAD(past_window, 256 * sequences) << i;
        const llama_context_ptr context(llama_init_from_model(model, params));
        if (!context) {
            return 0;
        }
        bytes[i] = context_bytes(context.get());
    }
    const std::size_t all = 2 * bytes[0] - std::min(2 * bytes[0], bytes[1]);
    if (recurrent || !params.kv_unified) {
        return all / sequences;
    }
    return all * (window + params.n_ubatch) / (std::size_t{window} * sequences + params.n_ubatch);
}

// Logits and embeddings of one batch: a buffer that is allocated when first needed, so the breakdown has none of it.
std::size_t output_bytes(const llama_model * model, const common_params & params) {
    const std::size_t vocabulary = static_cast<std::size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
    const std::size_t embedding = params.embedding ? static_cast<std::size_t>(llama_model_n_embd(model)) : 0;
    return static_cast<std::size_t>(params.n_outputs_max) * (vocabulary + embedding) * sizeof(float);
}

// Heap and code that no buffer shows: vocabulary, graph, templates, samplers. The figures are fits to measurements of
// models with 32 thousand to 262 thousand tokens of vocabulary.
std::size_t overhead_bytes(const llama_model * model, const common_params & params) {
    const llama_vocab * const vocabulary = llama_model_get_vocab(model);
    const std::size_t tokens = static_cast<std::size_t>(llama_vocab_n_tokens(vocabulary));
    const std::size_t slots = static_cast<std::size_t>(params.n_parallel);
    const bool has_merges = llama_vocab_type(vocabulary) == LLAMA_VOCAB_TYPE_BPE;
    constexpr std::size_t kProcess = 20 * kMiB;
    constexpr std::size_t kPerToken = 180;
    constexpr std::size_t kPerMerge = 160;  // about as many as tokens
    return kProcess + tokens * (kPerToken + (has_merges ? kPerMerge : 0) + slots * sizeof(llama_token_data));
}

// Repeats what llama_server() and load_model() do to the parameters before they load.
void settle(common_params & params) {
    if (params.embedding && params.n_batch > params.n_ubatch) {
        params.n_batch = params.n_ubatch;
    }
    if (params.n_parallel < 0) {
        params.n_parallel = 4;
        params.kv_unified = true;
    }
    if (params.kv_unified_per_slot > 0 && params.n_ctx == 0) {
        params.n_ctx = params.n_parallel * params.kv_unified_per_slot;
    }
    const bool pooled =
        params.pooling_type != LLAMA_POOLING_TYPE_UNSPECIFIED && params.pooling_type != LLAMA_POOLING_TYPE_NONE;
    if (params.embedding || pooled) {
        params.n_outputs_max = params.n_batch;
        params.n_outputs_max_per_seq = 1;
        return;
    }
    const auto limits = common_speculative_get_output_limits(params.n_batch, params.n_parallel,
                                                             common_speculative_n_max(&params.speculative));
    params.n_outputs_max = std::max(1, limits.total);
    params.n_outputs_max_per_seq = std::max(1, limits.per_seq);
}

std::size_t add_draft(Memory & memory, const common_params & params, const Loaded & target) {
    const auto & types = params.speculative.types;
    const bool own_model = params.speculative.has_dft();
    const bool shares_model = std::find(types.begin(), types.end(), COMMON_SPECULATIVE_TYPE_DRAFT_MTP) != types.end();
    if (!own_model && !shares_model) {
        return 0;
    }
    common_params draft = common_base_params_to_speculative(params);
    auto context_params = common_context_params_to_llama(draft);
    if (shares_model) {
        context_params.ctx_type = LLAMA_CONTEXT_TYPE_MTP;
    }
    context_params.n_ctx = llama_n_ctx(target.context.get());
    context_params.n_rs_seq = 0;
    context_params.ctx_other = target.context.get();
    const Loaded loaded =
        load_without_memory(draft.model.path.c_str(), common_model_params_to_llama(draft), context_params);
    add(memory, loaded, is_mapped(draft.load_mode), /*count_weights=*/own_model);
    return own_model ? checkpoint_bytes(loaded.model.get(), context_params) : 0;
}

std::size_t add_projector(Memory & memory, const common_params & params) {
    if (params.mmproj.path.empty()) {
        return 0;
    }
    mtmd_context_params projector = mtmd_context_params_default();
    projector.use_gpu = params.mmproj_use_gpu;
    projector.device = params.mmproj_device;
    projector.print_timings = false;
    projector.n_threads = params.cpuparams.n_threads;
    projector.flash_attn_type = params.flash_attn_type;
    projector.warmup = params.warmup;
    projector.image_min_tokens = params.image_min_tokens;
    projector.image_max_tokens = params.image_max_tokens;
    projector.batch_max_tokens = params.mtmd_batch_max_tokens;
    const auto usage = mtmd_get_memory_usage(params.mmproj.path.c_str(), projector);
    if (usage.empty()) {
        throw std::runtime_error("the projector " + params.mmproj.path + " cannot be loaded");
    }
    std::size_t host = 0;
    for (const auto & [device, bytes] : usage) {
        if (device == nullptr || ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU) {
            host += bytes;
        } else {
            memory.devices[ggml_backend_dev_name(device)].weights += bytes;
        }
    }
    return host;
}

std::string metadata(const llama_model * model, const std::string & key) {
    char value[512] = "";
    const int length = llama_model_meta_val_str(model, key.c_str(), value, sizeof(value));
    return length < 0 ? "" : value;
}

std::uintmax_t file_bytes(const llama_model * model, const std::string & path) {
    const std::string count = metadata(model, "split.count");
    const int shards = count.empty() ? 1 : std::atoi(count.c_str());
    char prefix[PATH_MAX];
    if (shards <= 1 || llama_split_prefix(prefix, sizeof(prefix), path.c_str(), 0, shards) <= 0) {
        return std::filesystem::file_size(path);
    }
    std::uintmax_t sum = 0;
    for (int i = 0; i < shards; ++i) {
        char shard[PATH_MAX];
        llama_split_path(shard, sizeof(shard), prefix, i, shards);
        sum += std::filesystem::file_size(shard);
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
    const auto context_params = common_context_params_to_llama(params);
    const Loaded loaded =
        load_without_memory(params.model.path.c_str(), common_model_params_to_llama(params), context_params);
    const llama_model * const model = loaded.model.get();
    const std::string architecture = metadata(model, "general.architecture");

    Memory memory;
    add(memory, loaded, is_mapped(params.load_mode), /*count_weights=*/true);
    std::size_t checkpoint = params.n_ctx_checkpoints > 0 ? checkpoint_bytes(loaded.model.get(), context_params) : 0;
    checkpoint += add_draft(memory, params, loaded);
    const std::size_t projector = add_projector(memory, params);
    const std::size_t checkpoints = checkpoint * static_cast<std::size_t>(std::max(0, params.n_ctx_checkpoints)) *
                                    static_cast<std::size_t>(params.n_parallel);
    const auto pooling = llama_pooling_type(loaded.context.get());
    const bool causal = metadata(model, architecture + ".attention.causal") != "false";
    const bool can_generate = !params.embedding && causal && llama_model_has_decoder(model);
    // Only conversations are cached. Without a limit (-1) llama.cpp's default is as good a guess as any.
    const std::size_t prompt_cache =
        can_generate ? (params.cache_ram_mib < 0 ? 8192 : static_cast<std::size_t>(params.cache_ram_mib)) * kMiB : 0;
    memory.host.compute += output_bytes(model, params);
    const std::size_t overhead = overhead_bytes(model, params);
    const std::size_t total = memory.host.weights + memory.host.context + memory.host.compute + memory.repack +
                              projector + checkpoints + prompt_cache + overhead;

    Json devices = Json::array();
    for (const auto & [name, usage] : memory.devices) {
        Json device = to_json(usage);
        device["name"] = name;
        devices.push_back(device);
    }

    const bool pooled = pooling != LLAMA_POOLING_TYPE_NONE && pooling != LLAMA_POOLING_TYPE_UNSPECIFIED;
    return {{"architecture", architecture},
            {"name", metadata(model, "general.name")},
            {"parameters", llama_model_n_params(model)},
            {"quantization", quantization(model)},
            {"trained_context", llama_model_n_ctx_train(model)},
            {"embedding_length", llama_model_n_embd(model)},
            {"layers", llama_model_n_layer(model)},
            {"pooling", pooling_name(pooling)},
            {"can_generate", can_generate},
            {"can_embed", pooled && pooling != LLAMA_POOLING_TYPE_RANK},
            {"can_rerank", pooling == LLAMA_POOLING_TYPE_RANK},
            {"chat_template", llama_model_chat_template(model, nullptr) != nullptr},
            {"multimodal", !params.mmproj.path.empty()},
            {"size_bytes", file_bytes(model, params.model.path)},
            {"memory",
             {{"host", to_json(memory.host)},
              {"devices", devices},
              {"repack_bytes", memory.repack},
              {"projector_bytes", projector},
              {"checkpoints_bytes", checkpoints},
              {"prompt_cache_bytes", prompt_cache},
              {"overhead_bytes", overhead},
              {"total_bytes", total}}}};
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
