// Attention of a few tokens over a long context: a turn of a conversation that goes on, and each token of an answer.
//
// Purpose: ggml takes fewer than 64 queries one by one, and each of their heads by itself. So it walks the KV cache
// once for each of them, in strides of a whole token, and converts it anew each time. With 4,000 tokens in the context,
// a turn of nine tokens spent nine tenths of its time there. Here the cache is walked once, in the order in which it
// lies in memory: a block of tokens at a time is converted once for all queries that see it, and ggml's own kernels do
// the arithmetic. Sums have 32 bits; ggml keeps those of an f16 cache in 16. From 64 queries on, and where this way
// does not apply, ggml's own way is taken.
// Source: the sums of the blocks are combined as in Milakov and Gimelshein, "Online normalizer calculation for
// softmax", arXiv:1805.02867.
// Threading: every thread of ggml's pool calls it at once, as any operation. A thread takes every n-th block of tokens,
// and then its part of the rows of the result.
// Memory: kAttentionWorkspace for each thread, which is scratch to parking. As many queries are computed at once as fit
// into it.
#include "attention.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "large_blocks.h"
#include "ops.h"
#include "simd-gemm.h"
#include "vec.h"

extern "C" {
// The linker's names for the function that it wraps; ggml's graphs call it.
void __real_ggml_compute_forward_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst);
void __wrap_ggml_compute_forward_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst);
}

namespace minerva::engine {
namespace {

constexpr std::int64_t kBlock = 32;        // tokens
constexpr std::int64_t kManyQueries = 64;  // from so many on ggml takes them together
constexpr std::int64_t kFewRows = 4;       // of a block's scores: up to so many are faster one by one
constexpr std::int64_t kRowsRounded = 16;  // the longest vector of any processor, in floats
constexpr std::size_t kCacheLine = 64;
constexpr auto kRoom = static_cast<std::int64_t>(kAttentionWorkspace / sizeof(float));
constexpr float kNever = -std::numeric_limits<float>::infinity();

using ToFloat = void (*)(const void * from, float * to, std::int64_t count);

void copy_floats(const void * from, float * to, std::int64_t count) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
}

void halves_to_floats(const void * from, float * to, std::int64_t count) {
    ggml_cpu_fp16_to_fp32(static_cast<const ggml_fp16_t *>(from), to, count);
}

ToFloat to_float(ggml_type type) {
    switch (type) {
        case GGML_TYPE_F32:
            return copy_floats;
        case GGML_TYPE_F16:
            return halves_to_floats;
        default:
            return ggml_get_type_traits(type)->to_float;
    }
}

std::int64_t rounded_up(std::int64_t count, std::int64_t to) { return (count + to - 1) / to * to; }

template <typename T>
const T * element(const ggml_tensor & tensor, std::int64_t i1, std::int64_t i2, std::int64_t i3) {
    return reinterpret_cast<const T *>(
        static_cast<const char *>(tensor.data) + static_cast<std::size_t>(i1) * tensor.nb[1] +
        static_cast<std::size_t>(i2) * tensor.nb[2] + static_cast<std::size_t>(i3) * tensor.nb[3]);
}

// The memory of one thread. Nothing in it outlives an operation. Other threads read its sums until the last barrier.
class Workspace {
  public:
    Workspace() : values_(static_cast<float *>(map_large_block(kAttentionWorkspace, BlockUse::kScratch))) {
        if (values_ == nullptr) {
            GGML_ABORT("no memory for attention");
        }
    }
    ~Workspace() { unmap_large_block(values_); }
    Workspace(const Workspace &) = delete;
    Workspace & operator=(const Workspace &) = delete;
    float * values() const { return values_; }

  private:
    float * values_;
};

float * workspace_of_thread() {
    static thread_local const Workspace workspace;
    return workspace.values();
}

// One call: what it computes, and with which memory. A row is one head of one query; `group` heads share a head of K
// and V.
class Attention {
  public:
    Attention(const ggml_compute_params & params, ggml_tensor & dst);
    // Whether this way applies. All threads come to the same answer.
    bool applies() const { return queries_at_once_ > 0; }
    void compute() const;

  private:
    // Rows of a result that are not divided by their sum yet. `most`: the largest score so far.
    struct Sums {
        float * values;  // [row][v_size_]
        float * most;    // [row]
        float * sum;     // [row]
    };
    struct Scratch {
        float * block;    // first of K, then of V: [token][size]
        float * queries;  // [head of K][k_size_][row]
        float * scores;   // [token][row]
        float * weights;  // [row][token]
        float * mask;     // [query][token]
    };
    // Queries `first` to `first + count` of a stream.
    struct Part {
        std::int64_t stream;
        std::int64_t first;
        std::int64_t count;
    };

