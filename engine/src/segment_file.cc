#include "segment_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace minerva::engine {
namespace {

constexpr std::string_view kMagic = "mnrvsg02";
constexpr std::uint64_t kMostHeader = std::uint64_t{64} << 20;
constexpr std::uint64_t kMostPayload = std::uint64_t{1} << 40;

class Output {
  public:
    void number(std::uint64_t value) { text_.append(reinterpret_cast<const char *>(&value), sizeof value); }
    void bytes(const void * data, std::size_t size) {
        number(size);
        text_.append(static_cast<const char *>(data), size);
    }
    std::string take() { return std::move(text_); }

  private:
    std::string text_;
};

// Reads what Output wrote. After the first read past the end every result is 0 or empty, and good() is false.
class Input {
  public:
    explicit Input(std::string_view text) : rest_(text) {}
    std::uint64_t number() {
        std::uint64_t value = 0;
        if (good_ && rest_.size() >= sizeof value) {
            std::memcpy(&value, rest_.data(), sizeof value);
            rest_.remove_prefix(sizeof value);
        } else {
            good_ = false;
        }
        return value;
    }
    std::uint32_t small() {
        const std::uint64_t value = number();
        good_ = good_ && value <= UINT32_MAX;
        return static_cast<std::uint32_t>(value);
    }
    std::string_view bytes() {
        const std::uint64_t size = number();
        if (!good_ || size > rest_.size()) {
            good_ = false;
            return {};
        }
        const std::string_view result = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return result;
    }
    template <typename T>
    std::vector<T> values() {
        const std::string_view raw = bytes();
        good_ = good_ && raw.size() % sizeof(T) == 0;
        std::vector<T> result(raw.size() / sizeof(T));
        if (!result.empty()) {
            std::memcpy(result.data(), raw.data(), result.size() * sizeof(T));
        }
        return result;
    }
    // How many items follow, each of at least one number.
    std::uint64_t count() {
        const std::uint64_t value = number();
        good_ = good_ && value <= rest_.size() / sizeof value;
        return good_ ? value : 0;
    }
    bool good() const { return good_; }
    bool at_end() const { return rest_.empty(); }

  private:
    std::string_view rest_;
    bool good_ = true;
};

std::uint64_t chunks(std::uint64_t bytes) { return (bytes + kChunk - 1) / kChunk; }

// Whether a * b + c is at most kMostPayload, which all three are.
bool fits(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    return a <= kMostPayload && b <= kMostPayload && c <= kMostPayload && (a == 0 || b <= (kMostPayload - c) / a);
}

// Whether the sizes agree, and none of them overflows.
bool consistent(const SegmentHeader & header) {
    const protocol::SegmentName & name = header.name;
    if (name.id.is_none() || name.from > name.to || name.parent.is_none() != (name.from == 0) || header.complete > 1 ||
        header.goes_back_to > name.to || header.tokens.size() != header.rows() ||
        !fits(header.cell_bytes, header.rows(), 0) || header.cells.size() != header.cell_bytes * header.rows()) {
        return false;
    }
    std::uint64_t total = 0;
    for (const Strip & strip : header.strips) {
        if (!fits(strip.width, strip.lines, 0) || !fits(strip.width * strip.lines, header.rows(), total)) {
            return false;
        }
        total += strip.width * strip.lines * header.rows();
    }
    for (const Blob & blob : header.blobs) {
        if (blob.tokens > name.to || blob.elsewhere > 1 || (blob.elsewhere == 1 && blob.bytes != 0) ||
            !fits(blob.bytes, 1, total)) {
            return false;
        }
        total += blob.bytes;
    }
    return header.hashes.size() == chunks(total) && segment_id(name, header.complete != 0, header.tokens) == name.id;
}

bool write_all(int file, const char * data, std::size_t bytes, std::uint64_t at) {
    while (bytes > 0) {
        const ssize_t n = pwrite(file, data, bytes, static_cast<off_t>(at));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        data += n;
        bytes -= static_cast<std::size_t>(n);
        at += static_cast<std::uint64_t>(n);
    }
    return true;
}

// False: errno says why; EBADMSG if the file ends early.
bool read_all(int file, char * to, std::size_t bytes, std::uint64_t at) {
    while (bytes > 0) {
        const ssize_t n = pread(file, to, bytes, static_cast<off_t>(at));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EBADMSG : errno;
            return false;
        }
        to += n;
        bytes -= static_cast<std::size_t>(n);
        at += static_cast<std::uint64_t>(n);
    }
    return true;
}

}  // namespace

