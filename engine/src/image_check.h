// Holds a parked model's image against its checksums, in the background.
//
// Purpose: a check ahead of a wake would cost more than the wake. So it follows, at the lowest priority and while the
// main loop rests: reading a whole image beside the inference would have the two share the memory's bandwidth. A loop
// that does not rest puts it off for kPatience at most. It ends the process if the image is not what was written.
// Threading: one thread at a time. Neither start() nor stop() waits for the check, which may not get its turn for long.
#pragma once

#include <semaphore.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>

#include "image.h"

namespace minerva::engine {

class ImageCheck {
  public:
    static constexpr std::chrono::seconds kPatience{10};

    // Requires: `image` outlives this.
    explicit ImageCheck(const Image & image);
    ~ImageCheck();
    ImageCheck(const ImageCheck &) = delete;
    ImageCheck & operator=(const ImageCheck &) = delete;

    // Effect: checks what the image holds now. Requires: none was started since the last stop().
    void start();
    // Effect: what is written from now on is not held against earlier checksums.
    void stop();

  private:
    struct Work {
        std::uint64_t round;
        std::shared_ptr<const Image::Checksums> pages;
    };

    void run();
    void check(const Work & work) const;
    // Effect: returns when the main loop rests, or `until` has come, or the work is of no interest any more.
    void wait_for_rest(const Work & work, std::chrono::steady_clock::time_point until) const;

    const Image & image_;
    std::atomic<std::uint64_t> round_{0};  // a check of an earlier one is of no interest
    // No mutex: a thread of the lowest priority that is put aside while it holds one would make others wait.
    std::atomic<Work *> next_{nullptr};
    std::atomic<bool> ending_{false};
    sem_t wanted_;
    std::thread thread_;  // from the first start() on
};

}  // namespace minerva::engine
