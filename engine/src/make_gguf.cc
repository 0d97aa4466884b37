// make_gguf: writes a tiny model with random weights and a real vocabulary, for tests and benchmarks.
// Long because the program is one file: the format, the architectures and the options.
//
// The same options give the same bytes. The weights have two properties at temperature 0. The generation does not
// repeat itself, since the layers outweigh the embedding of the last token. And it never ends by itself, since tokens
// other than plain text have embeddings of zero, so that with tied weights their logit is exactly 0.
// What it does not do: make a model that says anything sensible.
#include <getopt.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "ggml.h"
#include "gguf.h"
#include "llama.h"

namespace {

constexpr const char * kUsage = R"(usage: make_gguf OUT [options]
  --arch llama|bert|clip llama generates, bert embeds, clip lets a llama of the same embd see (llama)
  --vocab FILE           GGUF file to take the vocabulary from (ggml-vocab-*.gguf beside this program)
  --layers N             (2)
  --embd N               embedding length, a multiple of 32 (64)
  --ffn N                feed-forward length, a multiple of 32 (4 x embd)
  --ctx N                trained context (4096; bert: 512)
  --quant TYPE           f32, f16, q8_0 or q4_0 (q8_0)
  --pooling TYPE         bert: mean, cls or rank (mean)
  --chat-template NAME   llama: chatml or none (chatml)
  --type NAME            general.type, such as adapter or imatrix (none; clip: mmproj)
  --name NAME            general.name (the stem of OUT)
  --parts N              writes N files, OUT's name with "-00001-of-0000N" and so on (1)
  --seed S               (1)
)";

constexpr const char * kChatMl = R"({%- if tools %}<|im_start|>system
You may call these functions:
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
To call one, answer <tool_call>{"name": NAME, "arguments": OBJECT}</tool_call>.<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.content %}{{ message.content }}{% endif %}
{%- if message.tool_calls %}{% for call in message.tool_calls %}
<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</tool_call>
{%- endfor %}{% endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %})";

struct Options {
    std::string out;
    std::string arch = "llama";
    std::string vocab;
    std::string name;
    std::string type;
    std::string quant = "q8_0";
    std::string pooling = "mean";
    std::string chat_template = "chatml";
    std::uint32_t layers = 2;
    std::uint32_t embd = 64;
    std::uint32_t ffn = 0;
    std::uint32_t ctx = 0;
    std::uint32_t parts = 1;
    std::uint64_t seed = 1;

    bool is_bert() const { return arch == "bert"; }
    bool is_projector() const { return arch == "clip"; }
};

// The same on every platform, unlike the standard library's distributions. Source: Vigna, splitmix64.
class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    // Uniformly distributed in [-amplitude, amplitude).
    float symmetric(float amplitude) {
        state_ += 0x9e3779b97f4a7c15;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        z ^= z >> 31;
        return (static_cast<float>(z >> 40) * 0x1p-23F - 1.0F) * amplitude;
    }

  private:
    std::uint64_t state_;
};

enum class Fill { kOnes, kZeros, kRandom, kEmbedding };

struct TensorPlan {
    std::string name;
    std::int64_t columns;
    std::int64_t rows;  // 0: a vector
    ggml_type type;
    Fill fill;
    float amplitude;
    std::int64_t patch = 0;  // the columns are the three colours of patch x patch pixels
};

constexpr std::uint32_t kImage = 32;  // pixels a side
constexpr std::uint32_t kPatch = 8;

using GgufPtr = std::unique_ptr<gguf_context, decltype(&gguf_free)>;
using GgmlPtr = std::unique_ptr<ggml_context, decltype(&ggml_free)>;

std::pair<ggml_type, llama_ftype> quant_of(const std::string & name) {
    if (name == "f32") return {GGML_TYPE_F32, LLAMA_FTYPE_ALL_F32};
    if (name == "f16") return {GGML_TYPE_F16, LLAMA_FTYPE_MOSTLY_F16};
    if (name == "q8_0") return {GGML_TYPE_Q8_0, LLAMA_FTYPE_MOSTLY_Q8_0};
    if (name == "q4_0") return {GGML_TYPE_Q4_0, LLAMA_FTYPE_MOSTLY_Q4_0};
    throw std::runtime_error("--quant " + name + ": expected f32, f16, q8_0 or q4_0");
}

