// What the kernel says of each page of this process: /proc/self/pagemap.
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
        static constexpr std::uint64_t kOfFile = std::uint64_t{1} << 61;  // or of memory that is shared
        static constexpr std::uint64_t kExclusive = std::uint64_t{1} << 56;

        constexpr Entry() = default;
        constexpr explicit Entry(std::uint64_t bits) : bits_(bits) {}

        // In memory or swapped out.
        bool held() const { return (bits_ & (kPresent | kSwapped)) != 0; }
        // In memory or swapped out, and not as a file has it.
        bool own() const { return held() && (bits_ & kOfFile) == 0; }
        // In memory, and no other process has it, or swapped out.
        bool exclusive() const { return (bits_ & (kExclusive | kSwapped)) != 0; }

      private:
        std::uint64_t bits_ = 0;
    };

    // Opens it, so it works in a sandbox that is entered later. Where that fails, errno says why.
    PageMap();
    ~PageMap();
    PageMap(const PageMap &) = delete;
    PageMap & operator=(const PageMap &) = delete;

    bool is_open() const { return fd_ >= 0; }
    // The entries of the pages from number `first` (address / 4096) on. Returns how many it read, at most `count`; 0:
    // there are none, or errno says why.
    std::size_t read(std::uint64_t first, Entry * entries, std::size_t count) const;

  private:
    int fd_;
};

}  // namespace minerva::engine
