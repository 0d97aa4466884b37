#include "sequence_state.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "ggml-backend.h"
#include "src/llama-io.h"
#include "src/llama-kv-cache-iswa.h"
#include "src/llama-kv-cache.h"
#include "src/llama-memory-hybrid-iswa.h"
#include "src/llama-memory-hybrid.h"
#include "src/llama-memory-recurrent.h"

namespace minerva::engine {
namespace {

constexpr std::size_t kWord = sizeof(std::uint32_t);
constexpr std::size_t kSmallestCell = 3 * kWord;  // position, number of sequences, sequence
// Before the first row: whether V is transposed, the number of layers, a type, the bytes of a row.
constexpr std::size_t kFirstPrefix = 3 * kWord + sizeof(std::uint64_t);

std::uint32_t word_at(const std::string & bytes, std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, bytes.data() + at, kWord);
    return value;
}

// Takes a stream to the memory of this process.
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
    explicit BytesReader(std::string_view bytes) : rest_(bytes) {}
    void read(void * to, std::size_t size) override { std::memcpy(to, take(size), size); }
    void read_tensor(ggml_tensor * tensor, std::size_t offset, std::size_t size) override {
        ggml_backend_tensor_set(tensor, take(size), offset, size);
    }
    std::size_t n_bytes() override { return read_; }
    bool at_end() const { return rest_.empty(); }

  private:
    const char * take(std::size_t size) {
        if (size > rest_.size()) {
            throw std::runtime_error("the state ends early");
        }
        const char * const result = rest_.data();
        rest_.remove_prefix(size);
        read_ += size;
        return result;
    }

    std::string_view rest_;
    std::size_t read_ = 0;
};

}  // namespace

// Learns from a stream where rows are, and copies none.
class StateWriter final : public llama_io_write_i {
  public:
    void write(const void * data, std::size_t size) override {
        (pieces_.empty() ? head_ : between_).append(static_cast<const char *>(data), size);
        bytes_ += size;
    }
    void write_tensor(ggml_tensor * tensor, std::size_t offset, std::size_t size) override {
        pieces_.push_back({std::exchange(between_, {}), tensor, offset, size});
        bytes_ += size;
    }
    std::size_t n_bytes() override { return bytes_; }

    std::optional<Rows> rows(std::uint32_t count);

  private:
    struct Piece {
        std::string before;
        ggml_tensor * tensor;
        std::size_t offset;
        std::size_t size;
    };
    // Takes apart what comes before the first row.
    bool read_head(std::uint32_t count, Rows & rows);
    // Finds the cells of the first line's pieces, and sorts the rows by position.
    bool find_cells(std::uint32_t count, Rows & rows);
    bool find_lines(std::uint32_t count, Rows & rows);

    std::string head_;
    std::string between_;
    std::vector<Piece> pieces_;
    std::size_t bytes_ = 0;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges_;  // of cells in a line: first, count
};

std::optional<Rows> StateWriter::rows(std::uint32_t count) {
    Rows rows;
    if (count == 0 || pieces_.empty() || !read_head(count, rows) || !find_cells(count, rows) ||
        !find_lines(count, rows)) {
        return std::nullopt;
    }
    return rows;
}

bool StateWriter::read_head(std::uint32_t count, Rows & rows) {
    // The number of streams; then for each stream without cells a 0, and the number of cells.
    std::size_t at = kWord;
    while (at + kWord <= head_.size() && word_at(head_, at) == 0) {
        at += kWord;
    }
    if (at + kWord > head_.size() || word_at(head_, at) != count) {
        return false;
    }
    at += kWord;
    if (head_.size() < at + kFirstPrefix) {
        return false;
    }
    const std::size_t cells = head_.size() - at - kFirstPrefix;
    rows.cell_bytes_ = cells / count;
    rows.cells_ = head_.substr(at, cells);
    pieces_.front().before = head_.substr(at + cells);
    return cells % count == 0 && rows.cell_bytes_ >= kSmallestCell;
}