enum llama_pooling_type pooling_of(const std::string & name) {
    if (name == "mean") return LLAMA_POOLING_TYPE_MEAN;
    if (name == "cls") return LLAMA_POOLING_TYPE_CLS;
    if (name == "rank") return LLAMA_POOLING_TYPE_RANK;
    throw std::runtime_error("--pooling " + name + ": expected mean, cls or rank");
}

std::vector<TensorPlan> plan_tensors(const Options & o, std::int64_t n_vocab, ggml_type type) {
    const std::int64_t embd = o.embd;
    const std::int64_t ffn = o.ffn;
    std::vector<TensorPlan> plan;
    const auto matrix = [&](const std::string & name, std::int64_t columns, std::int64_t rows) {
        // Keeps values at a size of about 1, whatever the width.
        plan.push_back({name, columns, rows, type, Fill::kRandom, std::sqrt(3.0F / static_cast<float>(columns))});
    };
    const auto vector = [&](const std::string & name, std::int64_t columns, Fill fill) {
        plan.push_back({name, columns, 0, GGML_TYPE_F32, fill, 0.1F});
    };
    const auto norm = [&](const std::string & name) {
        vector(name + ".weight", embd, Fill::kOnes);
        if (o.is_bert()) vector(name + ".bias", embd, Fill::kZeros);
    };
    const auto linear = [&](const std::string & name, std::int64_t columns, std::int64_t rows) {
        matrix(name + ".weight", columns, rows);
        if (o.is_bert()) vector(name + ".bias", rows, Fill::kRandom);
    };

    plan.push_back({"token_embd.weight", embd, n_vocab, type, Fill::kEmbedding, o.is_bert() ? 1.0F : 0.1F});
    if (o.is_bert()) {
        plan.push_back({"token_types.weight", embd, 2, GGML_TYPE_F32, Fill::kRandom, 0.1F});
        plan.push_back({"position_embd.weight", embd, o.ctx, GGML_TYPE_F32, Fill::kRandom, 0.1F});
        norm("token_embd_norm");
        if (pooling_of(o.pooling) == LLAMA_POOLING_TYPE_RANK) {
            linear("cls", embd, embd);
            plan.push_back({"cls.output.weight", embd, 1, GGML_TYPE_F32, Fill::kRandom, 0.5F});
            vector("cls.output.bias", 1, Fill::kZeros);
        }
    } else {
        norm("output_norm");
    }
    for (std::uint32_t i = 0; i < o.layers; ++i) {
        const std::string layer = "blk." + std::to_string(i) + ".";
        if (!o.is_bert()) norm(layer + "attn_norm");
        for (const char * part : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
            linear(layer + part, embd, embd);
        }
        norm(layer + (o.is_bert() ? "attn_output_norm" : "ffn_norm"));
        if (!o.is_bert()) matrix(layer + "ffn_gate.weight", embd, ffn);
        linear(layer + "ffn_up", embd, ffn);
        linear(layer + "ffn_down", ffn, embd);
        if (o.is_bert()) norm(layer + "layer_output_norm");
    }
    return plan;
}

