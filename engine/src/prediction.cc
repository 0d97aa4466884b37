#include "prediction.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "attention.h"
#include "footprint.h"
#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "gguf.h"
#include "mtmd.h"
#include "speculative.h"
#include "src/llama-context.h"
#include "src/llama-ext.h"
#include "src/llama-model.h"

namespace minerva::engine {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

bool is_mapped(llama_load_mode mode) {
    return mode == LLAMA_LOAD_MODE_AUTO || mode == LLAMA_LOAD_MODE_MMAP || mode == LLAMA_LOAD_MODE_MMAP_MLOCK;
}

bool on_cpu(ggml_backend_dev_t device) {
    return device == nullptr || ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU;
}

// How much of a model's files stays mapped. llama.cpp unmaps what lies before the first and behind the last tensor that
// it uses from the mapping. Tensors between these stay mapped, even those that are repacked.
std::size_t mapped_bytes(const llama_model * model, const std::string & path) {
    std::map<std::string, std::size_t> used;
    for (const auto & [name, tensor] : llama_internal_get_tensor_map(model)) {
        if (tensor->buffer != nullptr && ggml_backend_buft_is_host(ggml_backend_buffer_get_type(tensor->buffer))) {
            used[name] = ggml_nbytes(tensor);
        }
    }
    std::size_t sum = 0;
    for (const std::string & part : parts_of(model, path)) {
        const std::unique_ptr<gguf_context, decltype(&gguf_free)> file(
            gguf_init_from_file(part.c_str(), {/*no_alloc=*/true, /*ctx=*/nullptr}), gguf_free);
        if (!file) {
            throw std::runtime_error("cannot read " + part);
        }
        std::size_t first = SIZE_MAX;
        std::size_t end = 0;
        for (std::int64_t i = 0; i < gguf_get_n_tensors(file.get()); ++i) {
            const auto found = used.find(gguf_get_tensor_name(file.get(), i));
            if (found != used.end()) {
                const std::size_t at = gguf_get_tensor_offset(file.get(), i);
                first = std::min(first, at);
                end = std::max(end, at + found->second);
            }
        }
        sum += end > first ? end - first : 0;
    }
    return sum;
}

// Adds what one model and its context take. llama.cpp's own summary leaves out buffers that are neither host memory nor
// on one of the model's devices. The CPU's repacked weights are such buffers.
void add(Memory & memory, const Loaded & loaded, const std::string & path, bool mapped, bool count_weights) {
    std::size_t host_weights = 0;
    std::size_t other_weights = 0;
    for (const auto & [type, bytes] : llama_get_memory_breakdown(loaded.context.get())) {
        ggml_backend_dev_t const device = ggml_backend_buft_get_device(type);
        if (ggml_backend_buft_is_host(type)) {
            host_weights += bytes.model;
            memory.host.context += bytes.context;
            memory.host.compute += bytes.compute;
        } else if (on_cpu(device)) {
            other_weights += bytes.model;
            memory.repack += count_weights ? bytes.model : 0;
            memory.host.context += bytes.context;
            memory.host.compute += bytes.compute;
        } else {
            Usage & usage = memory.devices[ggml_backend_dev_name(device)];
            other_weights += bytes.model;
            usage.weights += count_weights ? bytes.model : 0;
            usage.context += bytes.context;
            usage.compute += bytes.compute;
        }
    }
    if (count_weights) {
        memory.host.weights += mapped && other_weights > 0 ? mapped_bytes(loaded.model.get(), path) : host_weights;
    }
}

// 0 if llama.cpp cannot make such a context.
std::size_t context_bytes(llama_model * model, const llama_context_params & params) {
    const llama_context_ptr context(llama_init_from_model(model, params));
    std::size_t sum = 0;
    if (context) {
        for (const auto & [type, bytes] : llama_get_memory_breakdown(context.get())) {
            sum += bytes.context;
        }
    }
    return sum;
}

// What a context checkpoint stores: the part of one sequence's state that does not grow with the context (the window of
// sliding-window layers, the state of recurrent layers). It is found by a comparison of contexts. Two are so long that
// only the rest grows between them. Another one has a larger batch, for which only the caches of sliding windows have
// more cells.
std::size_t checkpoint_bytes(llama_model * model, llama_context_params params) {
    const bool recurrent = llama_model_is_recurrent(model) || llama_model_is_hybrid(model);
    const std::size_t window = params.swa_full ? 0 : static_cast<std::size_t>(std::max(0, llama_model_n_swa(model)));
    if (window == 0 && !recurrent) {
        return 0;
    }
    constexpr std::uint32_t kCells = 256;  // llama.cpp rounds up to a multiple of it
    const std::uint32_t sequences = std::max<std::uint32_t>(1, params.n_seq_max);
    const std::uint32_t streams = params.kv_unified ? 1 : sequences;
    const std::size_t longest =
        std::min(params.n_ctx / streams, static_cast<std::uint32_t>(llama_model_n_ctx_train(model)));
    const std::size_t windows = window * sequences / streams;  // in one stream
    params.n_ctx = GGML_PAD(static_cast<std::uint32_t>(windows + params.n_ubatch) + 2 * kCells, kCells) * streams;
    const std::size_t once = context_bytes(model, params);
    params.n_ctx *= 2;
    const std::size_t twice = context_bytes(model, params);
    const std::size_t cells = GGML_PAD(windows + params.n_ubatch, kCells) * streams;
    params.n_ubatch += kCells;
    params.n_batch = std::max(params.n_batch, params.n_ubatch);
    const std::size_t larger_batch = window > 0 ? context_bytes(model, params) : twice;
    if (once == 0 || twice < once || larger_batch < twice) {
        return 0;
    }
    const std::size_t per_cell = (larger_batch - twice) / (kCells * streams);
    const std::size_t fixed = 2 * once - std::min(2 * once, twice);
    const std::size_t recurrent_states = fixed - std::min(fixed, per_cell * cells);
    return per_cell * std::min(window, longest) + recurrent_states / sequences;
}

// Logits and embeddings of one batch. This buffer is allocated when it is first needed, so it is in no breakdown.
std::size_t output_bytes(const llama_model * model, const common_params & params) {
    const std::size_t vocabulary = static_cast<std::size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
    const std::size_t embedding = params.embedding ? static_cast<std::size_t>(llama_model_n_embd(model)) : 0;
    return static_cast<std::size_t>(params.n_outputs_max) * (vocabulary + embedding) * sizeof(float);
}

// What computing takes beside the graph's own buffers, and what the first computation makes: the memory that the
// threads share, and the nodes of the graph. This uses the graph that was made with the context. To ask for another
// graph is not safe, since the architecture decides what may be asked (one that pools cannot have fewer outputs than
// tokens, and aborts).
std::size_t graph_bytes(const Loaded & loaded, const common_params & params) {
    constexpr std::size_t kPerNode = 700;
    const llm_graph_result * const made = loaded.context->get_gf_res_reserve();
    ggml_cgraph * const graph = made == nullptr ? nullptr : made->get_gf();
    if (graph == nullptr) {
        return 0;
    }
    bool attention = false;
    for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
        attention = attention || ggml_graph_node(graph, i)->op == GGML_OP_FLASH_ATTN_EXT;
    }
    // Prompts have threads of their own if another number of threads computes them.
    const int for_prompts = params.cpuparams_batch.n_threads;
    const int for_answers = params.cpuparams.n_threads == for_prompts ? 0 : params.cpuparams.n_threads;
    return ggml_graph_plan(graph, for_prompts, nullptr).work_size +
           static_cast<std::size_t>(ggml_graph_n_nodes(graph)) * kPerNode +
           (attention ? static_cast<std::size_t>(for_prompts + for_answers) * kAttentionWorkspace : 0);
}

