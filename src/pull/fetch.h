// Fetch: the work of one job, from what somebody asked for to files in their places.
//
// A file is in the catalog's sight only once it is complete and its hash is the one that the hub said; all files of a
// model get their names together. The commit is taken at the start and kept; each try asks the hub for the file's
// address again, since signed ones end. A line that is lost, a busy hub and an address that has ended are tried again,
// a bounded number of times without a new byte.
//
// Threading: one thread; calls block, and fetch the ranges of a large file by threads of their own. The Stop may be set
// from another one. It keeps no table of jobs (downloads.h).
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/result.h"
#include "pull/choice.h"
#include "pull/hub_settings.h"
#include "pull/stop.h"

namespace minerva::pull {

struct Answer;
class HubLayout;
class PartFile;
class Transfer;

struct FetchSettings {
  std::vector<std::string> hosts;  // HostRules
  Bytes max_rate;                  // per second, of all ranges together; 0: no limit
  std::chrono::seconds stall_timeout{30};
  unsigned parallel = 1;             // ranges of one file at once, each by a connection of its own
  std::filesystem::path hub_cache;   // where repositories' files go
  std::filesystem::path models_dir;  // where a file of another host goes
  Bytes budget;                      // of all models' memory
  std::string agent;
};

// How far it is.
struct Progress {
  std::string doing;   // "fetching x.gguf"
  std::string commit;  // once known, as what follows
  std::string file;    // the first one of the model, in the repository
  std::string why;     // that model
  std::string licence;
  Bytes size;  // of all files
  Bytes done;
  double rate = 0;             // bytes per second
  std::uint64_t received = 0;  // bytes over the line, in this run
  // What this job has put on the disk, or is about to, that no model has yet: ETags of blobs and their parts; of
  // another host the name of the part.
  std::vector<std::string> made = {};
  std::vector<std::string> files = {};  // of the model, in the repository
};

struct Fetched {
  std::string repo;  // empty: of another host
  std::string file;  // its first one: in the repository, or its name in the models folder
};

struct Listing {
  std::string repo;
  std::string licence;
  bool gated = false;
  std::optional<Bytes> disk_free;  // where they would go
  std::vector<Choice> choices;
  std::string chosen;  // name of the one that a pull would take; empty: none
  std::string why;     // that one, or why none
};

class Fetch {
 public:
  using Report = std::function<void(const Progress&)>;
  // Whether a name of Progress::made is on disk in a table of jobs, so that its file may get its name before the disk
  // has its bytes (placed.h). Called on this thread.
  using IsRecorded = std::function<bool(const std::string& name)>;
  // `report` is called on this thread, at each step and twice a second at most in between.
  Fetch(FetchSettings settings, const Stop& stop, Report report, IsRecorded is_recorded);
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;
  ~Fetch();

  // `pinned`: what an earlier try had found out, to go on with. Errors: in sentences that say what to do.
  struct Pinned {
    std::string commit;
    std::string file;
    std::vector<std::string> made;
  };
  Result<Fetched> run(const std::string& name, With with, const Pinned& pinned);
  // What there is of it, without fetching any. Errors: as run().
  Result<Listing> list(const std::string& name, With with);
  const Progress& progress() const { return progress_; }  // as it was reported last, or is about to be

 private:
  struct Repo {
    Asked asked;
    RepoFacts facts;
    std::vector<Choice> choices;
  };
  Result<void> connect();
  Result<Repo> look_up(Asked asked, const std::string& commit);
  Result<std::vector<RemoteFile>> read_tree(const Asked& asked, const std::string& commit);
  Result<std::string> read_text(const Url& url, const Asked& asked, Fields* fields);
  Result<Fetched> run_repo(Asked asked, const Pinned& pinned);
  Result<Fetched> run_url(const Asked& asked);

  // A file of a repository; its ETag, by which the blob is called.
  Result<std::string> fetch_file(const HubLayout& layout, const Repo& repo, const RemoteFile& file);
  Result<std::string> try_file(const HubLayout& layout, const Repo& repo, const RemoteFile& file);
  Result<void> try_url(const Asked& asked, const std::filesystem::path& target);
  // Where a file comes from.
  struct Source {
    Url url;
    std::string name;  // for people
    std::string repo;  // empty: of another host
  };
  struct Lines;  // by which its pieces come at once
  // What is missing of `part`.
  Result<void> receive(PartFile& part, const Source& source);
  // The same of all pieces that nobody else takes.
  void receive_pieces(Transfer& transfer, PartFile& part, const Source& source, Lines& lines);
  Result<void> receive_piece(Transfer& transfer, PartFile& part, std::size_t piece, const Source& source, Lines& lines);
  // Why an answer that has ended did not bring the whole piece.
  Error why_incomplete(const Answer& answer, PartFile& part, const Source& source) const;
  std::unique_ptr<Transfer> make_transfer(const Stop& stop, Bytes max_rate) const;
  Result<void> prove(PartFile& part, const std::string& name);
  Result<void> check_disk(const std::filesystem::path& where, Bytes needed) const;

  // `step` until it succeeds, fails for good, or brought no new byte too many times.
  template <typename T>
  Result<T> with_retries(const std::function<Result<T>()>& step);
  Error refused(const Answer& answer, const std::string& repo) const;
  Url hub_url(const std::string& path) const;
  std::string page_of(const std::string& repo) const;
  void note_made(const std::string& name);
  void say(std::string doing);
  void count(std::uint64_t bytes);

  FetchSettings settings_;
  const Stop& stop_;
  Report report_;
  IsRecorded is_recorded_;
  HubSettings hub_;
  std::unique_ptr<Transfer> transfer_;
  Progress progress_;
  Bytes complete_;             // of the files that are in their places
  std::uint64_t counted_ = 0;  // of what was received, in the rate
  TimePoint rated_{};
};

}  // namespace minerva::pull