// A projector of LLaVA's kind: a vision transformer, and two layers that lead to the language model.
std::vector<TensorPlan> plan_projector(const Options & o, ggml_type type) {
    const std::int64_t embd = o.embd;
    const std::int64_t pixels = std::int64_t{3} * kPatch * kPatch;
    const std::int64_t positions = std::int64_t{kImage / kPatch} * (kImage / kPatch);
    std::vector<TensorPlan> plan;
    const auto linear = [&](const std::string & name, std::int64_t columns, std::int64_t rows) {
        plan.push_back(
            {name + ".weight", columns, rows, type, Fill::kRandom, std::sqrt(3.0F / static_cast<float>(columns))});
        plan.push_back({name + ".bias", rows, 0, GGML_TYPE_F32, Fill::kRandom, 0.1F});
    };
    const auto norm = [&](const std::string & name) {
        plan.push_back({name + ".weight", embd, 0, GGML_TYPE_F32, Fill::kOnes, 0});
        plan.push_back({name + ".bias", embd, 0, GGML_TYPE_F32, Fill::kZeros, 0});
    };
    plan.push_back({"v.patch_embd.weight", pixels, embd, GGML_TYPE_F32, Fill::kRandom, 0.1F, kPatch});
    plan.push_back({"v.position_embd.weight", embd, positions, GGML_TYPE_F32, Fill::kRandom, 0.1F});
    for (std::uint32_t i = 0; i < o.layers; ++i) {
        const std::string layer = "v.blk." + std::to_string(i) + ".";
        norm(layer + "ln1");
        for (const char * part : {"attn_q", "attn_k", "attn_v", "attn_out"}) linear(layer + part, embd, embd);
        norm(layer + "ln2");
        linear(layer + "ffn_up", embd, o.ffn);
        linear(layer + "ffn_down", o.ffn, embd);
    }
    linear("mm.0", embd, embd);
    linear("mm.2", embd, embd);
    return plan;
}

GgufPtr make_projector_metadata(const Options & o, llama_ftype ftype) {
    GgufPtr meta(gguf_init_empty(), gguf_free);
    const auto set = [&](const std::string & key, std::uint32_t value) {
        gguf_set_val_u32(meta.get(), ("clip.vision." + key).c_str(), value);
    };
    gguf_set_val_str(meta.get(), "general.architecture", "clip");
    gguf_set_val_str(meta.get(), "general.type", "mmproj");
    gguf_set_val_str(meta.get(), "general.name", o.name.c_str());
    gguf_set_val_u32(meta.get(), "general.file_type", static_cast<std::uint32_t>(ftype));
    gguf_set_val_bool(meta.get(), "clip.has_vision_encoder", true);
    gguf_set_val_bool(meta.get(), "clip.use_gelu", true);
    gguf_set_val_str(meta.get(), "clip.projector_type", "mlp");
    set("embedding_length", o.embd);
    set("feed_forward_length", o.ffn);
    set("block_count", o.layers);
    set("projection_dim", o.embd);
    set("attention.head_count", o.embd / 32);
    set("image_size", kImage);
    set("patch_size", kPatch);
    gguf_set_val_f32(meta.get(), "clip.vision.attention.layer_norm_epsilon", 1e-5F);
    const float half[] = {0.5F, 0.5F, 0.5F};
    gguf_set_arr_data(meta.get(), "clip.vision.image_mean", GGUF_TYPE_FLOAT32, half, 3);
    gguf_set_arr_data(meta.get(), "clip.vision.image_std", GGUF_TYPE_FLOAT32, half, 3);
    return meta;
}

// Copies the keys of the tokenizer and sets those of the architecture.
GgufPtr make_metadata(const Options & o, const gguf_context * vocab, llama_ftype ftype) {
    // gguf has no call that copies one key. So this copies all, and then drops those that are not the tokenizer's.
    GgufPtr meta(gguf_init_empty(), gguf_free);
    gguf_set_kv(meta.get(), vocab);
    std::vector<std::string> foreign;
    for (std::int64_t i = 0; i < gguf_get_n_kv(meta.get()); ++i) {
        const std::string key = gguf_get_key(meta.get(), i);
        if (key.rfind("tokenizer.", 0) != 0) foreign.push_back(key);
    }
    for (const std::string & key : foreign) gguf_remove_key(meta.get(), key.c_str());
    gguf_remove_key(meta.get(), "tokenizer.chat_template");

    gguf_set_val_str(meta.get(), "general.architecture", o.arch.c_str());
    gguf_set_val_str(meta.get(), "general.name", o.name.c_str());
    if (!o.type.empty()) gguf_set_val_str(meta.get(), "general.type", o.type.c_str());
    gguf_set_val_u32(meta.get(), "general.file_type", static_cast<std::uint32_t>(ftype));
    gguf_set_val_u32(meta.get(), "general.quantization_version", GGML_QNT_VERSION);

    const auto set = [&](const char * key, std::uint32_t value) {
        gguf_set_val_u32(meta.get(), (o.arch + "." + key).c_str(), value);
    };
    const std::uint32_t heads = std::max<std::uint32_t>(1, o.embd / (o.embd % 64 == 0 && o.embd > 64 ? 64 : 32));
    set("context_length", o.ctx);
    set("embedding_length", o.embd);
    set("block_count", o.layers);
    set("feed_forward_length", o.ffn);
    set("attention.head_count", heads);
    set("attention.head_count_kv", heads);
    if (o.is_bert()) {
        gguf_set_val_f32(meta.get(), "bert.attention.layer_norm_epsilon", 1e-12F);
        gguf_set_val_bool(meta.get(), "bert.attention.causal", false);
        gguf_set_val_u32(meta.get(), "tokenizer.ggml.token_type_count", 2);
        set("pooling_type", static_cast<std::uint32_t>(pooling_of(o.pooling)));
    } else {
        gguf_set_val_f32(meta.get(), "llama.attention.layer_norm_rms_epsilon", 1e-5F);
        set("rope.dimension_count", o.embd / heads);
        // Otherwise the tokenizer puts a space before the first character that a grammar expects, and the grammar
        // refuses it.
        gguf_set_val_bool(meta.get(), "tokenizer.ggml.add_space_prefix", false);
        if (o.chat_template == "chatml") gguf_set_val_str(meta.get(), "tokenizer.chat_template", kChatMl);
    }
    return meta;
}

