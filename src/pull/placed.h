// Placed: the files of a pulled model, which have their names before the disk has their bytes.
//
// A sync of a large file takes about as long as a fast line needs for the file. A file whose hash is known can be
// proven again. So such a file gets its name first, the job ends, and the sync comes afterwards. The table of jobs
// knows which files are not synced, and of which boot they are. After another boot these files are withdrawn before
// anybody can use them, and proven again (downloads.cc has the order of the steps).
//
// Threading: any thread; all functions block on the disk. They ask no hub, and keep nothing.
#pragma once

#include <string>
#include <vector>

#include "pull/asked.h"
#include "pull/fetch.h"
#include "pull/stop.h"

namespace minerva::pull {

// Of one repository.
struct Placed {
  Asked asked;
  std::string commit;
  std::vector<std::string> files = {};  // of the model: paths in the repository, the first one first
};

enum class Outcome {
  kDone,
  kWrong,    // a file is not there, or not what it should be
  kUnknown,  // `stop` was set, or the disk refuses, which the log says
};

// The files, their names and the commit's are on disk: kDone. A file that somebody removed meanwhile is left out.
Outcome sync_placed(const FetchSettings& settings, const Placed& placed, const Stop& stop);

// Takes the blobs of these ETags out of every reader's sight: they are parts again, until prove_again().
void withdraw(const FetchSettings& settings, const Asked& asked, const std::vector<std::string>& etags);

// Puts those of withdraw() back that are what their ETags say, and removes the others. kDone: so were all, and all
// files of `placed` are in their places.
Outcome prove_again(const FetchSettings& settings, const Placed& placed, const std::vector<std::string>& etags,
                    const Stop& stop);

}  // namespace minerva::pull
