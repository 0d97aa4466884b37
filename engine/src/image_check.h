// Compares a parked model's image with its checksums, in the background.
//
// Purpose: a check before a wake would cost more than the wake. So it comes after the wake, at the lowest priority and
// while the main loop rests: a check beside the inference would share the memory's bandwidth with it. A loop that does
// not rest can delay the check for kPatience at most. The check ends the process if the image is not what was written.
// Threading: one thread at a time. Neither start() nor stop() waits for the check, which may not get the processor for
// long.
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

    // Effect: checks what the image holds now. Requires: stop() was called since the last start().
    void start();
    // Effect: later writes are not compared with earlier checksums.
    void stop();

  private:
    struct Work {
        std::uint64_t round;
        std::shared_ptr<const Image::Checksums> pages;
    };

    void run();
    void check(const Work & work) const;
    // Effect: returns when the main loop rests, when `until` has come, or when nobody wants the work any more.
    void wait_for_rest(const Work & work, std::chrono::steady_clock::time_point until) const;

    const Image & image_;
    std::atomic<std::uint64_t> round_{0};  // the check of an earlier round is no longer wanted
    // No mutex: if a thread of the lowest priority lost the processor while it held one, other threads would wait for
    // it.
    std::atomic<Work *> next_{nullptr};
    std::atomic<bool> ending_{false};
    sem_t wanted_;
    std::thread thread_;  // from the first start() on
};

}  // namespace minerva::engine