// Which tokens are plain text. Their embeddings are random; all others are zero.
std::vector<bool> plain_tokens(const gguf_context * vocab, std::size_t n_vocab) {
    std::vector<bool> plain(n_vocab, true);
    const std::int64_t key = gguf_find_key(vocab, "tokenizer.ggml.token_type");
    if (key < 0 || gguf_get_arr_n(vocab, key) != n_vocab) return plain;
    const auto * types = static_cast<const std::int32_t *>(gguf_get_arr_data(vocab, key));
    for (std::size_t i = 0; i < n_vocab; ++i) plain[i] = types[i] == LLAMA_TOKEN_TYPE_NORMAL;
    return plain;
}

class OutputFile {
  public:
    explicit OutputFile(const std::string & path) : path_(path), temporary_(path + ".part") {}
    ~OutputFile() {
        if (file_ != nullptr) std::fclose(file_);
        std::remove(temporary_.c_str());  // no effect once the file has its name
    }
    OutputFile(const OutputFile &) = delete;
    OutputFile & operator=(const OutputFile &) = delete;

    void write_metadata(const gguf_context * meta) {
        file_ = std::fopen(temporary_.c_str(), "wb");
        if (file_ == nullptr || !gguf_write_to_file_ptr(meta, file_, /*only_meta=*/true)) fail();
    }
    void append(const void * data, std::size_t bytes) {
        if (std::fwrite(data, 1, bytes, file_) != bytes) fail();
    }
    void publish() {
        std::FILE * const file = file_;
        file_ = nullptr;
        if (std::fclose(file) != 0 || std::rename(temporary_.c_str(), path_.c_str()) != 0) fail();
    }

  private:
    [[noreturn]] void fail() const { throw std::runtime_error("cannot write " + path_); }

    std::string path_;
    std::string temporary_;
    std::FILE * file_ = nullptr;
};

void write_tensor(OutputFile & out, const TensorPlan & tensor, std::size_t index, const Options & o,
                  const std::vector<bool> & plain, std::size_t alignment) {
    // A generator for each tensor, so that its bytes do not depend on the size of the tensors before it.
    Random random(o.seed * 1000003 + index);
    const std::int64_t rows = std::max<std::int64_t>(1, tensor.rows);
    const std::int64_t rows_at_once = std::max<std::int64_t>(1, (std::int64_t{1} << 20) / tensor.columns);
    std::vector<float> values;
    std::vector<char> packed;
    std::size_t written = 0;
    for (std::int64_t row = 0; row < rows; row += rows_at_once) {
        const std::int64_t count = std::min(rows_at_once, rows - row);
        values.assign(static_cast<std::size_t>(count * tensor.columns), tensor.fill == Fill::kOnes ? 1.0F : 0.0F);
        if (tensor.fill == Fill::kRandom || tensor.fill == Fill::kEmbedding) {
            for (float & value : values) value = random.symmetric(tensor.amplitude);
        }
        for (std::int64_t i = 0; tensor.fill == Fill::kEmbedding && i < count; ++i) {
            if (!plain[static_cast<std::size_t>(row + i)]) {
                std::fill_n(values.begin() + i * tensor.columns, tensor.columns, 0.0F);
            }
        }
        packed.resize(ggml_row_size(tensor.type, tensor.columns) * static_cast<std::size_t>(count));
        ggml_quantize_chunk(tensor.type, values.data(), packed.data(), 0, count, tensor.columns, nullptr);
        out.append(packed.data(), packed.size());
        written += packed.size();
    }
    const std::vector<char> padding(GGML_PAD(written, alignment) - written, 0);
    out.append(padding.data(), padding.size());
}

