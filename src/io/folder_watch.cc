#include "io/folder_watch.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>

#include "base/log.h"
#include "io/asio.h"

namespace minerva::io {
namespace {

constexpr auto kQuiet = std::chrono::milliseconds(100);

constexpr std::uint32_t mask_of(FolderWatch::Notice notice) {
  constexpr std::uint32_t kWritten = IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR;
  if (notice == FolderWatch::Notice::kWritten) return kWritten;
  return kWritten | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF;
}

class InotifyWatch final : public FolderWatch {
 public:
  InotifyWatch(Loop& loop, int descriptor, Notice notice, std::function<void()> changed)
      : state_(std::make_shared<State>(loop, descriptor)), mask_(mask_of(notice)), changed_(std::move(changed)) {
    listen();
  }
  ~InotifyWatch() override {
    state_->alive = false;
    state_->timer.cancel();
    boost::system::error_code ignored;
    state_->inotify.close(ignored);
  }

  std::vector<std::string> watch(const std::vector<std::string>& folders) override {
    const std::set<std::string> wanted(folders.begin(), folders.end());
    for (auto it = watches_.begin(); it != watches_.end();) {
      const bool stays = wanted.contains(it->second);
      if (!stays) ::inotify_rm_watch(descriptor(), it->first);
      it = stays ? std::next(it) : watches_.erase(it);
    }
    std::set<std::string> watched;
    for (const auto& [watch, folder] : watches_) watched.insert(folder);
    std::vector<std::string> fresh;
    for (const std::string& folder : wanted) {
      if (watched.contains(folder)) continue;
      const int watch = ::inotify_add_watch(descriptor(), folder.c_str(), mask_);
      if (watch >= 0) {
        watches_[watch] = folder;
        fresh.push_back(folder);
      } else if (refused_.insert(folder).second) {
        log::warn("changes in {} will be noticed late: it cannot be watched ({})", folder, std::strerror(errno));
      }
    }
    return fresh;
  }

  bool take_changes() override {
    drain();
    return std::exchange(state_->changed, false);
  }

 private:
  // Outlives the FolderWatch while a callback of Asio is under way.
  struct State {
    State(Loop& loop, int descriptor) : inotify(loop.impl().context, descriptor), timer(loop) {}
    StreamDescriptor inotify;
    Timer timer;
    bool changed = false;
    bool alive = true;
  };

  int descriptor() { return state_->inotify.native_handle(); }

  void listen() {
    state_->inotify.async_wait(StreamDescriptor::wait_read,
                               [this, state = state_](const boost::system::error_code& error) {
                                 if (error || !state->alive) return;
                                 drain();
                                 listen();
                               });
  }

  void drain() {
    alignas(inotify_event) std::array<char, 16384> buffer{};
    bool some = false;
    while (true) {
      const ssize_t count = ::read(descriptor(), buffer.data(), buffer.size());
      if (count <= 0) break;
      for (const char* at = buffer.data(); at < buffer.data() + count;) {
        inotify_event event{};
        std::memcpy(&event, at, sizeof(event));
        at += sizeof(event) + event.len;
        if ((event.mask & IN_IGNORED) != 0) {
          watches_.erase(event.wd);  // the folder is gone, or watch() removed it
        } else {
          some = true;
        }
      }
    }
    if (!some) return;
    state_->changed = true;
    // Each change starts the wait anew: a program that copies many files, or writes one in pieces, can finish first.
    state_->timer.arm(Clock::now() + kQuiet, [this] {
      if (std::exchange(state_->changed, false)) changed_();
    });
  }

  std::shared_ptr<State> state_;
  std::uint32_t mask_;
  std::function<void()> changed_;
  std::map<int, std::string> watches_;  // folder by watch
  std::set<std::string> refused_;       // folders that could not be watched
};

}  // namespace

Result<std::unique_ptr<FolderWatch>> FolderWatch::open(Loop& loop, Notice notice, std::function<void()> changed) {
  const int descriptor = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (descriptor < 0) return fail(ErrorCode::kIo, fmt::format("files cannot be watched: {}", std::strerror(errno)));
  return std::make_unique<InotifyWatch>(loop, descriptor, notice, std::move(changed));
}

}  // namespace minerva::io
