#include "own_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string_view>

namespace minerva::engine {
namespace {

// The value in a line such as "RssAnon:   116 kB", in bytes. Source: Linux, Documentation/filesystems/proc.rst.
std::optional<std::uint64_t> field(std::string_view text, std::string_view line_begins) {
    std::size_t at = text.find(line_begins);
    if (at == std::string_view::npos) {
        return std::nullopt;
    }
    at = text.find_first_not_of(" \t", at + line_begins.size());
    std::uint64_t kib = 0;
    if (at == std::string_view::npos ||
        std::from_chars(text.data() + at, text.data() + text.size(), kib).ec != std::errc()) {
        return std::nullopt;
    }
    return kib * 1024;
}

}  // namespace

OwnMemory::OwnMemory() : fd_(open("/proc/self/status", O_RDONLY | O_CLOEXEC)) {}

OwnMemory::~OwnMemory() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

std::optional<std::uint64_t> OwnMemory::anonymous_bytes() const {
    std::array<char, 1 << 15> buffer;  // a user may be in thousands of groups, which stand before the fields
    const ssize_t n = pread(fd_, buffer.data(), buffer.size(), 0);
    if (n < 0) {
        return std::nullopt;
    }
    const std::string_view text(buffer.data(), static_cast<std::size_t>(n));
    const auto anonymous = field(text, "\nRssAnon:");
    const auto swapped = field(text, "\nVmSwap:");
    return anonymous && swapped ? std::optional(*anonymous + *swapped) : std::nullopt;
}

}  // namespace minerva::engine
