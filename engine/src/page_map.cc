#include "page_map.h"

#include <fcntl.h>
#include <unistd.h>

namespace minerva::engine {

static_assert(sizeof(PageMap::Entry) == sizeof(std::uint64_t), "as the kernel writes it");

PageMap::PageMap() : fd_(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {}

PageMap::~PageMap() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

std::size_t PageMap::read(std::uint64_t first, Entry * entries, std::size_t count) const {
    const ssize_t n = pread(fd_, entries, count * sizeof(Entry), static_cast<off_t>(first * sizeof(Entry)));
    return n < 0 ? 0 : static_cast<std::size_t>(n) / sizeof(Entry);
}

}  // namespace minerva::engine