// What no buffer shows. This process has the same vocabulary, the same graph and much of the same code as the one that
// will serve, so it already holds most of it. The numbers for the rest are fitted to measurements.
std::size_t overhead_bytes(const Loaded & target, const common_params & params) {
    const std::optional<Footprint> here = measure_footprint();
    if (!here) {
        throw std::runtime_error(
            "the kernel does not say what a process holds: /proc/self/maps or pagemap cannot be read");
    }
    constexpr std::size_t kServing = 5300 * std::size_t{1024};  // code, threads, templates
    constexpr std::size_t kPerToken = 240;                      // for each cell of the KV cache
    constexpr std::size_t kPerPromptToken = 300;                // of one request
    const std::size_t tokens = llama_n_ctx(target.context.get());
    const std::size_t vocabulary =
        static_cast<std::size_t>(llama_vocab_n_tokens(llama_model_get_vocab(target.model.get())));
    return here->total() + kServing + tokens * kPerToken + llama_n_ctx_seq(target.context.get()) * kPerPromptToken +
           static_cast<std::size_t>(params.n_parallel) * vocabulary * sizeof(llama_token_data);
}

struct Draft {
    common_params params;
    llama_context_params context_params;
    bool has_model;  // the companion has a model of its own
    Loaded loaded;
};

