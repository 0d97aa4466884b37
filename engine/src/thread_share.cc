#include "thread_share.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "ggml-cpu.h"

extern "C" {
// The linker's names for the functions that it wraps. The thread that computes first plans each computation on the CPU.
ggml_cplan __real_ggml_graph_plan(const ggml_cgraph * graph, int threads, ggml_threadpool * pool);
ggml_cplan __wrap_ggml_graph_plan(const ggml_cgraph * graph, int threads, ggml_threadpool * pool);
ggml_threadpool * __real_ggml_threadpool_new(ggml_threadpool_params * params);
ggml_threadpool * __wrap_ggml_threadpool_new(ggml_threadpool_params * params);
void __real_ggml_threadpool_free(ggml_threadpool * pool);
void __wrap_ggml_threadpool_free(ggml_threadpool * pool);
}

namespace minerva::engine {
namespace {

std::atomic<int> sharers_now = 1;

// A pool of llama.cpp. It makes one for decoding, and may make one for prompts; a draft model may have its own.
struct Pool {
    ggml_threadpool * whole;
    ggml_threadpool_params params;
    // The pool that computes instead while engines share the cores. If a computation leaves out a thread of `whole`,
    // that thread still spins through every second computation.
    ggml_threadpool * part = nullptr;
    int part_threads = 0;
};

// Neither of these is ever destroyed, since llama.cpp frees its pools with static objects.
std::mutex & pools_mutex = *new std::mutex;
std::vector<Pool> & pools = *new std::vector<Pool>;  // guarded by pools_mutex

std::vector<Pool>::iterator find(const ggml_threadpool * whole) {
    return std::find_if(pools.begin(), pools.end(), [whole](const Pool & pool) { return pool.whole == whole; });
}

void drop_part(Pool & pool) {
    __real_ggml_threadpool_free(pool.part);
    pool.part = nullptr;
    pool.part_threads = 0;
}

// Requires: nothing computes in `whole` or in a part of it.
ggml_threadpool * pool_of(ggml_threadpool * whole, int threads) {
    const std::scoped_lock lock(pools_mutex);
    const auto pool = find(whole);
    if (pool == pools.end()) {
        return whole;
    }
    if (pool->part_threads == threads) {
        return pool->part;
    }
    drop_part(*pool);
    if (threads >= pool->params.n_threads) {
        return whole;
    }
    ggml_threadpool_pause(whole);
    ggml_threadpool_params params = pool->params;
    params.n_threads = threads;
    params.paused = false;
    pool->part = __real_ggml_threadpool_new(&params);
    pool->part_threads = threads;
    return pool->part;
}

}  // namespace

void share_threads(int sharers) { sharers_now.store(std::max(1, sharers), std::memory_order_relaxed); }

void rest_threads() {
    const std::scoped_lock lock(pools_mutex);
    for (const Pool & pool : pools) {
        ggml_threadpool_pause(pool.part != nullptr ? pool.part : pool.whole);
    }
}

}  // namespace minerva::engine

using minerva::engine::pools;
using minerva::engine::pools_mutex;

ggml_threadpool * __wrap_ggml_threadpool_new(ggml_threadpool_params * params) {
    ggml_threadpool * const pool = __real_ggml_threadpool_new(params);
    if (pool != nullptr) {
        const std::scoped_lock lock(pools_mutex);
        pools.push_back({pool, *params});
    }
    return pool;
}

void __wrap_ggml_threadpool_free(ggml_threadpool * pool) {
    {
        const std::scoped_lock lock(pools_mutex);
        const auto known = minerva::engine::find(pool);
        if (known != pools.end()) {
            minerva::engine::drop_part(*known);
            pools.erase(known);
        }
    }
    __real_ggml_threadpool_free(pool);
}

ggml_cplan __wrap_ggml_graph_plan(const ggml_cgraph * graph, int threads, ggml_threadpool * pool) {
    // 0 or less means ggml's own default, which no caller in the server uses.
    if (threads > 0) {
        threads = std::max(1, threads / minerva::engine::sharers_now.load(std::memory_order_relaxed));
        if (pool != nullptr) {
            pool = minerva::engine::pool_of(pool, threads);
        }
    }
    return __real_ggml_graph_plan(graph, threads, pool);
}