bool StateWriter::find_cells(std::uint32_t count, Rows & rows) {
    std::size_t pieces = 1;
    while (pieces < pieces_.size() && pieces_[pieces].before.empty() && pieces_[pieces].tensor == pieces_[0].tensor) {
        ++pieces;
    }
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < pieces; ++i) {
        bytes += pieces_[i].size;
    }
    const std::uint64_t width = bytes / count;
    if (width == 0 || bytes % count != 0) {
        return false;
    }
    std::vector<std::uint32_t> cell_of(count);  // by position
    std::vector<char> seen(count, 0);
    std::string sorted(rows.cells_.size(), '\0');
    std::uint32_t i = 0;
    for (std::size_t piece = 0; piece < pieces; ++piece) {
        if (pieces_[piece].offset % width != 0 || pieces_[piece].size % width != 0) {
            return false;
        }
        const auto first = static_cast<std::uint32_t>(pieces_[piece].offset / width);
        const auto cells = static_cast<std::uint32_t>(pieces_[piece].size / width);
        ranges_.emplace_back(first, cells);
        for (std::uint32_t cell = first; cell < first + cells; ++cell, ++i) {
            const std::uint32_t position = word_at(rows.cells_, i * rows.cell_bytes_);
            if (position >= count || std::exchange(seen[position], 1) != 0) {
                return false;
            }
            cell_of[position] = cell;
            sorted.replace(position * rows.cell_bytes_, rows.cell_bytes_, rows.cells_, i * rows.cell_bytes_,
                           rows.cell_bytes_);
        }
    }
    rows.cells_ = std::move(sorted);
    for (std::uint32_t row = 0; row < count; ++row) {
        if (!rows.runs_.empty() && rows.runs_.back().cell + rows.runs_.back().count == cell_of[row]) {
            ++rows.runs_.back().count;
        } else {
            rows.runs_.push_back({row, cell_of[row], 1});
        }
    }
    return true;
}

bool StateWriter::find_lines(std::uint32_t count, Rows & rows) {
    if (pieces_.size() % ranges_.size() != 0) {
        return false;
    }
    for (std::size_t i = 0; i < pieces_.size(); i += ranges_.size()) {
        Piece & first = pieces_[i];
        const std::uint64_t width = first.size / ranges_.front().second;
        const std::uint64_t before = ranges_.front().first * width;
        if (width == 0 || first.offset < before) {
            return false;
        }
        const std::uint64_t base = first.offset - before;
        for (std::size_t r = 0; r < ranges_.size(); ++r) {
            const Piece & piece = pieces_[i + r];
            if (piece.tensor != first.tensor || (r > 0 && !piece.before.empty()) ||
                piece.offset != base + ranges_[r].first * width || piece.size != ranges_[r].second * width) {
                return false;
            }
        }
        if (first.before.empty() && !rows.strips_.empty() && rows.strips_.back().width == width) {
            ++rows.strips_.back().lines;
        } else {
            rows.strips_.push_back({std::move(first.before), width, 1});
        }
        rows.lines_.push_back({first.tensor, base, width});
    }
    (void)count;
    return true;
}

// Gives a cache what it asks for about cells, and learns where it wants rows, of which it gets none.
class StateReader final : public llama_io_read_i {
  public:
    StateReader(std::uint32_t streams, std::uint32_t count, std::string_view cells, const std::vector<Strip> & strips)
        : count_(count) {
        words({streams, count});
        small_.append(cells);
        for (const Strip & strip : strips) {
            small_.append(strip.prefix);
            widths_.insert(widths_.end(), strip.lines, strip.width);
        }
        for (std::uint32_t i = 1; i < streams; ++i) {
            words({0});
        }
        rows_.cells_ = cells;
        rows_.cell_bytes_ = cells.size() / count;
        rows_.strips_ = strips;
    }
    void read(void * to, std::size_t size) override {
        if (small_.size() - at_ < size) {
            throw std::runtime_error("the state ends early");
        }
        std::memcpy(to, small_.data() + at_, size);
        at_ += size;
    }
    void read_tensor(ggml_tensor * tensor, std::size_t offset, std::size_t size) override;
    std::size_t n_bytes() override { return at_; }

    // Requires: all was read.
    std::optional<Rows> rows() {
        const bool whole = at_ == small_.size() && rows_.lines_.size() == widths_.size() && line_bytes_ == 0;
        return whole ? std::optional<Rows>(std::move(rows_)) : std::nullopt;
    }

  private:
    void words(std::initializer_list<std::uint32_t> values) {
        for (const std::uint32_t value : values) {
            small_.append(reinterpret_cast<const char *>(&value), sizeof value);
        }
    }