std::uint64_t SegmentHeader::strip_bytes() const {
    std::uint64_t total = 0;
    for (const Strip & strip : strips) {
        total += strip.width * strip.lines * rows();
    }
    return total;
}

std::uint64_t SegmentHeader::payload_bytes() const {
    std::uint64_t total = strip_bytes();
    for (const Blob & blob : blobs) {
        total += blob.bytes;
    }
    return total;
}

protocol::SegmentId segment_id(const protocol::SegmentName & name, bool complete,
                               const std::vector<std::int32_t> & tokens) {
    const std::uint64_t place[] = {name.parent.high, name.parent.low, name.from, name.to, complete ? 1U : 0U};
    std::string text(reinterpret_cast<const char *>(place), sizeof place);
    text.append(reinterpret_cast<const char *>(tokens.data()), tokens.size() * sizeof(std::int32_t));
    const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
    return {hash.high64, hash.low64 == 0 && hash.high64 == 0 ? 1 : hash.low64};
}

std::string encode(const SegmentHeader & header) {
    Output out;
    const protocol::SegmentName & name = header.name;
    for (const std::uint64_t value : {name.id.high, name.id.low, name.parent.high, name.parent.low,
                                      std::uint64_t{name.from}, std::uint64_t{name.to}, header.shape, header.complete,
                                      std::uint64_t{header.goes_back_to}, header.cell_bytes}) {
        out.number(value);
    }
    out.bytes(header.tokens.data(), header.tokens.size() * sizeof(std::int32_t));
    out.bytes(header.cells.data(), header.cells.size());
    out.number(header.strips.size());
    for (const Strip & strip : header.strips) {
        out.bytes(strip.kind.data(), strip.kind.size());
        out.number(strip.width);
        out.number(strip.lines);
    }
    out.number(header.blobs.size());
    for (const Blob & blob : header.blobs) {
        for (const std::uint64_t value :
             {std::uint64_t{blob.part}, std::uint64_t{blob.tokens},
              std::uint64_t{static_cast<std::uint32_t>(blob.pos_min)},
              std::uint64_t{static_cast<std::uint32_t>(blob.pos_max)}, blob.bytes, blob.elsewhere}) {
            out.number(value);
        }
    }
    out.bytes(header.hashes.data(), header.hashes.size() * sizeof(std::uint64_t));
    return sealed(out.take());
}

std::string sealed(const std::string & header) {
    Output preamble;
    preamble.number(header.size());
    preamble.number(XXH3_64bits(header.data(), header.size()));
    return std::string(kMagic) + preamble.take() + header;
}

std::optional<SegmentHeader> decode(std::string_view bytes) {
    if (bytes.size() < kPreamble || bytes.substr(0, kMagic.size()) != kMagic) {
        return std::nullopt;
    }
    Input preamble(bytes.substr(kMagic.size(), kPreamble - kMagic.size()));
    const std::uint64_t size = preamble.number();
    const std::uint64_t hash = preamble.number();
    const std::string_view body = bytes.substr(kPreamble);
    if (body.size() != size || XXH3_64bits(body.data(), body.size()) != hash) {
        return std::nullopt;
    }
    Input in(body);
    SegmentHeader header;
    protocol::SegmentName & name = header.name;
    for (std::uint64_t * const value : {&name.id.high, &name.id.low, &name.parent.high, &name.parent.low}) {
        *value = in.number();
    }
    name.from = in.small();
    name.to = in.small();
    header.shape = in.number();
    header.complete = in.number();
    header.goes_back_to = in.small();
    header.cell_bytes = in.number();
    header.tokens = in.values<std::int32_t>();
    header.cells = std::string(in.bytes());
    for (std::uint64_t left = in.count(); left > 0 && in.good(); --left) {
        Strip & strip = header.strips.emplace_back();
        strip.kind = std::string(in.bytes());
        strip.width = in.number();
        strip.lines = in.number();
    }
    for (std::uint64_t left = in.count(); left > 0 && in.good(); --left) {
        Blob & blob = header.blobs.emplace_back();
        blob.part = in.small();
        blob.tokens = in.small();
        blob.pos_min = static_cast<std::int32_t>(in.small());
        blob.pos_max = static_cast<std::int32_t>(in.small());
        blob.bytes = in.number();
        blob.elsewhere = in.number();
    }
    header.hashes = in.values<std::uint64_t>();
    if (!in.good() || !in.at_end() || !consistent(header)) {
        return std::nullopt;
    }
    return header;
}

