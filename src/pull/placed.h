// Placed: the files of a pulled model that have their names before their bytes are on disk.
//
// A sync of a large file takes about as long as a fast line needs for the file. A file whose hash is known can be
// proven again. So such a file gets its name first, the job ends, and the sync comes afterwards. The table of jobs
// knows which files are not synced, and in which boot they were written. After another boot these files are withdrawn
// before anybody can use them, and proven again (downloads.cc has the order of the steps).
//
// Threading: any thread; all functions block on the disk. They ask no hub, and keep nothing.
#pragma once

#include <string>
#include <vector>

#include "pull/asked.h"
#include "pull/fetch.h"
#include "pull/stop.h"

namespace minerva::pull {

// The files of one repository.
struct Placed {
  Asked asked;
  std::string commit;
  std::vector<std::string> files = {};  // of the model: paths in the repository, the first file first
};

enum class Outcome {
  kDone,
  kWrong,    // a file does not exist, or has another content
  kUnknown,  // `stop` was set, or the disk refuses, which the log says
};

// Syncs the files, their names and the commit's. kDone: all are on disk. A file that somebody removed meanwhile is left
// out.
Outcome sync_placed(const FetchSettings& settings, const Placed& placed, const Stop& stop);

// Takes the blobs of these ETags out of the sight of all readers, until prove_again(). Parts of them stay as they are.
void withdraw(const FetchSettings& settings, const Asked& asked, const std::vector<std::string>& etags);

// Puts back those blobs of withdraw() that have the content of their ETags, and removes the others. kDone: all had it,
// and all files of `placed` are in their places.
Outcome prove_again(const FetchSettings& settings, const Placed& placed, const std::vector<std::string>& etags,
                    const Stop& stop);

}  // namespace minerva::pull
