#include "conversations/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <filesystem>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "conversations/folder_name.h"
#include "conversations/seed.h"

namespace minerva::conversations {
namespace {

// How often age and room are looked at.
constexpr Duration kLookPeriod = std::chrono::hours(1);
// How long a disk that failed is left alone: a full disk seldom has room again at once.
constexpr Duration kTryAgain = std::chrono::minutes(1);
// A disk that needs longer for one file has no part in any decision about models.
constexpr Duration kStuckAfter = std::chrono::seconds(2);
// What is evicted again so soon was not worth writing.
constexpr WallTime::duration kTooSoon = std::chrono::minutes(1);

WallTime wall_now() { return std::chrono::system_clock::now(); }

// The table is sorted only when so much of the budget was written since.
Bytes after_eviction(Bytes budget) { return budget - Bytes(budget.count() / 20); }

}  // namespace

// Carries out one piece of work after the other, on a thread of the disk's lane.
class Store::DiskQueue : public std::enable_shared_from_this<Store::DiskQueue> {
 public:
  explicit DiskQueue(io::Loop& loop) : loop_(loop) {}

  void add(std::function<void()> work, std::function<void()> done) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({std::move(work), std::move(done)});
    if (std::exchange(running_, true)) return;
    begun_ = Clock::now();
    loop_.offload(io::Lane::kDisk, [self = shared_from_this()] { self->run(); }, [] {});
  }

  void await_end() {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return !running_; });
  }

  // For how long the work under way has gone on.
  Duration working_for() {
    const std::lock_guard lock(mutex_);
    return running_ ? Clock::now() - begun_ : Duration::zero();
  }

 private:
  struct Job {
    std::function<void()> work;
    std::function<void()> done;
  };

  void run() {
    std::unique_lock lock(mutex_);
    while (!jobs_.empty()) {
      {
        Job job = std::move(jobs_.front());
        jobs_.pop_front();
        begun_ = Clock::now();
        lock.unlock();
        job.work();
        loop_.post(std::move(job.done));
      }
      lock.lock();
    }
    running_ = false;
    ended_.notify_all();
  }

  io::Loop& loop_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::deque<Job> jobs_;
  bool running_ = false;
  TimePoint begun_{};  // of the work under way
};

Store::Store(io::Loop& loop, std::string root, std::function<double(const ModelId&)> cost_of_token, io::Files& files)
    : loop_(loop),
      root_(std::move(root)),
      cost_of_token_(std::move(cost_of_token)),
      files_(files),
      timer_(loop),
      queue_(std::make_shared<DiskQueue>(loop)) {}

Store::~Store() {
  queue_->await_end();
  // Of models of which nothing was saved.
  remove_files(root_, {}, /*folders=*/true, files_);
}

void Store::finish() { queue_->await_end(); }

bool Store::is_stuck() const { return queue_->working_for() > kStuckAfter; }

// Closing a file that has no name frees its blocks, for which the loop's thread must not wait.
std::shared_ptr<NewFile> Store::closed_by_queue(NewFile file) {
  return {new NewFile(std::move(file)), [queue = std::weak_ptr(queue_)](NewFile* closed) {
            std::shared_ptr<NewFile> owned(closed);
            if (const auto still = queue.lock()) still->add([owned = std::move(owned)] {}, [] {});
          }};
}

template <typename Made>
void Store::on_disk(std::function<Made()> work, std::function<void(Made)> then) {
  const auto made = std::make_shared<std::optional<Made>>();
  queue_->add([made, work = std::move(work)] { *made = work(); },
              [made, still = std::weak_ptr(alive_), then = std::move(then)] {
                if (!still.expired()) then(std::move(**made));
              });
}

Place Store::place(const std::string& folder, const std::string& tenant) const {
  return {std::filesystem::path(folder).filename().string(), tenant};
}

std::string Store::path_of(const Place& place, const protocol::SegmentName& name) const {
  return fmt::format("{}/{}/{}/{}", root_, place.folder, place.tenant, protocol::to_text(name));
}

void Store::apply(std::optional<Settings> settings) {
  settings_ = std::move(settings);
  if (was_read_) return settings_ ? look_at_disk() : enforce();
  if (std::exchange(reading_, true)) return;
  on_disk<FoundOnDisk>([this] { return find_segments(root_, files_); },
                       [this](FoundOnDisk found) { take_found(std::move(found)); });
}

void Store::take_found(FoundOnDisk found) {
  was_read_ = true;
  const SegmentTable::Segments worthless = table_.load(std::move(found.segments));
  remove(worthless);
  room_ = found.free + table_.bytes();
  for (const auto& [model, tenant] : std::exchange(early_clears_, {})) clear(model, tenant);
  enforce();
  if (table_.size() > 0) {
    log::info("{} of conversations are kept, in {} segments", format_bytes(table_.bytes()), table_.size());
  }
}

void Store::look_at_disk() {
  on_disk<Bytes>([root = root_] { return free_on_disk(root); },
                 [this](Bytes free) {
                   room_ = free + table_.bytes();
                   enforce();
                 });
}

