// attention_check: compares the engine's attention with one that is written down plainly, in 64 bits.
//
// Runs ggml's operation as a model's graph does, over the shapes and options that models use: groups of heads, KV
// caches of all types, masks, streams, sinks, soft caps, ALiBi. Prints what differs, and exits with 1 if anything does.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "ggml-cpu.h"
#include "ggml.h"

namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
// For results of about 1. ggml itself is 20 times as far off with an f16 cache.
constexpr double kTolerance = 2e-4;

struct Case {
    ggml_type type;
    int k_size, v_size;
    int heads, kv_heads;
    int queries, tokens, streams;
    int threads;
    bool masked, sinks;
    float softcap, max_bias;

    std::string name() const {
        return std::string(ggml_type_name(type)) + ", heads of " + std::to_string(k_size) + " and " +
               std::to_string(v_size) + ", " + std::to_string(heads) + " over " + std::to_string(kv_heads) + ", " +
               std::to_string(queries) + " queries, " + std::to_string(tokens) + " tokens, " + std::to_string(streams) +
               " streams, " + std::to_string(threads) + " threads" + (masked ? ", masked" : "") +
               (sinks ? ", sinks" : "") + (softcap != 0 ? ", capped" : "") + (max_bias != 0 ? ", ALiBi" : "");
    }
};

using Values = std::vector<float>;

Values random_values(std::mt19937 & random, std::size_t count) {
    std::normal_distribution<float> normal;
    Values values(count);
    for (float & value : values) {
        value = normal(random);
    }
    return values;
}

// A tensor as in a KV cache: all heads of a token lie together. Effect: `values` are what the tensor really holds.
ggml_tensor * cache_tensor(ggml_context * context, ggml_type type, int size, int heads, int tokens, int streams,
                           Values & values) {
    ggml_tensor * const flat = ggml_new_tensor_2d(context, type, static_cast<std::int64_t>(size) * heads,
                                                  static_cast<std::int64_t>(tokens) * streams);
    ggml_quantize_chunk(type, values.data(), flat->data, 0, flat->ne[1], flat->ne[0], nullptr);
    if (type != GGML_TYPE_F32) {
        ggml_get_type_traits(type)->to_float(flat->data, values.data(), static_cast<std::int64_t>(values.size()));
    }
    return ggml_permute(context, ggml_reshape_4d(context, flat, size, heads, tokens, streams), 0, 2, 1, 3);
}

// A query sees what is before it, except for a hole of more than a block. One query sees nothing at all.
Values mask_values(const Case & c, std::mt19937 & random) {
    Values mask(static_cast<std::size_t>(c.tokens) * c.queries * c.streams, kNever);
    for (int stream = 0; stream < c.streams; ++stream) {
        const int hole = static_cast<int>(random() % static_cast<unsigned>(c.tokens));
        for (int query = 0; query < c.queries; ++query) {
            if (c.queries > 2 && query == 1) {
                continue;
            }
            for (int token = 0; token <= c.tokens - c.queries + query; ++token) {
                if (token < hole || token > hole + 70) {
                    mask[(static_cast<std::size_t>(stream) * c.queries + query) * c.tokens + token] =
                        c.max_bias != 0 ? static_cast<float>(token - c.tokens) / 64 : 0.0F;
                }
            }
        }
    }
    return mask;
}

struct Inputs {
    Values q, k, v, mask, sinks;
};

double slope(const Case & c, int head) {
    if (c.max_bias == 0) {
        return 1;
    }
    const int power = 1 << static_cast<int>(std::floor(std::log2(c.heads)));
    return head < power ? std::pow(2.0, -c.max_bias / power * (head + 1))
                        : std::pow(2.0, -c.max_bias / 2 / power * (2 * (head - power) + 1));
}

// The plain computation of one head of one query.
std::vector<double> plain(const Case & c, const Inputs & in, int stream, int query, int head) {
    const std::size_t kv_head = head / (c.heads / c.kv_heads);
    const float * const q = &in.q[((static_cast<std::size_t>(stream) * c.queries + query) * c.heads + head) * c.k_size];
    std::vector<double> result(c.v_size);
    double sum = c.sinks ? std::exp(static_cast<double>(in.sinks[head])) : 0;
    for (int token = 0; token < c.tokens; ++token) {
        const std::size_t cell = (static_cast<std::size_t>(stream) * c.tokens + token) * c.kv_heads + kv_head;
        double score = 0;
        for (int i = 0; i < c.k_size; ++i) {
            score += static_cast<double>(q[i]) * in.k[cell * c.k_size + i];
        }
        score /= std::sqrt(c.k_size);
        if (c.softcap != 0) {
            score = c.softcap * std::tanh(score / c.softcap);
        }
        if (c.masked) {
            const float mask = in.mask[(static_cast<std::size_t>(stream) * c.queries + query) * c.tokens + token];
            score = mask == kNever ? -std::numeric_limits<double>::infinity() : score + slope(c, head) * mask;
        }
        const double weight = std::exp(score);
        sum += weight;
        for (int i = 0; i < c.v_size; ++i) {
            result[i] += weight * in.v[cell * c.v_size + i];
        }
    }
    for (double & value : result) {
        value = sum > 0 ? value / sum : 0;
    }
    return result;
}

