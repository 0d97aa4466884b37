// What llama.cpp's memory holds of one sequence: rows of the KV cache, one for each token, and parts that are not kept
// by token (sliding windows, recurrent states).
//
// Purpose: rows of single tokens can be copied without the rest, a few at a time. A sequence gets the same cells back
// that it had, as far as they are free: the order in which attention adds up its rows decides the last bits of a
// result, and a window goes on at the cell where it was. llama.cpp's own way to write and read a state keeps neither,
// and leaves out one token of a window, so that nothing of it can be used.
// Threading: nothing computes meanwhile (main_loop.h).
// It does not know files, slots or tokens.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llama.h"
#include "segment_file.h"

struct ggml_tensor;
class llama_kv_cache;
class llama_memory_recurrent;

namespace minerva::engine {

// The kinds of memory whose conversations are kept.
struct KeptMemory {
    std::vector<llama_kv_cache *> rows;  // each has a row for each token, all in the same cells
    std::vector<llama_kv_cache *> windows;
    llama_memory_recurrent * recurrent = nullptr;

    std::size_t parts() const { return windows.size() + (recurrent != nullptr ? 1 : 0); }
};
// Nothing if conversations of such a context are not kept.
std::optional<KeptMemory> kept_memory(llama_context * context);

// Where the rows of a sequence's tokens 0 .. count - 1 are.
class Rows {
  public:
    // Nothing if the sequence does not have exactly the positions 0 .. count - 1.
    static std::optional<Rows> find(const std::vector<llama_kv_cache *> & caches, llama_seq_id sequence,
                                    std::uint32_t count);
    // Makes room for rows, in place of all that the sequence had. What is in them is not defined. `cells`: of the rows,
    // as cells() says. Nothing: there is no room, or that is nonsense; the sequence has nothing then.
    static std::optional<Rows> make(const std::vector<llama_kv_cache *> & caches, llama_seq_id sequence,
                                    std::string_view cells);

    std::uint64_t cell_bytes() const { return cell_bytes_; }
    std::string cells(std::uint32_t from, std::uint32_t to) const;
    const std::vector<Strip> & strips() const { return strips_; }

    // A segment's strips are a string of bytes: line by line, in each line the rows [from, to). These copy the bytes
    // [at, at + bytes) of it. write() leaves out the rows from `end` on.
    void read(std::uint32_t from, std::uint32_t to, std::uint64_t at, char * data, std::size_t bytes) const;
    void write(std::uint32_t from, std::uint32_t to, std::uint32_t end, std::uint64_t at, const char * data,
               std::size_t bytes) const;

  private:
    struct Line {
        ggml_tensor * tensor;
        std::uint64_t base;   // where the value of cell 0 is
        std::uint64_t width;  // of a value
    };
    // Rows in cells that follow each other.
    struct Run {
        std::uint32_t row;
        std::uint32_t cell;
        std::uint32_t count;
    };

    void add_lines(const llama_kv_cache & cache, std::uint32_t stream);
    void add_row(std::uint32_t row, std::uint32_t cell);
    template <typename Copy>
    void for_each_piece(std::uint32_t from, std::uint32_t to, std::uint32_t end, std::uint64_t at, std::size_t bytes,
                        const Copy & copy) const;
    friend std::string read_window(const llama_kv_cache & cache, llama_seq_id sequence);
    friend bool write_window(llama_kv_cache & cache, llama_seq_id sequence, std::string_view bytes);

    std::uint64_t cell_bytes_ = 0;
    std::string cells_;  // of all rows
    std::vector<Strip> strips_;
    std::vector<Line> lines_;
    std::vector<Run> runs_;  // in the order of rows
};

// How far back a sequence can go without a checkpoint: as llama.cpp's server decides it, which asks for more than
// attention looks at.
struct Reach {
    llama_pos begin = 0;  // the parts that are not kept by token have all positions from this one on
    llama_pos width = 0;  // of a window; 0: there is none

    // Whether `from`, the first position of some state, is early enough to go on after so many tokens.
    bool covers(llama_pos from, std::uint32_t tokens) const {
        return from < std::max(0, static_cast<llama_pos>(tokens) - width);
    }
    // One more, since the last token of a prompt may be read again.
    std::uint32_t goes_back_to() const { return static_cast<std::uint32_t>(begin + width + 2); }
};
Reach reach(const KeptMemory & memory, llama_context * context, llama_seq_id sequence, std::uint32_t count);

// The parts that are not kept by token: `part` is less than parts().
std::string read_part(const KeptMemory & memory, std::size_t part, llama_seq_id sequence);
// Puts it in place of what the sequence had. False: it does not fit; the sequence has nothing then.
bool write_part(const KeptMemory & memory, std::size_t part, llama_seq_id sequence, std::string_view bytes);

}  // namespace minerva::engine
