#include "io/state_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/crc.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "io/descriptor.h"

namespace minerva::io {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxBytes = 64U << 20;
constexpr mode_t kOwnerOnly = 0600;
constexpr std::string_view kFirst = R"({"minerva":)";  // the beginning of each of our files

std::uint32_t checksum(std::string_view content) {
  boost::crc_32_type crc;
  crc.process_bytes(content.data(), content.size());
  return crc.checksum();
}

// The file's text; nothing if there is no such file. Errors: kIo.
Result<std::optional<std::string>> read_file(const std::string& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd) return fail(ErrorCode::kIo, std::strerror(errno));
  struct stat status{};
  if (::fstat(*fd, &status) != 0 || !S_ISREG(status.st_mode)) return fail(ErrorCode::kIo, "it is no file");
  std::string text;
  constexpr std::size_t kPiece = 1U << 16;
  while (true) {
    const std::size_t before = text.size();
    if (before > kMaxBytes) return fail(ErrorCode::kIo, "it is too large");
    text.resize(before + kPiece);
    const ssize_t got = ::read(*fd, text.data() + before, kPiece);
    if (got < 0 && errno == EINTR) {
      text.resize(before);
      continue;
    }
    if (got < 0) return fail(ErrorCode::kIo, std::strerror(errno));
    text.resize(before + static_cast<std::size_t>(got));
    if (got == 0) return text;
  }
}

// Whether the file at `path` may be replaced: there is none, it is empty, or it begins as Minerva's files do, damaged
// or not.
bool may_be_replaced(const std::string& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return errno == ENOENT;
  std::string begin(kFirst.size(), '\0');
  const ssize_t got = ::read(*fd, begin.data(), begin.size());
  return got == 0 || (got > 0 && kFirst.starts_with(std::string_view(begin).substr(0, static_cast<std::size_t>(got))));
}

// Renames, but only to a name that no file has. Returns false, with errno set, if it fails.
bool rename_to_free_name(Files& files, const std::string& from, const std::string& to) {
  if (files.rename(from, to, RENAME_NOREPLACE) == 0) return true;
  // Some network file systems do not have RENAME_NOREPLACE.
  return errno == EINVAL && files.link(from, to) == 0 && files.unlink(from) == 0;
}

bool write_all(Files& files, int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = files.write(fd, text);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return files.sync(fd) == 0;
}

}  // namespace

std::string StateFile::wrap(const Format& format, std::string_view content) {
  return fmt::format("{}\"{}\",\"version\":{},\"crc32\":\"{:08x}\"}}\n{}", kFirst, format.name, format.version,
                     checksum(content), content);
}

Result<std::string> StateFile::unwrap(const Format& format, std::string_view file) {
  const std::size_t end = file.find('\n');
  const std::string_view head = file.substr(0, end == std::string_view::npos ? 0 : end);
  const std::string whose = fmt::format("{}\"{}\",\"version\":", kFirst, format.name);
  if (!head.starts_with(whose)) return fail(ErrorCode::kIo, "it does not begin as such a file does");
  if (!head.starts_with(fmt::format("{}{},", whose, format.version))) {
    return fail(ErrorCode::kIo, "it is of another version of Minerva");
  }
  const std::string_view content = file.substr(end + 1);
  if (wrap(format, content) != file) return fail(ErrorCode::kIo, "it is damaged");
  return std::string(content);
}

std::optional<std::string> StateFile::read() const {
  const Result<std::optional<std::string>> file = read_file(path_);
  if (file && !*file) return std::nullopt;
  if (!file) {
    log::warn("{} is ignored, as it cannot be read ({}): {}", path_, file.error().message, format_.loss);
    return std::nullopt;
  }
  Result<std::string> content = unwrap(format_, **file);
  if (content) return *std::move(content);
  set_aside(content.error().message);
  return std::nullopt;
}

void StateFile::set_aside(std::string_view why) const {
  constexpr int kMostAside = 20;
  for (int i = 1; i <= kMostAside; ++i) {
    const std::string aside = path_ + (i == 1 ? ".damaged" : fmt::format(".damaged.{}", i));
    if (rename_to_free_name(*files_, path_, aside)) {
      log::warn("{} cannot be used: {}. It is kept as {}; {}", path_, why, aside, format_.loss);
      return;
    }
    if (errno != EEXIST) break;
  }
  log::warn("{} cannot be used: {}. {}", path_, why, format_.loss);
}

