// Reads a woken model's pages ahead, where the kernel has dropped them.
//
// Purpose: the first token needs all of a model. Page faults ask for its pages a few at a time, in the order of the
// computation; read in sequence beside it they come as fast as the disk gives them.
// Threading: one thread at a time. It reads on a thread of its own; nobody waits for more than the slice under way.
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

    // Effect: has `parts` read, in this order, if a good part of them is missing. `found`: a look at them. Requires:
    // stop() was called since the last start().
    void start(std::vector<MappedPart> parts, PagesInMemory found);
    // Effect: it ends after the slice under way. What is mapped there instead meanwhile comes to no harm.
    void stop() { stopped_ = true; }

  private:
    void run(const std::vector<MappedPart> & parts) const;

    std::atomic<bool> stopped_{false};
    std::thread thread_;
};

}  // namespace minerva::engine
