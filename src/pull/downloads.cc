#include "pull/downloads.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <optional>
#include <random>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "pull/discard.h"

namespace minerva::pull {
namespace {

constexpr Duration kSavePeriod = std::chrono::seconds(1);
constexpr int kNice = 19;  // engines have precedence: a request waits for them

std::string make_id() {
  static std::mt19937_64 random{std::random_device{}()};
  return fmt::format("pull-{:016x}", random());
}

// The name without its query, since an address may be signed.
std::string loggable(const Job& job) { return job.name.substr(0, job.name.find('?')); }

}  // namespace

Downloads::Downloads(io::Loop& loop, const std::string& file, Hooks hooks, std::string boot, io::Files& files)
    : loop_(loop),
      hooks_(std::move(hooks)),
      boot_(std::move(boot)),
      saver_(loop, io::StateFile(file, kJobsFormat, files), kSavePeriod,
             [this, given = jobs_text({})]() mutable -> std::optional<std::string> {
               std::string text = jobs_text({jobs_.begin(), jobs_.end()});
               if (text == given) return std::nullopt;
               given = text;
               return text;
             }) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  const io::StateFile state(file, kJobsFormat, files);
  const std::optional<std::string> text = state.read();
  if (!text) return;
  auto jobs = parse_jobs(*text);
  if (!jobs) {
    state.set_aside(jobs.error().message);
    return;
  }
  for (Job& job : *jobs) {
    if (job.state == JobState::kRunning) job.state = JobState::kQueued;
    jobs_.push_back(std::move(job));
  }
  withdraw_doubtful();
}

Downloads::~Downloads() {
  for (const auto& work : works_) work->stop.set();
  for (const auto& work : works_) work->thread.join();
}

void Downloads::start() { begin_next(); }

Result<const Job*> Downloads::pull(const std::string& name, With with) {
  const auto endpoint = hub_endpoint();
  if (!endpoint) return fail(endpoint.error());
  const auto asked = parse_asked(name, *endpoint);
  if (!asked) return fail(asked.error());
  if (!asked->url.empty()) {
    if (with.any()) {
      return fail(ErrorCode::kInvalidArgument, "An address is one file: nothing comes along with it.", "with");
    }
    const auto url = parse_url(asked->url);
    if (!url) return fail(url.error());
    if (const auto allowed = HostRules(*endpoint, hooks_.settings().hosts).check(*url); !allowed) {
      return fail(allowed.error());
    }
  }
  std::size_t active = 0;
  for (Job& job : jobs_) {
    if (job.ended()) continue;
    if (job.name == name && job.with == with) {
      if (job.state == JobState::kPaused) static_cast<void>(resume(job.id));
      return &job;
    }
    ++active;
  }
  if (finishing_) return fail(ErrorCode::kDraining, "The server is shutting down.");
  if (active >= kMostActive) {
    return fail(Error{ErrorCode::kQueueFull,
                      fmt::format("{} downloads are waiting already. Cancel some, or wait.", active), "", 60});
  }
  Job job;
  job.id = make_id();
  job.name = name;
  job.with = with;
  job.created = std::chrono::system_clock::now();
  // The new job takes over what an earlier, failed job has made.
  for (Job& other : jobs_) {
    if (other.state != JobState::kFailed || other.placed || other.name != name) continue;
    if (!other.progress.made.empty() && !is_doubtful(job)) job.boot = other.boot;
    for (std::string& made : std::exchange(other.progress.made, {})) job.progress.made.push_back(std::move(made));
  }
  jobs_.push_back(std::move(job));
  const Job& added = jobs_.back();
  log::info("{} is to be pulled ({})", loggable(added), added.id);
  saver_.changed();
  hooks_.changed(added, /*is_progress=*/false);
  begin_next();
  return &added;
}

Result<Job*> Downloads::find_active(const std::string& id) {
  Job* const job = find_job(id);
  if (job == nullptr) {
    return fail(ErrorCode::kModelNotFound,
                fmt::format("There is no download {}. GET /v1/downloads lists them.", id.substr(0, 100)));
  }
  if (job->ended()) {
    return fail(ErrorCode::kConflict,
                fmt::format("The download {} has ended already ({}).", id, state_text(job->state)));
  }
  if (job->state == JobState::kRunning && !works_for(id)) {
    return fail(ErrorCode::kConflict, fmt::format("All of the download {} is here. `minerva rm` removes a model.", id));
  }
  return job;
}

bool Downloads::works_for(const std::string& id) const {
  return std::any_of(works_.begin(), works_.end(), [&](const auto& work) { return work->job == id; });
}

