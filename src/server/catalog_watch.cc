#include "server/catalog_watch.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "catalog/model_files.h"
#include "io/beside.h"

namespace minerva {
namespace {

// For how long a look at files is trusted where nobody reports changes.
constexpr auto kTrusted = std::chrono::seconds(1);

bool trusted(std::optional<TimePoint> looked) { return looked && Clock::now() - *looked < kTrusted; }

}  // namespace

void CatalogWatch::start() {
  auto watch = io::FolderWatch::open(loop_, io::FolderWatch::Notice::kAny, [this] { loop_.spawn(refresh()); });
  if (watch) {
    watch_ = std::move(*watch);
  } else {
    log::warn("{}; new models will be noticed late", watch.error().message);
  }
  catalog_.on_surprise([this] { loop_.spawn(refresh()); });
  last_begun_ = Clock::now();
  bool again = true;
  while (again) again = take(Catalog::scan(catalog_.options()));
}

io::Task<void> CatalogWatch::refresh() {
  if (watch_) watch_->take_changes();
  wanted_ = begun_ + 1;
  return finish(wanted_);
}

io::Task<void> CatalogWatch::refresh_if_changed() {
  if (watch_ == nullptr || changed() || !trusted(last_begun_)) wanted_ = begun_ + 1;
  return finish(wanted_);
}

io::Task<void> CatalogWatch::check_files(ModelId model) {
  if (changed()) wanted_ = begun_ + 1;
  if (finished_ < wanted_) co_return co_await finish(wanted_);
  const ModelSpec* const spec = catalog_.find(model);
  if (spec == nullptr || !spec->command.argv.empty()) co_return;
  const auto looked_at = looked_at_.find(spec->id);
  if (trusted(last_begun_) || (looked_at != looked_at_.end() && trusted(looked_at->second))) co_return;
  looked_at_.insert_or_assign(spec->id, Clock::now());
  const std::string known = spec->identity;
  const auto now =
      co_await io::beside<std::string>(loop_, io::Lane::kAwaited, [files = *spec] { return files_identity(files); });
  if (now != known) co_await refresh();
}

io::Task<void> CatalogWatch::finish(std::uint64_t reading) {
  while (finished_ < reading) {
    if (begun_ == finished_) {
      co_await read();
      continue;
    }
    io::Signal done(loop_);
    waiting_.push_back(&done);
    co_await done.wait();
  }
}

io::Task<void> CatalogWatch::read() {
  ++begun_;
  last_begun_ = Clock::now();
  auto result = co_await io::beside<ScanResult>(loop_, io::Lane::kAwaited,
                                                [options = catalog_.options()] { return Catalog::scan(options); });
  const bool again = take(std::move(result));
  finished_ = begun_;
  if (again) wanted_ = begun_ + 1;
  for (io::Signal* const signal : std::exchange(waiting_, {})) signal->notify();
  if (again) co_await finish(wanted_);
}

bool CatalogWatch::take(ScanResult result) {
  std::set<std::string> problems(result.problems.begin(), result.problems.end());
  for (const std::string& problem : problems) {
    if (!problems_.contains(problem)) log::warn("{}", problem);
  }
  problems_ = std::move(problems);
  const bool again = watch_ && !watch_->watch(result.folders).empty();
  looked_at_.clear();
  host_.apply(catalog_.apply(std::move(result)));
  taken_();
  return again;
}

}  // namespace minerva
