#include "image_check.h"

#include <pthread.h>
#include <sched.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "main_loop.h"

namespace minerva::engine {

ImageCheck::ImageCheck(const Image & image) : image_(image) { sem_init(&wanted_, 0, 0); }

ImageCheck::~ImageCheck() {
    stop();
    ending_ = true;
    sem_post(&wanted_);
    if (thread_.joinable()) {
        thread_.join();
    }
    delete next_.load();
    sem_destroy(&wanted_);
}

void ImageCheck::start() {
    if (!thread_.joinable()) {
        thread_ = std::thread([this] { run(); });
    }
    delete next_.exchange(new Work{round_, image_.checksums()});
    sem_post(&wanted_);
}

void ImageCheck::stop() { ++round_; }

void ImageCheck::run() {
    const sched_param none{};
    pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
    while (!ending_) {
        sem_wait(&wanted_);
        if (const std::unique_ptr<Work> work(next_.exchange(nullptr)); work) {
            check(*work);
        }
    }
}

void ImageCheck::check(const Work & work) const {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    for (std::size_t page = 0; page < work.pages->size(); ++page) {
        const std::uint64_t checksum = (*work.pages)[page];
        if (checksum == 0) {
            continue;
        }
        if (!main_loop_rests()) {
            wait_for_rest(work, until);
        }
        if (work.round != round_) {
            return;
        }
        // If the check was stopped meanwhile, the page may have been written anew.
        if (!image_.holds(page, checksum) && work.round == round_) {
            std::fputs("minerva-engine: E parking: its image is damaged\n", stderr);
            std::abort();
        }
    }
}

void ImageCheck::wait_for_rest(const Work & work, std::chrono::steady_clock::time_point until) const {
    constexpr std::chrono::milliseconds kLook{5};
    while (!main_loop_rests() && work.round == round_ && !ending_ && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(kLook);
    }
}

}  // namespace minerva::engine