void Downloads::stop_work(const std::string& job) {
  for (const auto& work : works_) {
    if (work->job == job) work->stop.set();
  }
}

Result<void> Downloads::cancel(const std::string& id) {
  Job* const failed = find_job(id);
  if (failed != nullptr && failed->state == JobState::kFailed && !failed->placed && !failed->progress.made.empty()) {
    failed->progress.done = Bytes();
    change(*failed, JobState::kCancelled);
    begin_next();
    return {};
  }
  const Result<Job*> job = find_active(id);
  if (!job) return fail(job.error());
  stop_work(id);
  (*job)->progress.done = Bytes();
  end(**job, JobState::kCancelled);
  begin_next();
  return {};
}

Result<void> Downloads::pause(const std::string& id) {
  const Result<Job*> job = find_active(id);
  if (!job) return fail(job.error());
  if ((*job)->state == JobState::kPaused) return {};
  stop_work(id);
  change(**job, JobState::kPaused);
  begin_next();
  return {};
}

Result<void> Downloads::resume(const std::string& id) {
  const Result<Job*> job = find_active(id);
  if (!job) return fail(job.error());
  if ((*job)->state != JobState::kPaused) return {};
  change(**job, JobState::kQueued);
  begin_next();
  return {};
}

bool Downloads::fetches_of(const std::string& repo) const {
  const auto endpoint = hub_endpoint();
  if (!endpoint) return false;
  return std::any_of(works_.begin(), works_.end(), [&](const auto& work) {
    const Job* const job = find(work->job);
    if (job == nullptr || work->only_checks) return false;
    const auto asked = parse_asked(job->name, *endpoint);
    return asked && asked->repo == repo;
  });
}

const Job* Downloads::find(const std::string& id) const {
  const auto it = std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& job) { return job.id == id; });
  return it == jobs_.end() ? nullptr : &*it;
}

Job* Downloads::find_job(const std::string& id) {
  const auto it = std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& job) { return job.id == id; });
  return it == jobs_.end() ? nullptr : &*it;
}

std::vector<const Job*> Downloads::list() const {
  std::vector<const Job*> list;
  std::transform(jobs_.rbegin(), jobs_.rend(), std::back_inserter(list), [](const Job& job) { return &job; });
  return list;
}

Result<void> Downloads::begin(std::unique_ptr<Work> work, std::function<std::function<void()>(Work&)> run) {
  Work& started = *work;
  works_.push_back(std::move(work));
  try {
    started.thread = std::thread([this, &started, run = std::move(run), still = std::weak_ptr(alive_)] {
      ::setpriority(PRIO_PROCESS, 0, kNice);  // for this thread, and for those that it starts
      std::function<void()> then = run(started);
      loop_.post([this, &started, still, then = std::move(then)] {
        if (still.expired()) return;
        forget(&started);
        then();
      });
    });
  } catch (const std::system_error& error) {
    works_.pop_back();
    return fail(ErrorCode::kIo, fmt::format("A thread cannot be started: {}. Pull it again later.", error.what()));
  }
  return {};
}

void Downloads::forget(Work* work) {
  const auto it = std::find_if(works_.begin(), works_.end(), [work](const auto& other) { return other.get() == work; });
  (*it)->thread.join();
  works_.erase(it);
}

void Downloads::begin_next() {
  if (finishing_) return;
  // A cancelled job may still be ending: until then no other job may use its files.
  const bool busy = std::any_of(works_.begin(), works_.end(), [](const auto& work) { return !work->job.empty(); });
  const auto next =
      std::find_if(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.state == JobState::kQueued; });
  const bool settling =
      std::any_of(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.state == JobState::kRunning; });
  if (busy || begin_discard() || begin_check() || settling || next == jobs_.end()) return;
  next->state = JobState::kRunning;
  next->error.reset();
  counted_ = 0;
  auto work = std::make_unique<Work>();
  work->job = next->id;
  const Fetch::Pinned pinned{next->progress.commit, next->progress.file, next->progress.made};
  const Result<void> begun =
      begin(std::move(work),
            [this, settings = hooks_.settings(), name = next->name, with = next->with, id = next->id, pinned,
             still = std::weak_ptr(alive_)](Work& own) -> std::function<void()> {
              Fetch fetch(
                  settings, own.stop,
                  [&](const Progress& progress) {
                    loop_.post([this, still, id, progress] {
                      if (!still.expired()) take_progress(id, progress);
                    });
                  },
                  [&own](const std::string& made) { return own.recorded.has(made); });
              Result<Fetched> result = fetch.run(name, with, pinned);
              return [this, id, result = std::move(result), last = fetch.progress()] { take_end(id, result, last); };
            });
  if (!begun) {
    next->error = begun.error();
    end(*next, JobState::kFailed);
    return;
  }
  if (!next->progress.made.empty()) record_made(*next);
  hooks_.changed(*next, /*is_progress=*/false);
}