// "m.gguf" -> "m-00001-of-00003.gguf": the names that llama.cpp looks for.
std::string part_path(const Options & o, std::uint32_t part) {
    if (o.parts == 1) return o.out;
    char suffix[32];
    std::snprintf(suffix, sizeof(suffix), "-%05u-of-%05u.gguf", part + 1, o.parts);
    std::filesystem::path path(o.out);
    return path.replace_extension().string() + suffix;
}

void set_part(gguf_context * meta, const Options & o, std::uint32_t part, std::size_t tensors) {
    if (o.parts == 1) return;
    gguf_set_val_u16(meta, "split.no", static_cast<std::uint16_t>(part));
    gguf_set_val_u16(meta, "split.count", static_cast<std::uint16_t>(o.parts));
    gguf_set_val_i32(meta, "split.tensors.count", static_cast<std::int32_t>(tensors));
}

void add_tensor(gguf_context * meta, ggml_context * shapes, const TensorPlan & tensor) {
    const auto matrix = [&] {
        return tensor.patch == 0 ? ggml_new_tensor_2d(shapes, tensor.type, tensor.columns, tensor.rows)
                                 : ggml_new_tensor_4d(shapes, tensor.type, tensor.patch, tensor.patch, 3, tensor.rows);
    };
    ggml_tensor * const shape = tensor.rows == 0 ? ggml_new_tensor_1d(shapes, tensor.type, tensor.columns) : matrix();
    ggml_set_name(shape, tensor.name.c_str());
    gguf_add_tensor(meta, shape);
}

void make(const Options & o) {
    const auto [type, ftype] = quant_of(o.quant);
    const GgufPtr vocab(gguf_init_from_file(o.vocab.c_str(), {/*no_alloc=*/true, /*ctx=*/nullptr}), gguf_free);
    const std::int64_t tokens = vocab ? gguf_find_key(vocab.get(), "tokenizer.ggml.tokens") : -1;
    if (tokens < 0) throw std::runtime_error(o.vocab + " holds no vocabulary");
    const std::size_t n_vocab = gguf_get_arr_n(vocab.get(), tokens);

    const std::vector<TensorPlan> plan =
        o.is_projector() ? plan_projector(o, type) : plan_tensors(o, static_cast<std::int64_t>(n_vocab), type);
    const auto make_whole_metadata = [&, file_type = ftype] {
        return o.is_projector() ? make_projector_metadata(o, file_type) : make_metadata(o, vocab.get(), file_type);
    };
    const GgmlPtr shapes(ggml_init({ggml_tensor_overhead() * plan.size(), nullptr, /*no_alloc=*/true}), ggml_free);
    const std::vector<bool> plain = plain_tokens(vocab.get(), n_vocab);
    for (std::uint32_t part = 0; part < o.parts; ++part) {
        // The first part has the metadata; the other parts have only tensors.
        const GgufPtr meta = part == 0 ? make_whole_metadata() : GgufPtr(gguf_init_empty(), gguf_free);
        set_part(meta.get(), o, part, plan.size());
        const std::size_t first = plan.size() * part / o.parts;
        const std::size_t end = plan.size() * (part + 1) / o.parts;
        for (std::size_t i = first; i < end; ++i) add_tensor(meta.get(), shapes.get(), plan[i]);
        OutputFile out(part_path(o, part));
        out.write_metadata(meta.get());
        for (std::size_t i = first; i < end; ++i)
            write_tensor(out, plan[i], i, o, plain, gguf_get_alignment(meta.get()));
        out.publish();
    }
}