// The largest difference of all values.
double difference(const Case & c, std::mt19937 & random) {
    const auto streams = static_cast<std::size_t>(c.streams);
    Inputs in{random_values(random, streams * c.queries * c.heads * c.k_size),
              random_values(random, streams * c.tokens * c.kv_heads * c.k_size),
              random_values(random, streams * c.tokens * c.kv_heads * c.v_size), mask_values(c, random),
              random_values(random, c.heads)};
    ggml_context * const context = ggml_init({std::size_t{512} << 20, nullptr, false});
    ggml_tensor * const q = ggml_new_tensor_4d(context, GGML_TYPE_F32, c.k_size, c.heads, c.queries, c.streams);
    std::copy(in.q.begin(), in.q.end(), static_cast<float *>(q->data));
    ggml_tensor * const k = cache_tensor(context, c.type, c.k_size, c.kv_heads, c.tokens, c.streams, in.k);
    ggml_tensor * const v = cache_tensor(context, c.type, c.v_size, c.kv_heads, c.tokens, c.streams, in.v);
    ggml_tensor * mask = nullptr;
    if (c.masked) {
        mask = ggml_new_tensor_4d(context, GGML_TYPE_F16, c.tokens, c.queries, 1, c.streams);
        ggml_fp32_to_fp16_row(in.mask.data(), static_cast<ggml_fp16_t *>(mask->data), ggml_nelements(mask));
        ggml_fp16_to_fp32_row(static_cast<ggml_fp16_t *>(mask->data), in.mask.data(), ggml_nelements(mask));
    }
    ggml_tensor * const result =
        ggml_flash_attn_ext(context, ggml_permute(context, q, 0, 2, 1, 3), k, v, mask,
                            1 / std::sqrt(static_cast<float>(c.k_size)), c.max_bias, c.softcap);
    if (c.sinks) {
        ggml_tensor * const sinks = ggml_new_tensor_1d(context, GGML_TYPE_F32, c.heads);
        std::copy(in.sinks.begin(), in.sinks.end(), static_cast<float *>(sinks->data));
        ggml_flash_attn_ext_add_sinks(result, sinks);
    }
    ggml_cgraph * const graph = ggml_new_graph(context);
    ggml_build_forward_expand(graph, result);
    ggml_graph_compute_with_ctx(context, graph, c.threads);

    double worst = 0;
    const float * got = static_cast<const float *>(result->data);
    for (int stream = 0; stream < c.streams; ++stream) {
        for (int query = 0; query < c.queries; ++query) {
            for (int head = 0; head < c.heads; ++head) {
                for (const double wanted : plain(c, in, stream, query, head)) {
                    const double off = std::abs(wanted - *got++);
                    worst = off <= worst ? worst : off;  // "not a number" counts as the worst
                }
            }
        }
    }
    ggml_free(context);
    return worst;
}

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0}) {
        all.push_back({type, 64, 64, 9, 3, 1, 1024, 1, 2, true, false, 0, 0});
        all.push_back({type, 64, 64, 4, 4, 9, 4000, 1, 2, true, false, 0, 0});
    }
    const ggml_type f16 = GGML_TYPE_F16;
    for (const int queries : {1, 2, 5, 16, 17, 63, 64}) {
        for (const int threads : {1, 2, 3}) {
            all.push_back({f16, 64, 64, 8, 2, queries, 300, 1, threads, true, false, 0, 0});
        }
    }
    for (const int tokens : {1, 31, 32, 33, 95}) {
        all.push_back({f16, 128, 128, 4, 1, 1, tokens, 1, 2, false, false, 0, 0});
    }
    all.push_back({f16, 576, 512, 16, 1, 3, 500, 1, 2, true, false, 0, 0});
    all.push_back({f16, 192, 128, 8, 8, 7, 500, 1, 2, true, false, 0, 0});
    all.push_back({f16, 40, 40, 4, 2, 3, 100, 1, 2, true, false, 0, 0});
    // In several parts, the last of which has another size.
    all.push_back({f16, 128, 128, 64, 64, 40, 260, 1, 2, true, false, 0, 0});
    all.push_back({f16, 128, 128, 64, 64, 18, 260, 1, 2, true, false, 0, 0});
    all.push_back({f16, 128, 128, 64, 8, 40, 260, 1, 2, true, false, 0, 0});
    all.push_back({f16, 64, 64, 8, 2, 1, 256, 4, 2, true, false, 0, 0});
    all.push_back({f16, 64, 64, 8, 2, 6, 256, 3, 2, true, true, 0, 0});
    all.push_back({f16, 256, 256, 4, 1, 5, 700, 1, 2, true, false, 50, 0});
    all.push_back({f16, 64, 64, 12, 12, 3, 300, 1, 2, true, false, 0, 8});
    all.push_back({f16, 64, 64, 8, 2, 1, 600, 1, 2, true, true, 0, 0});
    return all;
}

}  // namespace

int main() {
    std::mt19937 random(1);
    int failed = 0;
    const std::vector<Case> all = cases();
    for (const Case & c : all) {
        const double off = difference(c, random);
        if (!(off <= kTolerance)) {
            ++failed;
            std::printf("off by %.2g: %s\n", off, c.name().c_str());
        }
    }
    std::printf("%zu of %zu as written down\n", all.size() - failed, all.size());
    return failed == 0 ? 0 : 1;
}