std::vector<std::string> Downloads::only_of(const Job& job, const std::string& repo) const {
  std::vector<std::string> made = job.progress.made;
  const auto endpoint = hub_endpoint();
  for (const Job& other : jobs_) {
    if (other.ended() || other.progress.made.empty() || !endpoint) continue;
    const auto asked = parse_asked(other.name, *endpoint);
    if (!asked || asked->repo != repo) continue;
    for (const std::string& name : other.progress.made) std::erase(made, name);
  }
  return made;
}

bool Downloads::begin_discard() {
  const auto job = std::find_if(jobs_.begin(), jobs_.end(), [](const Job& other) {
    return other.state == JobState::kCancelled && !other.progress.made.empty();
  });
  if (job == jobs_.end()) return false;
  const auto forget_made = [this, id = job->id] {
    Job* const discarded = find_job(id);
    if (discarded != nullptr) discarded->progress.made.clear();
    saver_.changed();
  };
  const auto endpoint = hub_endpoint();
  const auto asked = endpoint ? parse_asked(job->name, *endpoint) : fail(endpoint.error());
  if (!asked) {  // the hub that it came from is another one now
    forget_made();
    return begin_discard();
  }
  auto work = std::make_unique<Work>();
  work->job = job->id;
  return begin(std::move(work),
               [this, settings = hooks_.settings(), asked = *asked, made = only_of(*job, asked->repo),
                forget_made](Work& /*own*/) -> std::function<void()> {
                 discard(settings, asked, made);
                 return [this, forget_made] {
                   forget_made();
                   begin_next();
                 };
               })
      .has_value();
}

void Downloads::record_made(Job& job) {
  job.boot = boot_;
  if (boot_.empty()) return saver_.changed();
  saver_.save_now([this, id = job.id, made = job.progress.made] {
    for (const auto& work : works_) {
      if (work->job == id) work->recorded.add(made);
    }
  });
}

std::optional<Placed> Downloads::placed_of(const Job& job) {
  const auto endpoint = hub_endpoint();
  if (!endpoint) return std::nullopt;
  const auto asked = parse_asked(job.name, *endpoint);
  if (!asked || asked->repo.empty() || !is_commit(job.progress.commit)) return std::nullopt;
  Placed placed{*asked, job.progress.commit};
  for (const std::string& file : job.progress.files) {
    if (job.placed && is_safe_path(file)) placed.files.push_back(file);
  }
  return placed;
}

void Downloads::withdraw_doubtful() {
  for (Job& job : jobs_) {
    if (!is_doubtful(job)) continue;
    if (const auto placed = placed_of(job)) {
      log::info("{} was fetched before the machine started again: its files are checked", loggable(job));
      withdraw(hooks_.settings(), placed->asked, job.progress.made);
    } else {
      job.boot = boot_;
    }
  }
}

bool Downloads::begin_check() {
  const auto has_to = [&](const Job& job) {
    return (is_doubtful(job) || (job.placed && job.ended())) && !unknown_.contains(job.id) && placed_of(job);
  };
  // Those of another boot first: a job may use what another one has made.
  auto job =
      std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& each) { return is_doubtful(each) && has_to(each); });
  if (job == jobs_.end()) job = std::find_if(jobs_.begin(), jobs_.end(), has_to);
  if (job == jobs_.end()) return false;
  auto work = std::make_unique<Work>();
  work->job = job->id;
  work->only_checks = true;
  return begin(std::move(work),
               [this, settings = hooks_.settings(), id = job->id, placed = *placed_of(*job), made = job->progress.made,
                proves = is_doubtful(*job)](Work& own) -> std::function<void()> {
                 const Outcome outcome =
                     proves ? prove_again(settings, placed, made, own.stop) : sync_placed(settings, placed, own.stop);
                 return [this, id, proves, outcome] { take_check(id, proves, outcome); };
               })
      .has_value();
}