Result<void> StateFile::write(std::string_view content) const {
  // Always the same name, so that killed writers leave no litter.
  const std::string temporary = path_ + ".new";
  const auto failed = [&](const char* what) {
    const int error = errno;
    files_->unlink(temporary);
    return fail(ErrorCode::kIo, fmt::format("cannot {} {}: {}", what, path_, std::strerror(error)));
  };
  if (!may_be_replaced(path_)) {
    return fail(ErrorCode::kIo, fmt::format("{} is no file of Minerva's, so it is not replaced: move it away", path_));
  }
  const fs::path folder = fs::path(path_).parent_path();
  std::error_code ignored;
  fs::create_directories(folder, ignored);
  files_->unlink(temporary);
  {
    const Descriptor fd = files_->open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kOwnerOnly);
    if (!fd || !write_all(*files_, *fd, wrap(format_, content))) return failed("write");
  }
  if (files_->rename(temporary, path_, 0) != 0) return failed("put in place");
  // Syncs the name too. A file system that cannot sync folders has done what it can.
  const Descriptor names = files_->open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (!names || (files_->sync(*names) != 0 && errno != EINVAL)) return failed("sync the folder of");
  return {};
}

// ---- StateSaver ----

struct StateSaver::Writer {
  explicit Writer(StateFile state_file) : file(std::move(state_file)) {}

  // Writes the newest pending text, on whichever thread comes first. So an older content never replaces a newer one.
  void write() {
    const std::lock_guard one_at_a_time(writing);
    std::uint64_t number = 0;
    std::optional<std::string> text = take(&number);
    if (!text) return;
    const Result<void> done = file.write(*text);
    if (!done) keep(*std::move(text));
    if (done) written = number;
    if (!done && !failing) log::warn("{}", done.error().message);
    failing = !done;
  }
  // Nothing is written after this returns.
  void close() {
    closed = true;
    take();
    const std::lock_guard until_it_is_written(writing);
    take();
  }

  void set(std::string text) {
    const std::lock_guard lock(mutex);
    pending = std::move(text);
    ++given;
  }
  std::optional<std::string> take(std::uint64_t* number = nullptr) {
    const std::lock_guard lock(mutex);
    if (number != nullptr) *number = given;
    return std::exchange(pending, std::nullopt);
  }
  // A write failed: its text stays pending, unless there is a newer one.
  void keep(std::string text) {
    const std::lock_guard lock(mutex);
    if (!pending) pending = std::move(text);
  }
  bool has_more() {
    const std::lock_guard lock(mutex);
    return pending.has_value();
  }

  const StateFile file;
  bool closed = false;  // the loop's thread alone reads and writes it
  std::mutex writing;
  bool failing = false;  // the failure is in the log already
  std::mutex mutex;      // never held while a file is written
  std::optional<std::string> pending;
  std::uint64_t given = 0;                 // how many there were
  std::atomic<std::uint64_t> written = 0;  // the newest of them that is on disk
};

StateSaver::StateSaver(Loop& loop, StateFile file, Duration period, Content content)
    : loop_(loop),
      period_(period),
      content_(std::move(content)),
      timer_(loop),
      writer_(std::make_shared<Writer>(std::move(file))) {}

StateSaver::~StateSaver() { writer_->close(); }

void StateSaver::changed() {
  if (std::exchange(armed_, true)) return;
  const TimePoint now = Clock::now();
  arm(last_ ? std::max(now, *last_ + period_) : now);
}

void StateSaver::save_now(std::function<void()> then) {
  asking_.push_back(std::move(then));
  armed_ = true;
  arm(Clock::now());
}

void StateSaver::arm(TimePoint when) {
  timer_.arm(when, [this] {
    armed_ = false;
    save();
  });
}

void StateSaver::save() {
  if (std::optional<std::string> content = content_()) writer_->set(*std::move(content));
  for (auto& then : std::exchange(asking_, {})) waiting_.push_back({writer_->given, std::move(then)});
  if (!writer_->has_more()) return tell_waiting();
  last_ = Clock::now();
  loop_.offload(
      Lane::kDisk, [writer = writer_] { writer->write(); },
      [this, writer = writer_] {
        if (writer->closed) return;  // and this is gone
        tell_waiting();
        if (writer->has_more()) changed();  // it failed, or there is a newer one
      });
}

void StateSaver::tell_waiting() {
  // They are in the order of what they wait for.
  const auto behind = std::find_if(waiting_.begin(), waiting_.end(),
                                   [this](const Waiting& each) { return each.given > writer_->written; });
  const std::vector<Waiting> told(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(behind));
  waiting_.erase(waiting_.begin(), behind);
  for (const Waiting& each : told) each.then();
}

void StateSaver::finish() {
  timer_.cancel();
  armed_ = false;
  if (std::optional<std::string> content = content_()) writer_->set(*std::move(content));
  writer_->write();
}

}  // namespace minerva::io