    bool takes() const;
    std::int64_t lanes(std::int64_t queries) const { return rounded_up(queries * group_, kRowsRounded); }
    std::int64_t sums_size(std::int64_t queries) const { return queries * heads_ * (v_size_ + 2); }
    // Whether the queries are so few that their scores are computed one by one, from the queries without a copy.
    bool few_rows(std::int64_t queries) const { return queries * group_ <= kFewRows; }
    std::int64_t queries_size(std::int64_t queries) const {
        return few_rows(queries) ? 0 : kv_heads_ * k_size_ * lanes(queries);
    }
    std::int64_t thread_size(std::int64_t queries) const;
    // The place where a thread writes the address of its workspace for the others.
    float *& workspace(int thread) const { return static_cast<float **>(params_.wdata)[thread]; }
    Sums sums_of(int thread) const;
    Scratch scratch() const;

    const float * query(const Part & part, std::int64_t kv_head, std::int64_t row) const {
        return element<float>(q_, part.first + row % part.count, kv_head * group_ + row / part.count, part.stream);
    }
    void read_queries(const Part & part, float * to) const;
    void walk(const Part & part) const;
    bool read_mask(const Part & part, std::int64_t token, std::int64_t tokens, float * to) const;
    void read_block(const ggml_tensor & from, ToFloat convert, std::int64_t token, std::int64_t tokens,
                    std::int64_t head, std::int64_t stream, float * to) const;
    void score(const Part & part, std::int64_t kv_head, std::int64_t tokens, const Scratch & own) const;
    // Turns scores into weights relative to the largest score so far.
    void weigh(const Part & part, std::int64_t kv_head, std::int64_t tokens, const Scratch & own,
               const Sums & sums) const;
    void combine(const Part & part) const;
    float slope(std::int64_t head) const;