SegmentWriter::SegmentWriter(int file, SegmentHeader header) : file_(file), header_(std::move(header)) {
    header_.hashes.assign(chunks(header_.payload_bytes()), 0);
    start_ = encode(header_).size();
}

bool SegmentWriter::append(const char * data, std::size_t bytes) {
    for (std::size_t done = 0; done < bytes; done += kChunk) {
        header_.hashes[(at_ + done) / kChunk] = XXH3_64bits(data + done, std::min(kChunk, bytes - done));
    }
    const bool written = write_all(file_, data, bytes, start_ + at_);
    at_ += bytes;
    return written;
}

bool SegmentWriter::finish() {
    const std::string before = encode(header_);
    return write_all(file_, before.data(), before.size(), 0);
}

std::optional<SegmentReader> SegmentReader::open(int folder, const char * path, std::string & why) {
    const auto refuse = [&why](int error) {
        why = error == EBADMSG ? "not a segment" : std::strerror(error);
        errno = error;
        return std::nullopt;
    };
    const int file = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) {
        return refuse(errno == ELOOP ? EBADMSG : errno);
    }
    SegmentReader reader(file, {}, 0);
    struct stat status{};
    std::string bytes(kPreamble, '\0');
    if (fstat(file, &status) != 0) {
        return refuse(errno);
    }
    if (!S_ISREG(status.st_mode)) {
        return refuse(EBADMSG);
    }
    if (!read_all(file, bytes.data(), bytes.size(), 0)) {
        return refuse(errno);
    }
    std::uint64_t size = 0;
    std::memcpy(&size, bytes.data() + kMagic.size(), sizeof size);
    if (size > kMostHeader || size > static_cast<std::uint64_t>(status.st_size)) {
        return refuse(EBADMSG);
    }
    bytes.resize(kPreamble + size);
    if (!read_all(file, bytes.data() + kPreamble, size, kPreamble)) {
        return refuse(errno);
    }
    std::optional<SegmentHeader> header = decode(bytes);
    if (!header) {
        return refuse(EBADMSG);
    }
    reader.header_ = std::move(*header);
    reader.start_ = bytes.size();
    if (reader.file_bytes() != static_cast<std::uint64_t>(status.st_size)) {
        return refuse(EBADMSG);
    }
    return reader;
}

SegmentReader::SegmentReader(SegmentReader && other) noexcept
    : file_(std::exchange(other.file_, -1)), header_(std::move(other.header_)), start_(other.start_) {}

SegmentReader & SegmentReader::operator=(SegmentReader && other) noexcept {
    std::swap(file_, other.file_);
    std::swap(header_, other.header_);
    std::swap(start_, other.start_);
    return *this;
}

SegmentReader::~SegmentReader() {
    if (file_ >= 0) {
        close(file_);
    }
}

std::optional<std::size_t> SegmentReader::read(std::uint64_t chunk, char * to, std::size_t bytes) const {
    const std::uint64_t total = header_.payload_bytes();
    const std::uint64_t at = chunk * kChunk;
    if (at >= total) {
        return 0;
    }
    const std::size_t size = std::min<std::uint64_t>(bytes, total - at);
    if (!read_all(file_, to, size, start_ + at)) {
        return std::nullopt;
    }
    for (std::size_t done = 0; done < size; done += kChunk) {
        if (XXH3_64bits(to + done, std::min(kChunk, size - done)) != header_.hashes[(at + done) / kChunk]) {
            errno = EBADMSG;
            return std::nullopt;
        }
    }
    return size;
}

}  // namespace minerva::engine
