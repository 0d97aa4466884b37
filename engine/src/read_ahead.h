// Reads a woken model's pages ahead, where the kernel has dropped them.
//
// Purpose: the first token needs the whole model. Page faults ask for a few pages at a time, in the order of the
// computation. A thread that reads them in sequence meanwhile gets them as fast as the disk can.
// Threading: one thread at a time. A thread of its own reads; nobody waits for more than the slice that is being read.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "mapped_files.h"

namespace minerva::engine {

class ReadAhead {
  public:
    ReadAhead() = default;
    ~ReadAhead();
    ReadAhead(const ReadAhead &) = delete;
    ReadAhead & operator=(const ReadAhead &) = delete;

    // Effect: reads `parts` in this order, if a good part of them is missing. `found`: the result of a look at them.
    // Requires: stop() was called since the last start().
    void start(std::vector<MappedPart> parts, PagesInMemory found);
    // Effect: the reading ends after the current slice. If something else is mapped there meanwhile, the reading does
    // no harm to it.
    void stop() { stopped_ = true; }

  private:
    void run(const std::vector<MappedPart> & parts) const;

    std::atomic<bool> stopped_{false};
    std::thread thread_;
};

}  // namespace minerva::engine
