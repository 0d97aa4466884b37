#include "image.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace minerva::engine {
namespace {

// Space that is given out again must read as zeros, since holes between stored pages are mapped too.
bool punch(int fd, std::size_t offset, std::size_t bytes) {
    int result = 0;
    do {
        result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                           static_cast<off_t>(bytes));
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

}  // namespace

std::unique_ptr<Image> Image::create(const std::string & folder, std::string & why) {
    const int fd = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        why = "cannot make a file in " + folder + ": " + std::strerror(errno);
        return nullptr;
    }
    struct statfs system{};
    if (fstatfs(fd, &system) == 0 && (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC)) {
        why = folder + " is in memory (tmpfs): parking there would free nothing";
        close(fd);
        return nullptr;
    }
    if (!punch(fd, 0, kPage)) {
        why = "the file system of " + folder + " cannot give back parts of a file: " + std::strerror(errno);
        close(fd);
        return nullptr;
    }
    return std::unique_ptr<Image>(new Image(fd));
}

Image::~Image() { close(fd_); }

Image::Extent Image::allocate(std::size_t pages) {
    // The smallest extent that fits: the blocks of one model have few sizes, and the same sizes come again.
    auto best = unused_.end();
    for (auto it = unused_.begin(); it != unused_.end(); ++it) {
        if (it->second >= pages && (best == unused_.end() || it->second < best->second)) {
            best = it;
        }
    }
    if (best == unused_.end()) {
        end_ += pages;
        if (checksums_->size() < end_) {
            // A new array, since another thread may be reading the old one.
            auto more = std::make_shared<Checksums>(std::max(end_, 2 * checksums_->size()));
            for (std::size_t page = 0; page < checksums_->size(); ++page) {
                (*more)[page] = (*checksums_)[page].load();
            }
            checksums_ = std::move(more);
        }
        return {end_ - pages, pages};
    }
    const auto [first, size] = *best;
    unused_.erase(best);
    if (size > pages) {
        unused_[first + pages] = size - pages;
    }
    return {first, pages};
}

void Image::free(Extent extent) {
    forget(extent.first, extent.pages);
    if (!punch(fd_, extent.first * kPage, extent.pages * kPage)) {
        return;  // the disk is broken: this space is never given out again
    }
    auto [it, inserted] = unused_.emplace(extent.first, extent.pages);
    if (const auto next = std::next(it); next != unused_.end() && it->first + it->second == next->first) {
        it->second += next->second;
        unused_.erase(next);
    }
    if (it != unused_.begin()) {
        const auto before = std::prev(it);
        if (before->first + before->second == it->first) {
            before->second += it->second;
            unused_.erase(it);
        }
    }
}

bool Image::write(std::size_t page, const char * data, std::size_t count) {
    forget(page, count);
    std::size_t done = 0;
    while (done < count * kPage) {
        const ssize_t n = pwrite(fd_, data + done, count * kPage - done, static_cast<off_t>(page * kPage + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            const int error = errno;
            broken_ = !punch(fd_, page * kPage, count * kPage) || broken_;
            errno = error;
            return false;
        }
        done += static_cast<std::size_t>(n);
    }
    for (std::size_t i = 0; i < count; ++i) {
        (*checksums_)[page + i] = checksum_of(data + i * kPage);
    }
    stored_pages_ += count;
    return true;
}

bool Image::read_file(std::size_t page, char * to, std::size_t count) const {
    std::size_t done = 0;
    while (done < count * kPage) {
        const ssize_t n = pread(fd_, to + done, count * kPage - done, static_cast<off_t>(page * kPage + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        done += static_cast<std::size_t>(n);
    }
    return true;
}

bool Image::read(std::size_t page, char * to, std::size_t count) const {
    if (!read_file(page, to, count)) {
        return false;
    }
    for (std::size_t i = 0; i < count; ++i) {
        if (!same(page + i, to + i * kPage)) {
            return false;
        }
    }
    return true;
}

bool Image::holds(std::size_t page, std::uint64_t checksum) const {
    char data[kPage];
    return read_file(page, data, 1) && checksum_of(data) == checksum;
}

void Image::drop_cache() const {
    sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
}

void Image::forget(std::size_t page, std::size_t count) {
    for (std::size_t i = page; i < page + count; ++i) {
        stored_pages_ -= (*checksums_)[i].exchange(0) != 0 ? 1 : 0;
    }
}

std::uint64_t Image::checksum_of(const char * page) { return std::max<std::uint64_t>(XXH3_64bits(page, kPage), 1); }

}  // namespace minerva::engine