std::uint64_t number(const char * option, const char * text, std::uint64_t minimum, std::uint64_t maximum) {
    char * end = nullptr;
    const std::uint64_t value = std::strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value < minimum || value > maximum) {
        throw std::runtime_error(std::string("--") + option + " " + text + ": expected a number from " +
                                 std::to_string(minimum) + " to " + std::to_string(maximum));
    }
    return value;
}

std::uint32_t number32(const char * option, const char * text, std::uint64_t maximum) {
    return static_cast<std::uint32_t>(number(option, text, 1, maximum));
}

Options parse(int argc, char ** argv) {
    static const option kOptions[] = {{"arch", required_argument, nullptr, 'a'},
                                      {"vocab", required_argument, nullptr, 'v'},
                                      {"layers", required_argument, nullptr, 'l'},
                                      {"embd", required_argument, nullptr, 'e'},
                                      {"ffn", required_argument, nullptr, 'f'},
                                      {"ctx", required_argument, nullptr, 'c'},
                                      {"quant", required_argument, nullptr, 'q'},
                                      {"chat-template", required_argument, nullptr, 't'},
                                      {"name", required_argument, nullptr, 'n'},
                                      {"seed", required_argument, nullptr, 's'},
                                      {"pooling", required_argument, nullptr, 'p'},
                                      {"parts", required_argument, nullptr, 'r'},
                                      {"type", required_argument, nullptr, 'y'},
                                      {"help", no_argument, nullptr, 'h'},
                                      {nullptr, 0, nullptr, 0}};
    Options o;
    for (int c = 0; (c = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
        switch (c) {
            case 'a':
                o.arch = optarg;
                break;
            case 'v':
                o.vocab = optarg;
                break;
            case 'l':
                o.layers = number32("layers", optarg, 1024);
                break;
            case 'e':
                o.embd = number32("embd", optarg, 65536);
                break;
            case 'f':
                o.ffn = number32("ffn", optarg, 1 << 20);
                break;
            case 'c':
                o.ctx = number32("ctx", optarg, 1 << 24);
                break;
            case 'q':
                o.quant = optarg;
                break;
            case 'p':
                o.pooling = optarg;
                break;
            case 't':
                o.chat_template = optarg;
                break;
            case 'n':
                o.name = optarg;
                break;
            case 'r':
                o.parts = number32("parts", optarg, 999);
                break;
            case 'y':
                o.type = optarg;
                break;
            case 's':
                o.seed = number("seed", optarg, 0, UINT64_MAX);
                break;
            case 'h':
                std::fputs(kUsage, stdout);
                std::exit(0);
            default:
                throw std::runtime_error("see make_gguf --help");
        }
    }
    if (optind + 1 != argc) throw std::runtime_error("expected one output file; see make_gguf --help");
    o.out = argv[optind];
    if (o.arch != "llama" && o.arch != "bert" && o.arch != "clip") {
        throw std::runtime_error("--arch " + o.arch + ": expected llama, bert or clip");
    }
    if (o.chat_template != "chatml" && o.chat_template != "none") {
        throw std::runtime_error("--chat-template " + o.chat_template + ": expected chatml or none");
    }
    if (o.ffn == 0) o.ffn = 4 * o.embd;
    if (o.ctx == 0) o.ctx = o.is_bert() ? 512 : 4096;
    if (o.embd % 32 != 0 || o.ffn % 32 != 0) throw std::runtime_error("--embd and --ffn must be multiples of 32");
    if (o.name.empty()) o.name = std::filesystem::path(o.out).stem();
    if (o.vocab.empty()) {
        const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe").parent_path();
        o.vocab = here / (o.is_bert() ? "ggml-vocab-bert-bge.gguf" : "ggml-vocab-llama-spm.gguf");
    }
    pooling_of(o.pooling);
    return o;
}

}  // namespace

int main(int argc, char ** argv) {
    try {
        make(parse(argc, argv));
        return 0;
    } catch (const std::exception & e) {
        std::fprintf(stderr, "make_gguf: %s\n", e.what());
        return 1;
    }
}
