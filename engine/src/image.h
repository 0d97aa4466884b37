// The image of a parked model: a file without a name that holds the pages of its large blocks.
//
// Purpose: the file has mode 0600 and never gets a name (O_TMPFILE). So nobody else can open it, and nothing of it is
// left, however the engine ends. Space is given out in extents. A page is stored at its block's extent plus its offset
// in the block, so that it is overwritten in place and can be mapped. Each stored page has a checksum.
// Threading: one thread at a time, except where a comment says otherwise.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace minerva::engine {

inline constexpr std::size_t kPage = 4096;

class Image {
  public:
    // Makes the file in `folder`, on a real disk. nullptr with `why`: the folder does not exist or is not writable, it
    // is in memory (tmpfs), or its file system cannot free parts of a file.
    static std::unique_ptr<Image> create(const std::string & folder, std::string & why);
    ~Image();
    Image(const Image &) = delete;
    Image & operator=(const Image &) = delete;

    // The extent of a block: one contiguous range of pages.
    struct Extent {
        std::size_t first = 0;  // in pages, from the beginning of the file
        std::size_t pages = 0;
    };
    Extent allocate(std::size_t pages);
    // Forgets the pages of the extent and frees their space.
    void free(Extent extent);

    bool stored(std::size_t page) const { return page < end_ && (*checksums_)[page] != 0; }
    // Stores `count` pages from `page` on. False: the disk is full or broken; then these pages are not stored, and read
    // as zeros where they are mapped.
    bool write(std::size_t page, const char * data, std::size_t count);
    // Reads pages that are stored. False: the disk has something else than was written, or cannot be read.
    bool read(std::size_t page, char * to, std::size_t count) const;
    // Whether these are the stored page's bytes. Requires: it is stored.
    bool same(std::size_t page, const char * data) const { return (*checksums_)[page] == checksum_of(data); }
    // The checksum of each page; 0: the page is not stored.
    using Checksums = std::vector<std::atomic<std::uint64_t>>;
    // Any thread may read these at any time. They follow later writes, but not beyond a call of allocate().
    std::shared_ptr<const Checksums> checksums() const { return checksums_; }
    // Whether the file holds a page with this checksum at that place. Also false if the page cannot be read. Any
    // thread, at any time.
    bool holds(std::size_t page, std::uint64_t checksum) const;
    // Effect: what is stored is on disk, and no longer in the page cache, except for what is mapped. Waits for the
    // disk.
    void drop_cache() const;

    // Whether the file may hold something where nothing is stored: then it must not be mapped any more.
    bool broken() const { return broken_; }
    int descriptor() const { return fd_; }
    std::uint64_t stored_bytes() const { return stored_pages_ * kPage; }

  private:
    explicit Image(int fd) : fd_(fd) {}
    bool read_file(std::size_t page, char * to, std::size_t count) const;
    static std::uint64_t checksum_of(const char * page);  // never 0
    void forget(std::size_t page, std::size_t count);

    int fd_;
    std::size_t end_ = 0;                        // how many pages were given out so far
    std::map<std::size_t, std::size_t> unused_;  // the free extents among them: first page -> number of pages
    std::shared_ptr<Checksums> checksums_ = std::make_shared<Checksums>();  // at least of `end_` pages
    std::uint64_t stored_pages_ = 0;
    bool broken_ = false;
};

}  // namespace minerva::engine
