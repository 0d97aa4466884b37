#include "host/access_trace.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <optional>
#include <random>
#include <utility>

#include "base/log.h"

namespace minerva {
namespace {

constexpr std::string_view kFirstLine = "arrival_s,model,user,service_s\n";
constexpr std::size_t kMostPending = std::size_t{4} << 20;  // bytes
// Lines of so long a time are written together: waking a thread for each line costs as much as the rest of a short
// request.
constexpr Duration kTogether = std::chrono::milliseconds(250);

Failure failed(std::string_view what, const std::string& path) {
  return fail(ErrorCode::kIo, fmt::format("cannot {} {}: {}", what, path, std::strerror(errno)));
}

// How many bytes of the file are whole lines. On an error, errno holds the reason.
std::optional<std::uint64_t> whole_lines(int file, std::uint64_t size) {
  std::array<char, 4096> part{};
  while (size > 0) {
    const std::uint64_t begin = size - std::min<std::uint64_t>(size, part.size());
    const ssize_t got = ::pread(file, part.data(), size - begin, static_cast<off_t>(begin));
    if (got <= 0) return std::nullopt;
    const std::string_view text(part.data(), static_cast<std::size_t>(got));
    if (const std::size_t end = text.rfind('\n'); end != std::string_view::npos) return begin + end + 1;
    size = begin;
  }
  return 0;
}

// Whether the file begins as a trace does: Minerva shortens, replaces or appends to no other file. It may hold only a
// part of the first line, if the process died while it wrote that line.
bool begins_as_a_trace(int file) {
  std::string begin(kFirstLine.size(), '\0');
  const ssize_t got = ::pread(file, begin.data(), begin.size(), 0);
  return got >= 0 && kFirstLine.starts_with(std::string_view(begin).substr(0, static_cast<std::size_t>(got)));
}

// Whether a trace may be renamed to `path`: nothing is there, or another trace.
bool may_be_replaced(const std::string& path) {
  const io::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  return file ? begins_as_a_trace(*file) : errno == ENOENT;
}

Failure no_trace(const std::string& path) {
  return fail(ErrorCode::kIo, fmt::format("{} is no trace of Minerva's, so it stays as it is: move it away", path));
}

// What the wall clock showed at `when`.
std::chrono::system_clock::time_point wall_clock(TimePoint when) {
  return std::chrono::system_clock::now() -
         std::chrono::duration_cast<std::chrono::system_clock::duration>(Clock::now() - when);
}

template <typename Span>
std::string in_seconds(Span span) {
  const std::int64_t ms =
      std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(span).count(), 0);
  return fmt::format("{}.{:03}", ms / 1000, ms % 1000);
}

}  // namespace

std::string AccessFiles::path(unsigned age) const {
  return age == 0 ? folder_ + "/access.csv" : fmt::format("{}/access.{}.csv", folder_, age);
}

Result<void> AccessFiles::open() {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(folder_).parent_path(), error);
  if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) return failed("make the folder", folder_);
  file_ = files_.open(path(0), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  struct stat status{};
  if (!file_ || ::fstat(*file_, &status) != 0) return failed("open", path(0));
  if (!S_ISREG(status.st_mode) || !begins_as_a_trace(*file_)) return no_trace(path(0));
  if (::fchmod(*file_, 0600) != 0) return failed("open", path(0));
  size_ = static_cast<std::uint64_t>(status.st_size);
  const auto whole = whole_lines(*file_, size_);
  if (!whole) return failed("read", path(0));
  if (*whole < size_ && files_.truncate(*file_, *whole) != 0) return failed("shorten", path(0));
  size_ = *whole;
  return size_ == 0 ? write(kFirstLine) : Result<void>();
}

Result<void> AccessFiles::rotate() {
  if (files_.sync(*file_) != 0) return failed("sync", path(0));
  file_.reset();
  for (unsigned age = limits_.files - 1; age > 0; --age) {
    const std::string older = path(age - 1);
    if (!may_be_replaced(path(age))) return no_trace(path(age));
    if (files_.rename(older, path(age), 0) != 0 && errno != ENOENT) return failed("rename", older);
  }
  // Needed only when `limits_.files` is 1: with more files the loop above has renamed this one.
  if (files_.unlink(path(0)) != 0 && errno != ENOENT) return failed("remove", path(0));
  return open();
}

Result<void> AccessFiles::write(std::string_view text) {
  const ssize_t written = files_.write(*file_, text);
  if (written == static_cast<ssize_t>(text.size())) {
    size_ += text.size();
    return {};
  }
  if (written >= 0) errno = ENOSPC;  // the disk had room for a part of it
  const int reason = errno;
  // The next line would be appended to half a line. If the truncation fails too, open() does it later.
  static_cast<void>(files_.truncate(*file_, size_));
  errno = reason;
  return failed("write", path(0));
}

Result<void> AccessFiles::append(std::string_view lines) {
  Result<void> done = !file_ ? open() : Result<void>();
  if (done && size_ + lines.size() > limits_.file.count() && size_ > kFirstLine.size()) done = rotate();
  if (done) done = write(lines);
  if (!done) file_.reset();
  return done;
}

struct AccessTrace::Writer {
  Writer(std::string folder, AccessFiles::Limits limits, io::Files& files_to_use)
      : files(std::move(folder), limits, files_to_use) {}

  // Writes the pending lines. Blocks.
  void write() {
    const std::lock_guard writing(file_mutex);
    std::string lines;
    {
      const std::lock_guard lock(queue_mutex);
      lines.swap(pending);
    }
    if (lines.empty()) return;
    if (const Result<void> done = files.append(lines); !done) warn(done.error().message);
  }
  bool has_pending() {
    const std::lock_guard lock(queue_mutex);
    return !pending.empty();
  }
  void warn(std::string_view reason) {
    if (!warned.exchange(true)) {
      log::warn("requests are missing in the trace for `minerva policy compare`: {}", reason);
    }
  }

  std::mutex queue_mutex;  // never held while a file is written
  std::string pending;

  std::mutex file_mutex;
  AccessFiles files;
  std::atomic<bool> warned = false;
};

AccessTrace::AccessTrace(io::Loop& loop, std::string folder, AccessFiles::Limits limits, io::Files& files)
    : loop_(loop), writer_(std::make_shared<Writer>(std::move(folder), limits, files)), timer_(loop) {}

AccessTrace::~AccessTrace() { writer_->write(); }

std::uint32_t AccessTrace::number_of(UserId user) {
  if (user == UserId{}) return 0;
  const auto found = numbers_.find(user);
  return found != numbers_.end() ? found->second : numbers_[user] = std::random_device()() | 1U;
}

void AccessTrace::record(const Access& access) {
  const std::string line = fmt::format("{},{},{},{}\n", in_seconds(wall_clock(access.arrival).time_since_epoch()),
                                       access.model, number_of(access.user), in_seconds(access.service));
  {
    const std::lock_guard lock(writer_->queue_mutex);
    if (writer_->pending.size() + line.size() > kMostPending) {
      writer_->warn("the disk does not follow");
      return;
    }
    writer_->pending += line;
  }
  write_soon();
}

void AccessTrace::write_soon() {
  if (std::exchange(scheduled_, true)) return;
  timer_.arm(Clock::now() + kTogether, [this] {
    loop_.offload(
        io::Lane::kDisk, [writer = writer_] { writer->write(); },
        [this, still = std::weak_ptr(alive_)] {
          if (still.expired()) return;
          scheduled_ = false;
          if (writer_->has_pending()) write_soon();
        });
  });
}

}  // namespace minerva