    std::uint32_t count_;
    std::string small_;
    std::size_t at_ = 0;
    std::vector<std::uint64_t> widths_;  // of all lines
    std::uint64_t line_bytes_ = 0;       // of the line under way
    Rows rows_;
};

void StateReader::read_tensor(ggml_tensor * tensor, std::size_t offset, std::size_t size) {
    if (line_bytes_ == 0) {
        if (rows_.lines_.size() == widths_.size()) {
            throw std::runtime_error("the state has too few lines");
        }
        const std::uint64_t width = widths_[rows_.lines_.size()];
        // The first line starts at the tensor's start; its cells are those of all lines.
        const std::uint64_t before = rows_.runs_.empty() ? offset : rows_.runs_.front().cell * width;
        rows_.lines_.push_back({tensor, offset - before, width});
    }
    const Rows::Line & line = rows_.lines_.back();
    if (offset < line.base || offset % line.width != line.base % line.width || size % line.width != 0) {
        throw std::runtime_error("the state has other rows");
    }
    if (rows_.lines_.size() == 1) {
        rows_.lines_.back().base = 0;
        rows_.runs_.push_back({static_cast<std::uint32_t>(line_bytes_ / line.width),
                               static_cast<std::uint32_t>(offset / line.width),
                               static_cast<std::uint32_t>(size / line.width)});
    }
    line_bytes_ += size;
    if (line_bytes_ == count_ * line.width) {
        line_bytes_ = 0;
    }
}

std::optional<Rows> Rows::find(llama_kv_cache & cache, llama_seq_id sequence, std::uint32_t count) {
    StateWriter writer;
    cache.state_write(writer, sequence, 0);
    return writer.rows(count);
}

std::optional<Rows> Rows::make(llama_kv_cache & cache, llama_seq_id sequence, std::uint32_t count,
                               std::string_view cells, const std::vector<Strip> & strips) {
    StateReader reader(cache.get_n_stream(), count, cells, strips);
    try {
        cache.state_read(reader, sequence, 0);
    } catch (const std::exception &) {
        return std::nullopt;
    }
    return reader.rows();
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
        if (begin + length > at && begin < stop) {
            for (const Run & run : runs_) {
                const std::uint32_t first = std::max(run.row, from);
                const std::uint32_t last = std::min(run.row + run.count, std::min(to, end));
                if (first >= last) {
                    continue;
                }
                const std::uint64_t run_begin = begin + (first - from) * line.width;
                const std::uint64_t a = std::max(run_begin, at);
                const std::uint64_t b = std::min(begin + (last - from) * line.width, stop);
                if (a < b) {
                    const std::uint64_t cell = run.cell + (first - run.row);
                    copy(line.tensor, line.base + cell * line.width + (a - run_begin), a - at, b - a);
                }
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

std::string read_part(const llama_memory_i & part, llama_seq_id sequence) {
    BytesWriter writer;
    part.state_write(writer, sequence, 0);
    return std::move(writer.bytes);
}

bool write_part(llama_memory_i & part, llama_seq_id sequence, std::string_view bytes) {
    BytesReader reader(bytes);
    try {
        part.state_read(reader, sequence, 0);
    } catch (const std::exception &) {
        return false;
    }
    return reader.at_end();
}

std::optional<KeptMemory> kept_memory(llama_context * context) {
    llama_memory_i * const memory = llama_get_memory(context);
    if (auto * const cache = dynamic_cast<llama_kv_cache *>(memory)) {
        return KeptMemory{cache, {}};
    }
    if (auto * const cache = dynamic_cast<llama_kv_cache_iswa *>(memory)) {
        return KeptMemory{cache->get_base(), {cache->get_swa()}};
    }
    if (auto * const hybrid = dynamic_cast<llama_memory_hybrid *>(memory)) {
        return KeptMemory{hybrid->get_mem_attn(), {hybrid->get_mem_recr()}};
    }
    if (auto * const hybrid = dynamic_cast<llama_memory_hybrid_iswa *>(memory)) {
        return KeptMemory{hybrid->get_mem_attn()->get_base(),
                          {hybrid->get_mem_attn()->get_swa(), hybrid->get_mem_recr()}};
    }
    if (auto * const recurrent = dynamic_cast<llama_memory_recurrent *>(memory)) {
        return KeptMemory{nullptr, {recurrent}};
    }
    return std::nullopt;
}

}  // namespace minerva::engine
