// What the kernel says about each page of this process: /proc/self/pagemap.
// Source: Linux, Documentation/admin-guide/mm/pagemap.rst.
//
// Threading: any.
#pragma once

#include <cstddef>
#include <cstdint>

namespace minerva::engine {

class PageMap {
  public:
    // One page.
    class Entry {
      public:
        static constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;
        static constexpr std::uint64_t kSwapped = std::uint64_t{1} << 62;
        static constexpr std::uint64_t kOfFile = std::uint64_t{1} << 61;  // or of shared memory
        static constexpr std::uint64_t kExclusive = std::uint64_t{1} << 56;

        constexpr Entry() = default;
        constexpr explicit Entry(std::uint64_t bits) : bits_(bits) {}

        // The page is in memory or in swap.
        bool held() const { return (bits_ & (kPresent | kSwapped)) != 0; }
        // The page is in memory or in swap, and does not have the content of a file.
        bool own() const { return held() && (bits_ & kOfFile) == 0; }
        // The page is in memory and no other process has it, or it is in swap.
        bool exclusive() const { return (bits_ & (kExclusive | kSwapped)) != 0; }

      private:
        std::uint64_t bits_ = 0;
    };

    // Opens the file, so that it works in a sandbox that is entered later. If that fails, errno says why.
    PageMap();
    ~PageMap();
    PageMap(const PageMap &) = delete;
    PageMap & operator=(const PageMap &) = delete;

    bool is_open() const { return fd_ >= 0; }
    // Reads the entries of the pages from number `first` (address / 4096) on. Returns how many it read, at most
    // `count`; 0: there are none, or errno says why.
    std::size_t read(std::uint64_t first, Entry * entries, std::size_t count) const;

  private:
    int fd_;
};

}  // namespace minerva::engine