void Downloads::take_check(const std::string& id, bool proved, Outcome outcome) {
  Job* const job = find_job(id);
  if (job == nullptr || finishing_) return;
  if (outcome == Outcome::kUnknown) {
    if (!proved) {  // after such a refusal not even this boot's kernel has all of it for sure
      job->boot.clear();
      unknown_.insert(id);
    }
  } else if (!proved) {
    job->placed = false;
    job->progress.made.clear();
    job->progress.files.clear();
  } else {
    job->boot = boot_;
    const auto placed = placed_of(*job);
    if (job->placed && outcome == Outcome::kDone && placed && !placed->files.empty()) {
      hooks_.fetched(id, {placed->asked.repo, placed->files.front()});  // the catalog has to look again
    }
    if (job->placed && outcome == Outcome::kWrong) {
      log::warn("{} did not survive the end of the machine: it is pulled again", loggable(*job));
      job->placed = false;
      job->model.clear();
      job->error.reset();
      change(*job, JobState::kQueued);
    }
  }
  saver_.changed();
  begin_next();
}

void Downloads::take_progress(const std::string& id, const Progress& progress) {
  count_received(progress.received);
  Job* const job = find_job(id);
  if (job == nullptr || job->state != JobState::kRunning) return;
  // Whether something changed that the next process has to know.
  const bool pins = job->progress.commit != progress.commit || job->progress.file != progress.file ||
                    job->progress.made != progress.made;
  job->progress = progress;
  if (pins) record_made(*job);
  hooks_.changed(*job, /*is_progress=*/true);
}

void Downloads::count_received(std::uint64_t in_this_run) {
  counts_.received += in_this_run - counted_;
  counted_ = in_this_run;
}

void Downloads::take_end(const std::string& id, const Result<Fetched>& result, const Progress& last) {
  count_received(last.received);
  Job* const job = find_job(id);
  if (job != nullptr) {
    job->progress.made = last.made;
    job->progress.files = last.files;
  }
  if (job != nullptr && job->state == JobState::kRunning && !finishing_) {
    if (result) {
      job->progress.doing = fmt::format("looking into {}", job->progress.file);
      job->progress.rate = 0;
      hooks_.changed(*job, /*is_progress=*/true);
      hooks_.fetched(id, *result);
    } else {
      job->error = result.error();
      log::warn("{} was not pulled: {}", loggable(*job), result.error().message);
      end(*job, JobState::kFailed);
    }
  }
  begin_next();
}

void Downloads::settle(const std::string& id, const ModelId& model, std::optional<Error> refused) {
  Job* const job = find_job(id);
  if (job != nullptr && !job->ended()) {
    job->model = model;
    job->progress.done = job->progress.size;
    job->placed = placed_of(*job).has_value();
    job->boot = boot_;
    if (!job->placed) job->progress.made.clear();
    job->error = std::move(refused);
    if (job->error) {
      log::warn("{}", job->error->message);
    } else {
      log::info("{} is here: ask for {}", loggable(*job), model);
    }
    end(*job, job->error ? JobState::kFailed : JobState::kDone);
  }
  begin_next();
}

void Downloads::end(Job& job, JobState state) {
  ++counts_.ended[state];
  change(job, state);
  drop_old();
}

void Downloads::change(Job& job, JobState state) {
  job.state = state;
  job.progress.doing.clear();
  job.progress.rate = 0;
  saver_.changed();
  hooks_.changed(job, /*is_progress=*/false);
}

void Downloads::drop_old() {
  auto ended =
      static_cast<std::size_t>(std::count_if(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.ended(); }));
  for (auto it = jobs_.begin(); it != jobs_.end() && ended > kMostEnded;) {
    const bool drops = it->ended() && !it->placed;
    it = drops ? jobs_.erase(it) : std::next(it);
    if (drops) --ended;
  }
}

Result<void> Downloads::list_choices(const std::string& name, With with, std::function<void(Result<Listing>)> done) {
  const auto listings = std::count_if(works_.begin(), works_.end(), [](const auto& work) { return work->job.empty(); });
  if (static_cast<std::size_t>(listings) >= kMostListings) {
    return fail(Error{ErrorCode::kQueueFull, "Too many repositories are being looked up. Try again.", "", 1});
  }
  return begin(std::make_unique<Work>(),
               [settings = hooks_.settings(), name, with, done = std::move(done)](Work& own) -> std::function<void()> {
                 Fetch fetch(settings, own.stop, [](const Progress&) {}, [](const std::string&) { return false; });
                 return [done, listing = fetch.list(name, with)] { done(listing); };
               });
}

void Downloads::finish() {
  finishing_ = true;
  for (const auto& work : works_) work->stop.set();
  for (const auto& work : works_) work->thread.join();
  works_.clear();
  saver_.finish();
}

}  // namespace minerva::pull
