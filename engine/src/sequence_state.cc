#include "sequence_state.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "ggml-backend.h"
#include "src/llama-hparams.h"
#include "src/llama-io.h"
#include "src/llama-kv-cache-dsa-iswa.h"
#include "src/llama-kv-cache-dsa.h"
#include "src/llama-kv-cache-iswa.h"
#include "src/llama-kv-cache-msa.h"
#include "src/llama-kv-cache.h"
#include "src/llama-memory-hybrid-idx.h"
#include "src/llama-memory-hybrid-iswa.h"
#include "src/llama-memory-hybrid.h"
#include "src/llama-memory-recurrent.h"

namespace minerva::engine {
namespace {

// One cell of a KV cache.
struct Cell {
    std::uint32_t index;
    llama_pos position;
    llama_kv_cell_ext more;
};
static_assert(sizeof(Cell) == 20, "without holes, since its bytes are written");

// In the order of positions.
std::vector<Cell> cells_of(const llama_kv_cache & cache, llama_seq_id sequence) {
    const llama_kv_cells & cells = cache.v_cells[cache.seq_to_stream[sequence]];
    std::vector<Cell> result;
    for (std::uint32_t i = 0; i < cells.size(); ++i) {
        if (!cells.is_empty(i) && cells.seq_has(i, sequence)) {
            result.push_back({i, cells.pos_get(i), cells.ext_get(i)});
        }
    }
    std::sort(result.begin(), result.end(), [](const Cell & a, const Cell & b) { return a.position < b.position; });
    return result;
}

// Gives the sequence these cells in place of those that it had: the same ones if all of them are free, and otherwise
// others, in the same order. False: there are not enough; it has none then.
bool place(llama_kv_cache & cache, llama_seq_id sequence, std::vector<Cell> & wanted) {
    cache.seq_rm(sequence, -1, -1);
    llama_kv_cells & cells = cache.v_cells[cache.seq_to_stream[sequence]];
    std::vector<char> taken(cells.size(), 0);
    const bool free = std::all_of(wanted.begin(), wanted.end(), [&](const Cell & cell) {
        return cell.index < cells.size() && cells.is_empty(cell.index) && std::exchange(taken[cell.index], 1) == 0;
    });
    std::uint32_t next = 0;
    for (Cell & cell : wanted) {
        while (!free && next < cells.size() && !cells.is_empty(next)) {
            ++next;
        }
        cell.index = free ? cell.index : next;
        if (cell.index >= cells.size() || cell.position < 0) {
            cache.seq_rm(sequence, -1, -1);
            return false;
        }
        cells.pos_set(cell.index, cell.position);
        cells.ext_set(cell.index, cell.more);
        cells.seq_add(cell.index, sequence);
    }
    return true;
}

template <typename T>
void append(std::string & to, const T & value) {
    to.append(reinterpret_cast<const char *>(&value), sizeof value);
}

template <typename T>
bool take(std::string_view & from, T & value) {
    if (from.size() < sizeof value) {
        return false;
    }
    std::memcpy(&value, from.data(), sizeof value);
    from.remove_prefix(sizeof value);
    return true;
}

// Takes a stream of llama.cpp's to the memory of this process.
class BytesWriter final : public llama_io_write_i {
  public:
    void write(const void * data, std::size_t size) override { bytes.append(static_cast<const char *>(data), size); }
    void write_tensor(ggml_tensor * tensor, std::size_t offset, std::size_t size) override {
        const std::size_t at = bytes.size();
        bytes.resize(at + size);
        ggml_backend_tensor_get(tensor, bytes.data() + at, offset, size);
    }
    std::size_t n_bytes() override { return bytes.size(); }

    std::string bytes;
};

class BytesReader final : public llama_io_read_i {
  public:
    explicit BytesReader(std::string_view bytes) : rest_(bytes), size_(bytes.size()) {}
    void read(void * to, std::size_t size) override { std::memcpy(to, take(size), size); }
    void read_tensor(ggml_tensor * tensor, std::size_t offset, std::size_t size) override {
        ggml_backend_tensor_set(tensor, take(size), offset, size);
    }
    std::size_t n_bytes() override { return size_ - rest_.size(); }
    bool at_end() const { return rest_.empty(); }