void Store::enforce() {
  if (!settings_) {
    timer_.cancel();
    budget_ = Bytes();
    keeping_.clear();
    return remove(table_.take_if([](const Place&) { return true; }));
  }
  // The clock may have been ahead when they were used.
  table_.forget_later_uses(wall_now());
  const auto remove_because = [this](const SegmentTable::Segments& segments, std::string_view why) {
    if (!segments.empty()) log::info("{} segments of conversations are removed: {}", segments.size(), why);
    remove(segments);
  };
  const auto is_others = [this](const Place& place) { return !settings_->tenants.contains(place.tenant); };
  stop_keeping(is_others);
  remove_because(table_.take_if(is_others), "no API key of the config is that of their owner");
  remove_because(
      table_.take_unused_since(wall_now() - std::chrono::duration_cast<WallTime::duration>(settings_->max_age)),
      "they were not used for conversations.max_age");
  budget_ = settings_->budget(room_);
  if (table_.bytes() > budget_) {
    const auto cost = [this](const std::string& folder) { return worth_of_token(folder); };
    const SegmentTable::Segments evicted = table_.take_worst(after_eviction(budget_), wall_now(), cost);
    log::info("{} segments of conversations make room: {} are kept, of at most {}", evicted.size(),
              format_bytes(table_.bytes()), format_bytes(budget_));
    remove(evicted);
    const bool in_vain = std::ranges::any_of(
        evicted, [now = wall_now()](const PlacedSegment& each) { return now - each.segment.used < kTooSoon; });
    if (in_vain) note_failure("conversations.disk is less than what is in use");
  }
  timer_.arm(Clock::now() + kLookPeriod, [this] { look_at_disk(); });
}

// Nobody can use what was saved for a model whose files or engine were others.
double Store::worth_of_token(const std::string& folder) const {
  const std::optional<ModelId> model = model_of_folder(folder);
  if (!model) return 0;
  const auto current = current_.find(*model);
  return current == current_.end() || current->second == folder ? cost_of_token_(*model) : 0;
}

// Where nothing is kept any more, the folders go too.
void Store::remove(const SegmentTable::Segments& segments, std::function<void(std::string why_not)> then) {
  const bool all = !settings_;
  if (segments.empty() && !all) {
    if (then) then("");
    return;
  }
  std::vector<std::string> paths;
  paths.reserve(segments.size());
  for (const PlacedSegment& segment : segments) paths.push_back(path_of(segment.place, segment.segment.name));
  on_disk<NotRemoved>([&files = files_, root = root_, paths = std::move(paths),
                       all] { return remove_files(root, paths, /*folders=*/all, files); },
                      [this, segments, then = std::move(then)](const NotRemoved& left) {
                        if (!left.paths.empty()) put_back(segments, left);
                        if (then) then(left.paths.empty() ? "" : std::strerror(left.error));
                      });
}

void Store::put_back(const SegmentTable::Segments& segments, const NotRemoved& left) {
  log::warn(
      "{} files with conversations cannot be removed from {}: {}. Make the folder writable, and remove them with "
      "`minerva conversations clear`",
      left.paths.size(), root_, std::strerror(left.error));
  // Children come before their parents there.
  for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
    if (left.paths.contains(path_of(segment->place, segment->segment.name)))
      table_.add(segment->place, segment->segment);
  }
}

void Store::prepare(const ModelId& model, std::vector<std::string> files, std::string meaning,
                    std::function<void(std::string folder)> done) {
  const auto folder = std::make_shared<std::string>();
  const auto why_not = std::make_shared<std::string>();
  const auto make = [folder, why_not, root = root_, model, files = std::move(files), meaning = std::move(meaning)] {
    const Result<std::string> digest = files_digest(files);
    if (!digest) return;  // the load will say so, too
    const std::string name = folder_name(model, seed_of(meaning, *digest));
    if (make_folder(root, name)) {
      *folder = fmt::format("{}/{}", root, name);
    } else {
      *why_not = std::strerror(errno);
    }
  };
  const auto then = [this, still = std::weak_ptr(alive_), model, folder, why_not, done = std::move(done)] {
    if (still.expired()) return;
    if (!why_not->empty()) note_failure(*why_not);
    if (!folder->empty()) current_[model] = place(*folder, "").folder;
    done(settings_ ? *folder : std::string());
  };
  if (settings_) return loop_.offload(io::Lane::kAwaited, make, then);
  loop_.post(then);
}

void Store::make_file(const std::string& folder, std::function<void(MadeFile)> done) {
  const bool can = settings_ && was_read_ && (!next_try_ || Clock::now() >= *next_try_);
  if (!can) {
    return loop_.post([still = std::weak_ptr(alive_), never = !settings_, done = std::move(done)] {
      if (!still.expired()) done({nullptr, never});
    });
  }
  struct Made {
    std::shared_ptr<NewFile> file;
    int error = 0;
  };
  on_disk<Made>(
      [this, folder] {
        NewFile file = NewFile::make(folder, files_);
        return file.descriptor() < 0 ? Made{nullptr, errno} : Made{closed_by_queue(std::move(file))};
      },
      [this, folder, done = std::move(done)](Made made) {
        // The engine may read the folder that it was started with, and no other one of that name.
        const bool gone = !made.file && made.error == ENOENT;
        if (gone) folder_gone(folder);
        if (!made.file && !gone) note_failure(std::strerror(made.error));
        done({std::move(made.file), gone});
      });
}

