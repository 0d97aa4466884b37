// Downloads: the table of pulls, which belong to the server: they outlive the client that asked, and go on after a
// restart. One is fetched at a time, in the order they came; the last ones that ended are kept to be looked at.
//
// Threading: the loop's thread. Each pull and each listing works on a thread of its own, which tells the loop how far
// it is. Ownership: the Loop outlives it; when it goes, its threads have ended. It knows nothing of the catalog:
// whoever makes it says what a fetched file became.
//
// A job is done before the disk has its files (placed.h). Until the disk has them the table says so, with the boot that
// they are of: `Job::placed`, `Job::boot`. The sync follows in a thread of the job's own, before the next job begins. A
// process that was killed in between leaves that to the next one, which finds the same boot: the kernel still has what
// was written. After another boot nobody knows: what each job had made is withdrawn before anybody sees it, and proven
// again; a job of which a file is wrong then runs again.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "io/boot_id.h"
#include "io/loop.h"
#include "pull/fetch.h"
#include "pull/job.h"
#include "pull/placed.h"
#include "pull/stop.h"

namespace minerva::pull {

class Downloads {
 public:
  static constexpr std::size_t kMostActive = 100;
  static constexpr std::size_t kMostEnded = 100;
  static constexpr std::size_t kMostListings = 4;  // at once

  struct Hooks {
    // As the config is now: asked when a work begins.
    std::function<FetchSettings()> settings;
    // A job changed: its state, or only how far it is.
    std::function<void(const Job&, bool is_progress)> changed;
    // Its files are in their places: settle() is to be called with what the catalog says of the model.
    std::function<void(const std::string& id, const Fetched&)> fetched;
  };
  // `file`: where the table is kept. `boot`: this one of the machine; empty: nobody knows. Blocks on the disk.
  Downloads(io::Loop& loop, const std::string& file, Hooks hooks, std::string boot = io::boot_id(),
            io::Files& files = io::real_files());
  Downloads(const Downloads&) = delete;
  Downloads& operator=(const Downloads&) = delete;
  ~Downloads();

  // Goes on with what was under way when the last process ended.
  void start();
  // The one under way for the same, or a new one. Valid until something waits.
  // Errors: kInvalidArgument, kQueueFull, kForbidden (a host that is not allowed).
  Result<const Job*> pull(const std::string& name, With with = {});
  // Nothing more of it is fetched, and what came of it leaves the disk, unless another download goes on with that too.
  // Of one that failed what it left. Errors: kModelNotFound: there is none of that id; kConflict: it has ended, or all
  // of it is in its place.
  Result<void> cancel(const std::string& id);
  // Nothing more of it is fetched until resume(), also after a restart. No effect on one that is paused.
  // Errors: as cancel().
  Result<void> pause(const std::string& id);
  // It goes on, behind those that wait already. No effect on one that is not paused. Errors: as cancel().
  Result<void> resume(const std::string& id);
  const Job* find(const std::string& id) const;
  std::vector<const Job*> list() const;  // the newest first
  // Whether files of that repository are being fetched now.
  bool fetches_of(const std::string& repo) const;

  // Since the process began.
  struct Counts {
    std::uint64_t received = 0;               // bytes over the line
    std::map<JobState, std::uint64_t> ended;  // by how
  };
  const Counts& counts() const { return counts_; }

  // What a repository has; `done` is called on the loop's thread, later. Errors: kQueueFull, at once.
  Result<void> list_choices(const std::string& name, With with, std::function<void(Result<Listing>)> done);

  // Of a job whose files are fetched: it is done; or it failed, as `refused` says why the model cannot be served.
  void settle(const std::string& id, const ModelId& model, std::optional<Error> refused = std::nullopt);
  // No more is fetched; the table is on disk when it returns. Blocks, at most for some seconds.
  void finish();

 private:
  // Names of Progress::made that are in the table on disk.
  class Recorded {
   public:
    void add(const std::vector<std::string>& names) {
      const std::lock_guard lock(mutex_);
      names_.insert(names.begin(), names.end());
    }
    bool has(const std::string& name) {
      const std::lock_guard lock(mutex_);
      return names_.contains(name);
    }

   private:
    std::mutex mutex_;
    std::set<std::string> names_;
  };
  // What is under way beside the loop.
  struct Work {
    Stop stop;
    std::thread thread;
    std::string job;           // empty: a listing
    bool only_checks = false;  // files that are in their places
    Recorded recorded = {};
  };
  Job* find_job(const std::string& id);
  // One that has not ended. Errors: as cancel().
  Result<Job*> find_active(const std::string& id);
  void change(Job& job, JobState state);
  void stop_work(const std::string& job);
  void count_received(std::uint64_t in_this_run);
  void begin_next();
  void end(Job& job, JobState state);
  void take_progress(const std::string& id, const Progress& progress);
  void take_end(const std::string& id, const Result<Fetched>& result, const Progress& last);
  // What the job has made is in the table on disk, before a file of it gets its name.
  void record_made(Job& job);
  // What jobs had made in another boot: nobody sees it until it is proven.
  void withdraw_doubtful();
  bool is_doubtful(const Job& job) const { return job.boot != boot_ && (job.placed || !job.progress.made.empty()); }
  // Nothing where the job's hub is another one now, or the file is of no repository.
  static std::optional<Placed> placed_of(const Job& job);
  // Proves files of another boot again, or syncs those of a job that has ended. false: there is nothing to do.
  bool begin_check();
  void take_check(const std::string& id, bool proved, Outcome outcome);
  // What a job that was cancelled had made leaves the disk. false: there is none such.
  bool begin_discard();
  std::vector<std::string> only_of(const Job& job, const std::string& repo) const;
  // Whether something is done for that job beside the loop.
  bool works_for(const std::string& id) const;
  // Runs `run` on a thread of its own, and what that returns on the loop's, with its work gone. Errors: kIo.
  Result<void> begin(std::unique_ptr<Work> work, std::function<std::function<void()>(Work&)> run);
  void forget(Work* work);
  void drop_old();

  io::Loop& loop_;
  Hooks hooks_;
  const std::string boot_;
  std::list<Job> jobs_;            // the oldest first
  std::set<std::string> unknown_;  // ids of jobs whose files the disk refused to sync: the next start proves them
  std::list<std::unique_ptr<Work>> works_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // calls that the loop has yet to make look at it
  bool finishing_ = false;
  Counts counts_;
  std::uint64_t counted_ = 0;  // of what the run under way received
  io::StateSaver saver_;
};

}  // namespace minerva::pull