  private:
    const char * take(std::size_t size) {
        if (size > rest_.size()) {
            throw std::runtime_error("the state ends early");
        }
        const char * const result = rest_.data();
        rest_.remove_prefix(size);
        return result;
    }

    std::string_view rest_;
    std::size_t size_;
};

}  // namespace

void Rows::add_lines(const llama_kv_cache & cache, std::uint32_t stream) {
    const auto add = [this](ggml_tensor * tensor, std::uint64_t width, std::uint64_t lines, std::uint64_t distance) {
        strips_.push_back({std::string(ggml_type_name(tensor->type)) + (lines > 1 ? " transposed" : ""), width, lines});
        for (std::uint64_t line = 0; line < lines; ++line) {
            lines_.push_back({tensor, line * distance, width});
        }
    };
    for (const llama_kv_cache::kv_layer & layer : cache.layers) {
        ggml_tensor * const k = layer.k_stream[stream];
        add(k, ggml_row_size(k->type, cache.hparams.n_embd_k_gqa(layer.il)), 1, 0);
        ggml_tensor * const v = layer.v_stream[stream];
        const std::uint32_t values = v == nullptr ? 0 : cache.hparams.n_embd_v_gqa(layer.il);
        if (values > 0 && cache.v_trans) {
            const std::uint64_t width = ggml_type_size(v->type);
            add(v, width, values, width * cache.v_cells[stream].size());
        } else if (values > 0) {
            add(v, ggml_row_size(v->type, values), 1, 0);
        }
    }
}

void Rows::add_row(std::uint32_t row, std::uint32_t cell) {
    if (!runs_.empty() && runs_.back().cell + runs_.back().count == cell) {
        ++runs_.back().count;
    } else {
        runs_.push_back({row, cell, 1});
    }
}

std::optional<Rows> Rows::find(const std::vector<llama_kv_cache *> & caches, llama_seq_id sequence,
                               std::uint32_t count) {
    Rows rows;
    std::vector<std::vector<Cell>> cells;
    for (const llama_kv_cache * const cache : caches) {
        cells.push_back(cells_of(*cache, sequence));
        rows.add_lines(*cache, cache->seq_to_stream[sequence]);
        if (cells.back().size() != count) {
            return std::nullopt;
        }
    }
    rows.cell_bytes_ = caches.size() * sizeof(Cell);
    for (std::uint32_t row = 0; row < count; ++row) {
        for (const std::vector<Cell> & of_cache : cells) {
            const Cell & cell = of_cache[row];
            if (cell.position != static_cast<llama_pos>(row) || cell.index != cells.front()[row].index) {
                return std::nullopt;
            }
            append(rows.cells_, cell);
        }
        rows.add_row(row, cells.front()[row].index);
    }
    return rows;
}

std::optional<Rows> Rows::make(const std::vector<llama_kv_cache *> & caches, llama_seq_id sequence,
                               std::string_view cells) {
    Rows rows;
    rows.cell_bytes_ = caches.size() * sizeof(Cell);
    const std::size_t count = cells.size() / rows.cell_bytes_;
    std::vector<std::vector<Cell>> wanted(caches.size(), std::vector<Cell>(count));
    bool good = cells.size() % rows.cell_bytes_ == 0;
    for (std::size_t row = 0; row < count; ++row) {
        for (std::vector<Cell> & of_cache : wanted) {
            good = take(cells, of_cache[row]) && good;
            good = good && of_cache[row].position == static_cast<llama_pos>(row) &&
                   of_cache[row].index == wanted.front()[row].index;
        }
    }
    for (std::size_t i = 0; i < caches.size(); ++i) {
        good = good && place(*caches[i], sequence, wanted[i]);
        rows.add_lines(*caches[i], caches[i]->seq_to_stream[sequence]);
    }
    for (std::size_t row = 0; row < count; ++row) {
        rows.add_row(static_cast<std::uint32_t>(row), wanted.front()[row].index);
        for (const std::vector<Cell> & of_cache : wanted) {
            good = good && of_cache[row].index == wanted.front()[row].index;
            append(rows.cells_, of_cache[row]);
        }
    }
    if (!good) {
        for (llama_kv_cache * const cache : caches) {
            cache->seq_rm(sequence, -1, -1);
        }
        return std::nullopt;
    }
    return rows;
}

std::string Rows::cells(std::uint32_t from, std::uint32_t to) const {
    return cells_.substr(from * cell_bytes_, (to - from) * cell_bytes_);
}

// Calls `copy(tensor, offset in the tensor, offset in the data, bytes)`.
template <typename Copy>
void Rows::for_each_piece(std::uint32_t from, std::uint32_t to, std::uint32_t end, std::uint64_t at, std::size_t bytes,
                          const Copy & copy) const {
    const std::uint64_t stop = at + bytes;
    std::uint64_t begin = 0;  // of the line
    for (const Line & line : lines_) {
        const std::uint64_t length = line.width * (to - from);
        const bool inside = begin + length > at && begin < stop;
        for (auto run = runs_.begin(); inside && run != runs_.end(); ++run) {
            const std::uint32_t first = std::max(run->row, from);
            const std::uint32_t last = std::min(run->row + run->count, std::min(to, end));
            if (first >= last) {
                continue;
            }
            const std::uint64_t run_begin = begin + (first - from) * line.width;
            const std::uint64_t a = std::max(run_begin, at);
            const std::uint64_t b = std::min(begin + (last - from) * line.width, stop);
            if (a < b) {
                const std::uint64_t cell = run->cell + (first - run->row);
                copy(line.tensor, line.base + cell * line.width + (a - run_begin), a - at, b - a);
            }
        }
        begin += length;
    }
}

void Rows::read(std::uint32_t from, std::uint32_t to, std::uint64_t at, char * data, std::size_t bytes) const {
    for_each_piece(from, to, to, at, bytes,
                   [data](ggml_tensor * tensor, std::uint64_t offset, std::uint64_t place, std::uint64_t size) {
                       ggml_backend_tensor_get(tensor, data + place, offset, size);
                   });
}

void Rows::write(std::uint32_t from, std::uint32_t to, std::uint32_t end, std::uint64_t at, const char * data,
                 std::size_t bytes) const {
    for_each_piece(from, to, end, at, bytes,
                   [data](ggml_tensor * tensor, std::uint64_t offset, std::uint64_t place, std::uint64_t size) {
                       ggml_backend_tensor_set(tensor, data + place, offset, size);
                   });
}

// A window: the number of its cells, the cell at which it goes on, the cells, and their rows line by line.
std::string read_window(const llama_kv_cache & cache, llama_seq_id sequence) {
    const std::uint32_t stream = cache.seq_to_stream[sequence];
    const std::vector<Cell> cells = cells_of(cache, sequence);
    const auto count = static_cast<std::uint32_t>(cells.size());
    std::string bytes;
    append(bytes, count);
    append(bytes, cache.v_heads[stream]);
    Rows rows;
    rows.add_lines(cache, stream);
    std::uint64_t width = 0;
    for (std::uint32_t row = 0; row < count; ++row) {
        append(bytes, cells[row]);
        rows.add_row(row, cells[row].index);
    }
    for (const Strip & strip : rows.strips_) {
        width += strip.width * strip.lines;
    }
    const std::size_t at = bytes.size();
    bytes.resize(at + width * count);
    rows.read(0, count, 0, bytes.data() + at, width * count);
    return bytes;
}

bool write_window(llama_kv_cache & cache, llama_seq_id sequence, std::string_view bytes) {
    const std::uint32_t stream = cache.seq_to_stream[sequence];
    std::uint32_t count = 0;
    std::uint32_t head = 0;
    if (!take(bytes, count) || !take(bytes, head) || bytes.size() / sizeof(Cell) < count) {
        return false;
    }
    std::vector<Cell> cells(count);
    for (Cell & cell : cells) {
        take(bytes, cell);
    }
    const std::vector<Cell> before = cells;
    if (!place(cache, sequence, cells)) {
        return false;
    }
    const bool same = std::equal(cells.begin(), cells.end(), before.begin(),
                                 [](const Cell & a, const Cell & b) { return a.index == b.index; });
    if (same && head <= cache.v_cells[stream].size()) {
        cache.v_heads[stream] = head;
    }
    Rows rows;
    rows.add_lines(cache, stream);
    std::uint64_t width = 0;
    for (const Strip & strip : rows.strips_) {
        width += strip.width * strip.lines;
    }
    for (std::uint32_t row = 0; row < count; ++row) {
        rows.add_row(row, cells[row].index);
    }
    if (bytes.size() != width * count) {
        cache.seq_rm(sequence, -1, -1);
        return false;
    }
    rows.write(0, count, count, 0, bytes.data(), bytes.size());
    return true;
}

Reach reach(const KeptMemory & memory, llama_context * context, llama_seq_id sequence, std::uint32_t count) {
    const auto end = static_cast<llama_pos>(count);
    Reach result;
    result.width = llama_model_n_swa(llama_get_model(context));
    result.begin = memory.recurrent != nullptr ? end - 1 : 0;
    for (const llama_kv_cache * const window : memory.windows) {
        const std::vector<Cell> cells = cells_of(*window, sequence);
        llama_pos begin = end;
        for (auto cell = cells.rbegin(); cell != cells.rend() && cell->position == begin - 1; ++cell) {
            --begin;
        }
        result.begin = std::max(result.begin, begin);
    }
    return result;
}

std::string read_part(const KeptMemory & memory, std::size_t part, llama_seq_id sequence) {
    if (part < memory.windows.size()) {
        return read_window(*memory.windows[part], sequence);
    }
    BytesWriter writer;
    memory.recurrent->state_write(writer, sequence, 0);
    return std::move(writer.bytes);
}

bool write_part(const KeptMemory & memory, std::size_t part, llama_seq_id sequence, std::string_view bytes) {
    if (part < memory.windows.size()) {
        return write_window(*memory.windows[part], sequence, bytes);
    }
    BytesReader reader(bytes);
    try {
        memory.recurrent->state_read(reader, sequence, 0);
    } catch (const std::exception &) {
        return false;
    }
    return reader.at_end();
}

std::optional<KeptMemory> kept_memory(llama_context * context) {
    llama_memory_i * const memory = llama_get_memory(context);
    KeptMemory kept;
    if (auto * const cache = dynamic_cast<llama_kv_cache *>(memory)) {
        kept = {{cache}, {}, nullptr};
    } else if (auto * const iswa = dynamic_cast<llama_kv_cache_iswa *>(memory)) {
        kept = {{iswa->get_base()}, {iswa->get_swa()}, nullptr};
    } else if (auto * const msa = dynamic_cast<llama_kv_cache_msa *>(memory)) {
        kept = {{msa->get_base(), msa->get_idx()}, {}, nullptr};
    } else if (auto * const dsa = dynamic_cast<llama_kv_cache_dsa *>(memory)) {
        kept = {{dsa->get_mla(), dsa->get_lid()}, {}, nullptr};
    } else if (auto * const both = dynamic_cast<llama_kv_cache_dsa_iswa *>(memory)) {
        kept = {{both->get_dsa()->get_mla(), both->get_dsa()->get_lid()}, {both->get_swa()}, nullptr};
    } else if (auto * const indexed = dynamic_cast<llama_memory_hybrid_idx *>(memory)) {
        kept = {{indexed->get_mem_attn()}, {}, indexed->get_mem_recr()};
        if (indexed->get_mem_idx() != nullptr) {
            kept.rows.push_back(indexed->get_mem_idx());
        }
    } else if (auto * const hybrid = dynamic_cast<llama_memory_hybrid *>(memory)) {
        kept = {{hybrid->get_mem_attn()}, {}, hybrid->get_mem_recr()};
    } else if (auto * const all = dynamic_cast<llama_memory_hybrid_iswa *>(memory)) {
        kept = {{all->get_mem_attn()->get_base()}, {all->get_mem_attn()->get_swa()}, all->get_mem_recr()};
    } else if (auto * const recurrent = dynamic_cast<llama_memory_recurrent *>(memory)) {
        kept = {{}, {}, recurrent};
    } else {
        return std::nullopt;
    }
    // A cache whose cells are another one's, or whose rows are a window's.
    const auto is_whole = [](const llama_kv_cache * cache) { return cache->other == nullptr; };
    const bool whole = std::all_of(kept.rows.begin(), kept.rows.end(), is_whole) &&
                       std::all_of(kept.windows.begin(), kept.windows.end(), is_whole);
    return whole ? std::optional<KeptMemory>(std::move(kept)) : std::nullopt;
}

}  // namespace minerva::engine
