// The file of one segment of a conversation: its bytes, written and read. protocol/conversations.h says what a segment
// is.
//
//   preamble   kMagic, bytes of the header, XXH3 of the header: 8 bytes each
//   header     what SegmentHeader has, numbers as this machine has them
//   payload    strips line by line, each line with the bytes of all rows; then the blobs
// The header has an XXH3 of each kChunk bytes of the payload, and of the shorter rest.
//
// Purpose: whatever a file holds, decode() and SegmentReader give out only what was written as a whole by an engine of
// this version. A file is foreign: it may be cut, changed or made by somebody else.
// Threading: any; an object is used by one thread at a time.
// It does not know llama.cpp, nor where files are.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/conversations.h"

namespace minerva::engine {

// Lines of equal width, one after the other. A line has a value of `width` bytes for each row.
struct Strip {
    std::string kind;  // of what the values are
    std::uint64_t width = 0;
    std::uint64_t lines = 0;
};

// State that is not kept by token.
struct Blob {
    std::uint32_t part = 0;       // of the memory, or kCheckpoint
    std::uint32_t tokens = 0;     // after how many tokens of the conversation the state is right
    std::int32_t pos_min = 0;     // of a checkpoint
    std::int32_t pos_max = 0;     // of a checkpoint
    std::uint64_t bytes = 0;      // in this file
    std::uint64_t elsewhere = 0;  // 1: a checkpoint that one of the parents has, under the same `tokens`
};
inline constexpr std::uint32_t kCheckpoint = ~std::uint32_t{0};

struct SegmentHeader {
    protocol::SegmentName name;
    std::uint64_t shape = 0;     // a hash of what the engine must be to read it
    std::uint64_t complete = 0;  // 1: the conversation rested at its end, so that all of its state is here
    // Of a complete one: the conversation can go on from so many of its tokens on, at each of them up to `to`. Less
    // than `to` where windows still have what came before.
    std::uint32_t goes_back_to = 0;
    std::vector<std::int32_t> tokens;  // [from, to)
    std::uint64_t cell_bytes = 0;
    std::string cells;  // where each row was, and what else its cell says: `cell_bytes` for each
    std::vector<Strip> strips;
    std::vector<Blob> blobs;
    std::vector<std::uint64_t> hashes;  // of the payload's chunks

    std::uint64_t rows() const { return name.to - name.from; }
    std::uint64_t strip_bytes() const;
    std::uint64_t payload_bytes() const;
};

inline constexpr std::size_t kChunk = std::size_t{1} << 20;
inline constexpr std::size_t kPreamble = 24;

// The id of such a segment.
protocol::SegmentId segment_id(const protocol::SegmentName & name, bool complete,
                               const std::vector<std::int32_t> & tokens);

// Preamble and header. The size does not depend on what the hashes are.
std::string encode(const SegmentHeader & header);
// The preamble that `header`, the bytes of one, must have, and the header.
std::string sealed(const std::string & header);
// Nothing if `bytes` is not what encode() has written, or if its parts contradict each other.
std::optional<SegmentHeader> decode(std::string_view bytes);

// Writes the payload first, and then what is before it.
class SegmentWriter {
  public:
    // `header`: without hashes. `file` stays the caller's.
    SegmentWriter(int file, SegmentHeader header);
    // The next bytes of the payload. `bytes` is a multiple of kChunk, or all that is left. False: errno says why.
    bool append(const char * data, std::size_t bytes);
    // Requires: all of the payload was appended. False: errno says why.
    bool finish();
    const SegmentHeader & header() const { return header_; }
    std::uint64_t file_bytes() const { return start_ + header_.payload_bytes(); }

  private:
    int file_;
    SegmentHeader header_;
    std::uint64_t start_;  // of the payload
    std::uint64_t at_ = 0;
};

// Reads a file that may change or end at any time. Owns the descriptor.
class SegmentReader {
  public:
    // Nothing if the file cannot be read or is not a segment; `why` and errno say so. EBADMSG: it is none. All else may
    // pass.
    static std::optional<SegmentReader> open(int folder, const char * path, std::string & why);
    SegmentReader(SegmentReader && other) noexcept;
    SegmentReader & operator=(SegmentReader && other) noexcept;
    SegmentReader(const SegmentReader &) = delete;
    SegmentReader & operator=(const SegmentReader &) = delete;
    ~SegmentReader();

    const SegmentHeader & header() const { return header_; }
    std::uint64_t file_bytes() const { return start_ + header_.payload_bytes(); }
    // Fills `to` with the payload from the chunk `chunk` on, at most `bytes` (a multiple of kChunk). Returns how many
    // bytes there are. Nothing if they cannot be read, or are not those that were written (errno is EBADMSG then).
    std::optional<std::size_t> read(std::uint64_t chunk, char * to, std::size_t bytes) const;

  private:
    SegmentReader(int file, SegmentHeader header, std::uint64_t start)
        : file_(file), header_(std::move(header)), start_(start) {}
    int file_;
    SegmentHeader header_;
    std::uint64_t start_;
};

}  // namespace minerva::engine