void Store::folder_gone(const std::string& folder) {
  const std::string name = place(folder, "").folder;
  const auto in_it = [&name](const Place& place) { return place.folder == name; };
  if (!table_.take_if(in_it).empty()) log::warn("the conversations in {} are gone: somebody has removed them", folder);
}

void Store::keep(const std::string& folder, std::shared_ptr<NewFile> file, const std::string& tenant,
                 const protocol::SegmentName& name, std::function<void(bool kept)> done) {
  PlacedSegment segment{place(folder, tenant), {name, Bytes(), wall_now()}};
  const bool wanted = settings_ && settings_->tenants.contains(tenant) &&
                      (name.parent.is_none() || table_.contains(segment.place, name.parent));
  if (!wanted) {
    return loop_.post([still = std::weak_ptr(alive_), done = std::move(done)] {
      if (!still.expired()) done(/*kept=*/false);
    });
  }
  segment.segment.bytes = file->size();
  const std::string where = fmt::format("{}/{}", folder, tenant);
  const std::uint64_t keeping = ++last_keeping_;
  keeping_.emplace(keeping, segment.place);
  on_disk<int>([where, file = std::move(file), name] { return file->keep(where, protocol::to_text(name)); },
               [this, segment, keeping, done = std::move(done)](int error) { done(kept(segment, keeping, error)); });
}

bool Store::kept(const PlacedSegment& segment, std::uint64_t keeping, int error) {
  const bool cleared = keeping_.erase(keeping) == 0;
  if (error != 0) {
    // The file may have its name. Where there was one of that name before, that one or this one is there, whole.
    if (!table_.contains(segment.place, segment.segment.name.id)) remove({segment});
    note_failure(std::strerror(error));
    return false;
  }
  // A parent that was evicted meanwhile takes it along.
  const bool wanted = !cleared && table_.add(segment.place, segment.segment);
  if (!wanted) {
    remove({segment});
    return false;
  }
  if (std::exchange(next_try_, std::nullopt)) log::info("conversations are saved again");
  failure_.clear();
  ++counts_.saved_segments;
  counts_.saved += segment.segment.bytes;
  if (table_.bytes() > budget_) enforce();
  return true;
}

void Store::note_failure(const std::string& why) {
  ++counts_.failed;
  const bool is_first = !next_try_.has_value();
  next_try_ = Clock::now() + kTryAgain;
  failure_ = why;
  if (!is_first) return;
  log::warn(
      "conversations cannot be saved in {}: {}. Models serve as before, and saving is tried again from time to time",
      root_, why);
}

void Store::used(const std::string& folder, const std::string& tenant, protocol::SegmentId id, Restored restored) {
  ++counts_.restored_prompts;
  counts_.restored_tokens += restored.tokens;
  counts_.time_saved += restored.time_saved;
  const Place where = place(folder, tenant);
  const std::optional<Segment> segment = table_.touch(where, id, wall_now());
  if (!segment) return;
  queue_->add([&files = files_, path = path_of(where, segment->name)] { files.touch(path); }, [] {});
}

void Store::unusable(const std::string& folder, const std::string& tenant, protocol::SegmentId id) {
  ++counts_.unusable;
  remove(table_.take_tree(place(folder, tenant), id));
}

void Store::stop_keeping(const std::function<bool(const Place&)>& matches) {
  std::erase_if(keeping_, [&matches](const auto& keeping) { return matches(keeping.second); });
}

SegmentTable::Sum Store::clear(const ModelId& model, const std::string& tenant,
                               std::function<void(std::string why_not)> then) {
  const auto these = [&](const Place& place) {
    return (model.empty() || model_of_folder(place.folder) == model) && (tenant.empty() || place.tenant == tenant);
  };
  if (!was_read_) early_clears_.emplace_back(model, tenant);
  const SegmentTable::Segments taken = table_.take_if(these);
  stop_keeping(these);
  remove(taken, std::move(then));
  SegmentTable::Sum sum;
  sum.segments = taken.size();
  for (const PlacedSegment& segment : taken) sum.bytes += segment.segment.bytes;
  return sum;
}

std::map<ModelId, SegmentTable::Sum> Store::sums(const std::string& tenant) const {
  std::map<ModelId, SegmentTable::Sum> sums;
  for (const auto& [place, sum] : table_.sums()) {
    const std::optional<ModelId> model = model_of_folder(place.folder);
    if (!model || (!tenant.empty() && place.tenant != tenant)) continue;
    SegmentTable::Sum& total = sums[*model];
    total.bytes += sum.bytes;
    total.segments += sum.segments;
    total.used = std::max(total.used, sum.used);
  }
  return sums;
}

}  // namespace minerva::conversations