std::optional<Draft> load_draft(const common_params & params, const Loaded & target) {
    const auto & types = params.speculative.types;
    const bool shares_model = std::find(types.begin(), types.end(), COMMON_SPECULATIVE_TYPE_DRAFT_MTP) != types.end();
    if (!params.speculative.has_dft() && !shares_model) {
        return std::nullopt;
    }
    Draft draft;
    draft.params = common_base_params_to_speculative(params);
    draft.has_model = params.speculative.has_dft();
    draft.context_params = common_context_params_to_llama(draft.params);
    if (shares_model) {
        draft.context_params.ctx_type = LLAMA_CONTEXT_TYPE_MTP;
    }
    draft.context_params.n_ctx = llama_n_ctx(target.context.get());
    draft.context_params.n_rs_seq = 0;
    draft.context_params.ctx_other = target.context.get();
    draft.loaded =
        load_without_memory(draft.params.model.path, common_model_params_to_llama(draft.params), draft.context_params);
    return draft;
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
        if (on_cpu(device)) {
            host += bytes;
        } else {
            memory.devices[ggml_backend_dev_name(device)].weights += bytes;
        }
    }
    return host;
}

}  // namespace

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

bool can_generate(const common_params & params, const llama_model * model) {
    const bool causal = metadata(model, metadata(model, "general.architecture") + ".attention.causal") != "false";
    return !params.embedding && causal && llama_model_has_decoder(model);
}

bool can_infill(const llama_model * model) {
    const llama_vocab * const vocab = llama_model_get_vocab(model);
    return llama_vocab_fim_pre(vocab) != LLAMA_TOKEN_NULL && llama_vocab_fim_suf(vocab) != LLAMA_TOKEN_NULL &&
           llama_vocab_fim_mid(vocab) != LLAMA_TOKEN_NULL;
}

Memory predict(const common_params & params, const Loaded & target) {
    Memory memory;
    const std::optional<Draft> draft = load_draft(params, target);
    // Comes first, before this process allocates more.
    memory.overhead = overhead_bytes(target, params);

    add(memory, target, params.model.path, is_mapped(params.load_mode), /*count_weights=*/true);
    memory.host.compute += output_bytes(target.model.get(), params) + graph_bytes(target, params);
    std::size_t checkpoint = checkpoint_bytes(target.model.get(), common_context_params_to_llama(params));
    if (draft) {
        add(memory, draft->loaded, draft->params.model.path, is_mapped(draft->params.load_mode), draft->has_model);
        checkpoint += draft->has_model ? checkpoint_bytes(draft->loaded.model.get(), draft->context_params) : 0;
    }
    memory.projector = add_projector(memory, params);
    if (can_generate(params, target.model.get())) {
        // Only conversations are kept there. Without a limit (-1), llama.cpp's default is as good a guess as any.
        memory.prompt_cache = (params.cache_ram_mib < 0 ? 8192 : static_cast<std::size_t>(params.cache_ram_mib)) * kMiB;
        memory.checkpoints = checkpoint * static_cast<std::size_t>(std::max(0, params.n_ctx_checkpoints)) *
                             static_cast<std::size_t>(params.n_parallel);
    }
    return memory;
}

}  // namespace minerva::engine
