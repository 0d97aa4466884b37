// Discard: removes from the disk what a cancelled download has made.
//
// Threading: any thread; blocks on the disk. It removes files that a pull made and that no model has: parts, and blobs
// to which nothing in their repository links. It leaves files of other programs, and files whose lock another program
// has.
#pragma once

#include <string>
#include <vector>

#include "pull/asked.h"
#include "pull/fetch.h"

namespace minerva::pull {

// `made`: Progress::made of the download of `asked`. A file that cannot be removed stays, with a line in the log.
void discard(const FetchSettings& settings, const Asked& asked, const std::vector<std::string>& made);

}  // namespace minerva::pull
