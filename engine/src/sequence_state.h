// What llama.cpp's memory holds of one sequence: rows of the KV cache, one for each token, and parts that are not kept
// by token (sliding windows, recurrent states).
//
// Purpose: llama.cpp writes and reads the state of a sequence as one stream. A stream's pieces tell where in which
// tensor each row is, so rows of single tokens can be copied without the rest, a few at a time.
// Threading: nothing computes meanwhile (main_loop.h).
// It does not know files, slots or tokens.
#pragma once

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
struct llama_memory_i;

namespace minerva::engine {

// The kinds of memory whose conversations are kept.
struct KeptMemory {
    llama_kv_cache * rows = nullptr;      // nullptr: no part is kept by token
    std::vector<llama_memory_i *> parts;  // those that are not
};
// Nothing if conversations of such a context are not kept.
std::optional<KeptMemory> kept_memory(llama_context * context);

// Where the rows of a sequence's tokens 0 .. count - 1 are.
class Rows {
  public:
    // Finds the rows of a sequence. Nothing if it does not have exactly the positions 0 .. count - 1.
    static std::optional<Rows> find(llama_kv_cache & cache, llama_seq_id sequence, std::uint32_t count);
    // Makes room for rows in the cache, in place of all that the sequence had. What is in them is not defined.
    // Requires: `cells` and `strips` are of a Rows of an equal cache. Nothing: there is no room, or they are not.
    static std::optional<Rows> make(llama_kv_cache & cache, llama_seq_id sequence, std::uint32_t count,
                                    std::string_view cells, const std::vector<Strip> & strips);

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
    friend class StateWriter;
    friend class StateReader;

    template <typename Copy>
    void for_each_piece(std::uint32_t from, std::uint32_t to, std::uint32_t end, std::uint64_t at, std::size_t bytes,
                        const Copy & copy) const;

    std::uint64_t cell_bytes_ = 0;
    std::string cells_;  // of all rows
    std::vector<Strip> strips_;
    std::vector<Line> lines_;
    std::vector<Run> runs_;  // in the order of rows
};

std::string read_part(const llama_memory_i & part, llama_seq_id sequence);
// Puts it in place of what the sequence had. False: it does not fit; the sequence has nothing then.
bool write_part(llama_memory_i & part, llama_seq_id sequence, std::string_view bytes);

}  // namespace minerva::engine
