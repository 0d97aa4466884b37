// Fetch: does the work of one job, from the name that somebody asked for to files in their places.
//
// The catalog can see a file only once the file is complete and has the hash that the hub said; all files of a model
// get their names together. The commit is found at the start and kept. Each try asks the hub for the file's address
// again, since signed addresses expire. It tries again after a lost connection, a busy hub and an expired address, a
// bounded number of times without a new byte.
//
// Threading: one thread; calls block, and use more threads for the ranges of a large file. Another thread may set the
// Stop. It keeps no table of jobs (downloads.h).
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
  std::vector<std::string> hosts;  // in the form of HostRules
  Bytes max_rate;                  // per second, of all ranges together; 0: no limit
  std::chrono::seconds stall_timeout{30};
  unsigned parallel = 1;             // ranges of one file at once, each on its own connection
  std::filesystem::path hub_cache;   // the folder for files of repositories
  std::filesystem::path models_dir;  // the folder for a file of another host
  Bytes budget;                      // the memory for all models
  std::string agent;
};

// How far the work has come.
struct Progress {
  std::string doing;   // "fetching x.gguf"
  std::string commit;  // once it is known, like the members below
  std::string file;    // the first file of the model, in the repository
  std::string why;     // why this model was chosen
  std::string licence;
  Bytes size;  // of all files
  Bytes done;
  double rate = 0;             // bytes per second
  std::uint64_t received = 0;  // bytes over the line in this run
  // What this job has put on the disk, or is about to, and what no model has yet: the ETags of blobs and their parts;
  // for another host the name of the part.
  std::vector<std::string> made = {};
  std::vector<std::string> files = {};  // of the model, in the repository
};

struct Fetched {
  std::string repo;  // empty: the file is from another host
  std::string file;  // its first file: in the repository, or its name in the models folder
};

struct Listing {
  std::string repo;
  std::string licence;
  bool gated = false;
  std::optional<Bytes> disk_free;  // in the folder for the files
  std::vector<Choice> choices;
  std::string chosen;  // the name of the choice that a pull would take; empty: none
  std::string why;     // why that one, or why none
};

class Fetch {
 public:
  using Report = std::function<void(const Progress&)>;
  // Whether a table of jobs on disk has a name of Progress::made. Then its file may get its own name before its bytes
  // are on disk (placed.h). Called on this thread.
  using IsRecorded = std::function<bool(const std::string& name)>;
  // `report` is called on this thread: at each step, and at most twice a second in between.
  Fetch(FetchSettings settings, const Stop& stop, Report report, IsRecorded is_recorded);
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;
  ~Fetch();

  // `pinned`: what an earlier try has found, to go on with. Errors: in sentences that say what to do.
  struct Pinned {
    std::string commit;
    std::string file;
    std::vector<std::string> made;
  };
  Result<Fetched> run(const std::string& name, With with, const Pinned& pinned);
  // Lists what there is, and fetches none of it. Errors: as run().
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

  // Fetches a file of a repository. Returns its ETag, which is the name of the blob.
  Result<std::string> fetch_file(const HubLayout& layout, const Repo& repo, const RemoteFile& file);
  Result<std::string> try_file(const HubLayout& layout, const Repo& repo, const RemoteFile& file);
  Result<void> try_url(const Asked& asked, const std::filesystem::path& target);
  // Where a file comes from.
  struct Source {
    Url url;
    std::string name;  // for people
    std::string repo;  // empty: of another host
  };
  struct Lines;  // the state of a file whose pieces come at once
  // Fetches what `part` lacks.
  Result<void> receive(PartFile& part, const Source& source);
  // Fetches pieces of `part` that no other thread has taken, until there are none.
  void receive_pieces(Transfer& transfer, PartFile& part, const Source& source, Lines& lines);
  Result<void> receive_piece(Transfer& transfer, PartFile& part, std::size_t piece, const Source& source, Lines& lines);
  // Why an answer that has ended did not bring the whole piece.
  Error why_incomplete(const Answer& answer, PartFile& part, const Source& source) const;
  std::unique_ptr<Transfer> make_transfer(const Stop& stop, Bytes max_rate) const;
  Result<void> prove(PartFile& part, const std::string& name);
  Result<void> check_disk(const std::filesystem::path& where, Bytes needed) const;

  // Repeats `step` until it succeeds, fails for good, or has brought no new byte for too many times.
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
  Bytes complete_;             // bytes of the files that are in their places
  std::uint64_t counted_ = 0;  // the bytes that the rate counts already
  TimePoint rated_{};
};

}  // namespace minerva::pull
