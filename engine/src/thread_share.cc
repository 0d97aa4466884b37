#include "thread_share.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "ggml-cpu.h"

extern "C" {
// The linker's names for what it wraps. Every computation on the CPU is planned first.
ggml_cplan __real_ggml_graph_plan(const ggml_cgraph * graph, int threads, ggml_threadpool * pool);
ggml_cplan __wrap_ggml_graph_plan(const ggml_cgraph * graph, int threads, ggml_threadpool * pool);
}

namespace minerva::engine {
namespace {

std::atomic<int> sharers_now = 1;

// llama.cpp makes one for decoding and may make one for prompts; a draft model may have its own. They live as long as
// the main loop runs.
std::array<std::atomic<ggml_threadpool *>, 4> pools{};

void remember(ggml_threadpool * pool) {
    for (auto & known : pools) {
        ggml_threadpool * none = nullptr;
        if (known == pool || known.compare_exchange_strong(none, pool)) {
            return;
        }
    }
}

}  // namespace

void share_threads(int sharers) { sharers_now.store(std::max(1, sharers), std::memory_order_relaxed); }

void rest_threads() {
    for (const auto & pool : pools) {
        if (ggml_threadpool * const known = pool) {
            ggml_threadpool_pause(known);
        }
    }
}

}  // namespace minerva::engine

ggml_cplan __wrap_ggml_graph_plan(const ggml_cgraph * graph, int threads, ggml_threadpool * pool) {
    if (pool != nullptr) {
        minerva::engine::remember(pool);
    }
    const int sharers = minerva::engine::sharers_now.load(std::memory_order_relaxed);
    // 0 or less: ggml's own default, which no caller in the server uses.
    return __real_ggml_graph_plan(graph, threads > 0 ? std::max(1, threads / sharers) : threads, pool);
}