    const ggml_compute_params & params_;
    ggml_tensor & dst_;
    const ggml_tensor & q_;
    const ggml_tensor & k_;
    const ggml_tensor & v_;
    const ggml_tensor * mask_;
    const ggml_tensor * sinks_;
    std::int64_t k_size_;  // of a head; likewise v_size_
    std::int64_t v_size_;
    std::int64_t heads_;
    std::int64_t kv_heads_;
    std::int64_t group_;
    std::int64_t tokens_;
    ToFloat k_to_float_;
    ToFloat v_to_float_;
    float scale_ = 1;
    float max_bias_ = 0;
    float softcap_ = 0;
    std::int64_t queries_at_once_ = 0;  // 0: this way does not apply
};

Attention::Attention(const ggml_compute_params & params, ggml_tensor & dst)
    : params_(params),
      dst_(dst),
      q_(*dst.src[0]),
      k_(*dst.src[1]),
      v_(*dst.src[2]),
      mask_(dst.src[3]),
      sinks_(dst.src[4]),
      k_size_(k_.ne[0]),
      v_size_(v_.ne[0]),
      heads_(q_.ne[2]),
      kv_heads_(k_.ne[2]),
      group_(heads_ / kv_heads_),
      tokens_(k_.ne[1]),
      k_to_float_(to_float(k_.type)),
      v_to_float_(to_float(v_.type)) {
    std::memcpy(&scale_, dst.op_params, sizeof scale_);
    std::memcpy(&max_bias_, dst.op_params + 1, sizeof max_bias_);
    std::memcpy(&softcap_, dst.op_params + 2, sizeof softcap_);
    if (!takes()) {
        return;
    }
    if (softcap_ != 0) {
        scale_ /= softcap_;
    }
    queries_at_once_ = q_.ne[1];
    while (queries_at_once_ > 0 && thread_size(queries_at_once_) > kRoom) {
        --queries_at_once_;
    }
}

bool Attention::takes() const {
    return !params_.use_ref && params_.wsize >= static_cast<std::size_t>(params_.nth) * sizeof(float *) &&
           q_.ne[1] < kManyQueries && q_.type == GGML_TYPE_F32 && k_to_float_ != nullptr && v_to_float_ != nullptr &&
           v_.ne[2] == kv_heads_ && k_.ne[3] == q_.ne[3] && v_.ne[3] == q_.ne[3] &&
           (mask_ == nullptr || mask_->ne[2] == 1);
}

std::int64_t Attention::thread_size(std::int64_t queries) const {
    return rounded_up(sums_size(queries) + kBlock * std::max(k_size_, v_size_) + queries_size(queries) +
                          lanes(queries) * 2 * kBlock + queries * kBlock,
                      kRowsRounded);
}

Attention::Sums Attention::sums_of(int thread) const {
    float * const values = workspace(thread);
    float * const most = values + queries_at_once_ * heads_ * v_size_;
    return {values, most, most + queries_at_once_ * heads_};
}

Attention::Scratch Attention::scratch() const {
    float * const block = sums_of(params_.ith).values + sums_size(queries_at_once_);
    float * const queries = block + kBlock * std::max(k_size_, v_size_);
    float * const scores = queries + queries_size(queries_at_once_);
    float * const weights = scores + lanes(queries_at_once_) * kBlock;
    return {block, queries, scores, weights, weights + lanes(queries_at_once_) * kBlock};
}

void Attention::compute() const {
    workspace(params_.ith) = workspace_of_thread();
    for (std::int64_t stream = 0; stream < q_.ne[3]; ++stream) {
        for (std::int64_t first = 0; first < q_.ne[1]; first += queries_at_once_) {
            const Part part{stream, first, std::min(queries_at_once_, q_.ne[1] - first)};
            walk(part);
            ggml_barrier(params_.threadpool);
            combine(part);
            ggml_barrier(params_.threadpool);
        }
    }
}

// Prefetches all heads of a token, which lie side by side.
void fetch(const ggml_tensor & from, std::int64_t token, std::int64_t stream) {
    const std::size_t bytes = ggml_row_size(from.type, from.ne[0]) * static_cast<std::size_t>(from.ne[2]);
    const char * const row = element<char>(from, token, 0, stream);
    for (std::size_t at = 0; at < bytes; at += kCacheLine) {
        __builtin_prefetch(row + at, 0, 2);
    }
}

void Attention::walk(const Part & part) const {
    const Sums sums = sums_of(params_.ith);
    const Scratch own = scratch();
    const std::int64_t rows = part.count * heads_;
    std::fill_n(sums.values, rows * v_size_, 0.0F);
    std::fill_n(sums.most, rows, kNever);
    std::fill_n(sums.sum, rows, 0.0F);
    read_queries(part, own.queries);
    const std::int64_t step = kBlock * params_.nth;
    for (std::int64_t token = kBlock * params_.ith; token < tokens_; token += step) {
        const std::int64_t tokens = std::min(kBlock, tokens_ - token);
        if (mask_ != nullptr && !read_mask(part, token, tokens, own.mask)) {
            continue;
        }
        for (std::int64_t head = 0; head < kv_heads_; ++head) {
            read_block(k_, k_to_float_, token, tokens, head, part.stream, own.block);
            score(part, head, tokens, own);
            weigh(part, head, tokens, own, sums);
            // Prefetches one head's share of the next block.
            const std::int64_t end = std::min(token + step + (head + 1) * kBlock / kv_heads_, tokens_);
            for (std::int64_t next = token + step + head * kBlock / kv_heads_; next < end; ++next) {
                fetch(k_, next, part.stream);
                fetch(v_, next, part.stream);
            }
            read_block(v_, v_to_float_, token, tokens, head, part.stream, own.block);
            const std::int64_t group_rows = part.count * group_;
            simd_gemm(sums.values + head * group_rows * v_size_, own.weights, own.block, static_cast<int>(group_rows),
                      static_cast<int>(kBlock), static_cast<int>(v_size_));
        }
    }
}

void Attention::read_queries(const Part & part, float * to) const {
    if (few_rows(part.count)) {
        return;
    }
    const std::int64_t width = lanes(part.count);
    std::fill_n(to, kv_heads_ * k_size_ * width, 0.0F);
    for (std::int64_t head = 0; head < kv_heads_; ++head, to += k_size_ * width) {
        for (std::int64_t row = 0; row < part.count * group_; ++row) {
            const float * const from = query(part, head, row);
            for (std::int64_t i = 0; i < k_size_; ++i) {
                to[i * width + row] = from[i];
            }
        }
    }
}

// Reads the mask. False: no query sees any of these tokens.
bool Attention::read_mask(const Part & part, std::int64_t token, std::int64_t tokens, float * to) const {
    bool any = false;
    for (std::int64_t i = 0; i < part.count; ++i, to += kBlock) {
        halves_to_floats(element<ggml_fp16_t>(*mask_, part.first + i, 0, part.stream % mask_->ne[3]) + token, to,
                         tokens);
        any = any || std::any_of(to, to + tokens, [](float value) { return value != kNever; });
    }
    return any;
}

// Fills the rest of an incomplete block with zeros.
void Attention::read_block(const ggml_tensor & from, ToFloat convert, std::int64_t token, std::int64_t tokens,
                           std::int64_t head, std::int64_t stream, float * to) const {
    for (std::int64_t i = 0; i < tokens; ++i) {
        convert(element<char>(from, token + i, head, stream), to + i * from.ne[0], from.ne[0]);
    }
    std::fill_n(to + tokens * from.ne[0], (kBlock - tokens) * from.ne[0], 0.0F);
}

void Attention::score(const Part & part, std::int64_t kv_head, std::int64_t tokens, const Scratch & own) const {
    const std::int64_t rows = part.count * group_;
    const std::int64_t width = lanes(part.count);
    if (few_rows(part.count)) {
        for (std::int64_t row = 0; row < rows; ++row) {
            for (std::int64_t i = 0; i < tokens; ++i) {
                ggml_vec_dot_f32(static_cast<int>(k_size_), own.scores + i * width + row, 0, own.block + i * k_size_, 0,
                                 query(part, kv_head, row), 0, 1);
            }
        }
        return;
    }
    std::fill_n(own.scores, kBlock * width, 0.0F);
    simd_gemm(own.scores, own.block, own.queries + kv_head * k_size_ * width, static_cast<int>(kBlock),
              static_cast<int>(k_size_), static_cast<int>(width));
}

void Attention::weigh(const Part & part, std::int64_t kv_head, std::int64_t tokens, const Scratch & own,
                      const Sums & sums) const {
    const std::int64_t width = lanes(part.count);
    for (std::int64_t row = 0; row < part.count * group_; ++row) {
        const std::int64_t head = kv_head * group_ + row / part.count;
        float * const weights = own.weights + row * kBlock;
        for (std::int64_t i = 0; i < tokens; ++i) {
            weights[i] = own.scores[i * width + row] * scale_;
        }
        if (softcap_ != 0) {
            std::transform(weights, weights + tokens, weights, [this](float s) { return softcap_ * std::tanh(s); });
        }
        if (mask_ != nullptr) {
            ggml_vec_mad_f32(static_cast<int>(tokens), weights, own.mask + row % part.count * kBlock, slope(head));
        }
        std::fill(weights + tokens, weights + kBlock, kNever);
        float most = kNever;
        ggml_vec_max_f32(static_cast<int>(kBlock), &most, weights);
        if (most == kNever) {
            std::fill_n(weights, kBlock, 0.0F);
            continue;
        }
        const std::int64_t at = kv_head * part.count * group_ + row;
        if (most > sums.most[at]) {
            const float shrink = std::exp(sums.most[at] - most);
            ggml_vec_scale_f32(static_cast<int>(v_size_), sums.values + at * v_size_, shrink);
            sums.sum[at] *= shrink;
            sums.most[at] = most;
        }
        sums.sum[at] +=
            static_cast<float>(ggml_vec_soft_max_f32(static_cast<int>(kBlock), weights, weights, sums.most[at]));
    }
}

void Attention::combine(const Part & part) const {
    for (std::int64_t at = params_.ith; at < part.count * heads_; at += params_.nth) {
        const std::int64_t head = at / part.count;
        const std::int64_t query = part.first + at % part.count;
        float * const result = reinterpret_cast<float *>(
            static_cast<char *>(dst_.data) +
            static_cast<std::size_t>((part.stream * dst_.ne[2] + query) * dst_.ne[1] + head) * dst_.nb[1]);
        const float sink = sinks_ != nullptr ? static_cast<const float *>(sinks_->data)[head] : kNever;
        float most = sink;
        for (int thread = 0; thread < params_.nth; ++thread) {
            most = std::max(most, sums_of(thread).most[at]);
        }
        float sum = sink != kNever ? std::exp(sink - most) : 0.0F;
        std::fill_n(result, v_size_, 0.0F);
        for (int thread = 0; thread < params_.nth; ++thread) {
            const Sums sums = sums_of(thread);
            if (sums.most[at] == kNever) {
                continue;
            }
            const float shrink = std::exp(sums.most[at] - most);
            sum += shrink * sums.sum[at];
            ggml_vec_mad_f32(static_cast<int>(v_size_), result, sums.values + at * v_size_, shrink);
        }
        if (sum != 0) {
            ggml_vec_scale_f32(static_cast<int>(v_size_), result, 1 / sum);
        }
    }
}

// The slope of ALiBi for this head, which says how much distance counts. Source: Press et al., "Train Short, Test
// Long", arXiv:2108.12409.
float Attention::slope(std::int64_t head) const {
    if (max_bias_ <= 0) {
        return 1;
    }
    const auto power = static_cast<std::int64_t>(1)
                       << static_cast<int>(std::floor(std::log2(static_cast<float>(heads_))));
    const float first = std::pow(2.0F, -max_bias_ / static_cast<float>(power));
    const float second = std::pow(2.0F, -max_bias_ / 2 / static_cast<float>(power));
    return head < power ? std::pow(first, static_cast<float>(head + 1))
                        : std::pow(second, static_cast<float>(2 * (head - power) + 1));
}

}  // namespace
}  // namespace minerva::engine

void __wrap_ggml_compute_forward_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst) {
    const minerva::engine::Attention attention(*params, *dst);
    if (attention.applies()) {
        attention.compute();
    } else {
        __real_ggml_compute_forward_flash_attn_ext(params, dst);
    }
}
