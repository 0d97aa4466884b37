// Downloads: the table of pulls. Pulls belong to the server: they outlive the client that asked, and go on after a
// restart. One pull is fetched at a time, in the order in which they came. The last ones that ended are kept, so that
// clients can look at them.
//
// Threading: the loop's thread. Each pull and each listing works on its own thread, which reports its progress to the
// loop. Ownership: the Loop outlives it; its destructor waits for its threads. It knows nothing of the catalog: its
// owner finds out what model a fetched file became.
//
// A job is done before its files are on disk (placed.h). Until then the table says so, and names the boot of the
// machine in which they were written: `Job::placed`, `Job::boot`. The sync follows on a thread of the job's own, before
// the next job begins. If the process is killed in between, the next process does the sync: it finds the same boot, so
// the kernel still has what was written. After another boot nobody knows what the disk has. Then the files of each job
// are withdrawn before anybody sees them, and proven again. If a file is wrong, its job runs again.
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
  static constexpr std::size_t kMostListings = 4;  // listings at the same time

  struct Hooks {
    // The settings of the config now: called when a work begins.
    std::function<FetchSettings()> settings;
    // Called when a job has changed: its state, or only its progress.
    std::function<void(const Job&, bool is_progress)> changed;
    // Called when the files are in their places. settle() is to be called then, with what the catalog says about the
    // model.
    std::function<void(const std::string& id, const Fetched&)> fetched;
  };
  // `file`: where the table is kept. `boot`: this one of the machine; empty: nobody knows. Blocks on the disk.
  Downloads(io::Loop& loop, const std::string& file, Hooks hooks, std::string boot = io::boot_id(),
            io::Files& files = io::real_files());
  Downloads(const Downloads&) = delete;
  Downloads& operator=(const Downloads&) = delete;
  ~Downloads();

  // Goes on with the jobs that were under way when the last process ended.
  void start();
  // Returns the job under way for the same name, or a new one. Valid until the coroutine waits.
  // Errors: kInvalidArgument, kQueueFull, kForbidden (the host is not allowed).
  Result<const Job*> pull(const std::string& name, With with = {});
  // Ends the job, and removes what it has made from the disk, unless another download goes on with that. Of a failed
  // job it removes what the job left. Errors: kModelNotFound: there is no such job; kConflict: it has ended, or all its
  // files are in their places.
  Result<void> cancel(const std::string& id);
  // Stops the job until resume(), also after a restart. No effect on a paused job. Errors: as cancel().
  Result<void> pause(const std::string& id);
  // The job goes on, behind those that wait already. No effect on a job that is not paused. Errors: as cancel().
  Result<void> resume(const std::string& id);
  const Job* find(const std::string& id) const;
  std::vector<const Job*> list() const;  // the newest first
  // Whether files of that repository are being fetched now.
  bool fetches_of(const std::string& repo) const;

  // Counts since the process began.
  struct Counts {
    std::uint64_t received = 0;               // bytes over the line
    std::map<JobState, std::uint64_t> ended;  // jobs that ended, by their last state
  };
  const Counts& counts() const { return counts_; }

  // Lists what a repository has. `done` is called later, on the loop's thread. Errors: kQueueFull, at once.
  Result<void> list_choices(const std::string& name, With with, std::function<void(Result<Listing>)> done);

  // Ends a job whose files are fetched: it is done, or has failed if `refused` says why the model cannot be served.
  void settle(const std::string& id, const ModelId& model, std::optional<Error> refused = std::nullopt);
  // Ends all work. The table is on disk when this returns. Blocks, at most for some seconds.
  void finish();

 private:
  // The names of Progress::made that the table on disk has.
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
  // Work on a thread of its own.
  struct Work {
    Stop stop;
    std::thread thread;
    std::string job;           // empty: it is a listing
    bool only_checks = false;  // files that are in their places
    Recorded recorded = {};
  };
  Job* find_job(const std::string& id);
  // A job that has not ended. Errors: as cancel().
  Result<Job*> find_active(const std::string& id);
  void change(Job& job, JobState state);
  void stop_work(const std::string& job);
  void count_received(std::uint64_t in_this_run);
  void begin_next();
  void end(Job& job, JobState state);
  void take_progress(const std::string& id, const Progress& progress);
  void take_end(const std::string& id, const Result<Fetched>& result, const Progress& last);
  // Writes what the job has made into the table on disk, before one of these files gets its name.
  void record_made(Job& job);
  // Withdraws what jobs had made in another boot: nobody sees it until it is proven.
  void withdraw_doubtful();
  bool is_doubtful(const Job& job) const { return job.boot != boot_ && (job.placed || !job.progress.made.empty()); }
  // Nothing if the job's hub is another one now, or if its file is in no repository.
  static std::optional<Placed> placed_of(const Job& job);
  // Proves files of another boot again, or syncs those of a job that has ended. false: there is nothing to do.
  bool begin_check();
  void take_check(const std::string& id, bool proved, Outcome outcome);
  // Begins to remove what a cancelled job has made. false: there is no such job.
  bool begin_discard();
  std::vector<std::string> only_of(const Job& job, const std::string& repo) const;
  // Whether a thread works for that job.
  bool works_for(const std::string& id) const;
  // Calls `run` on a new thread, removes the work, and then calls on the loop's thread what `run` returned. Errors:
  // kIo.
  Result<void> begin(std::unique_ptr<Work> work, std::function<std::function<void()>(Work&)> run);
  void forget(Work* work);
  void drop_old();

  io::Loop& loop_;
  Hooks hooks_;
  const std::string boot_;
  std::list<Job> jobs_;            // the oldest first
  std::set<std::string> unknown_;  // ids of jobs whose files the disk refused to sync: the next start proves them
  std::list<std::unique_ptr<Work>> works_;
  // calls that the loop has yet to make hold a weak reference to it
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  bool finishing_ = false;
  Counts counts_;
  std::uint64_t counted_ = 0;  // the bytes of the current run that are counted already
  io::StateSaver saver_;
};

}  // namespace minerva::pull
