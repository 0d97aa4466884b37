// HistoryKeeper: keeps the core's history on disk, so that the next process goes on where this one ended, be it by a
// kill: all but the last seconds of it. How long a model takes to load and to wake is kept where what was measured of
// it is (Catalog::note_load_time), and here only of those of which nothing is: programs of the operator's.
//
// Threading: the loop's thread. Ownership: the Loop and the ModelHost outlive it.
#pragma once

#include <optional>
#include <string>

#include "host/model_host.h"
#include "io/state_file.h"
#include "minerva/context/history.h"

namespace minerva {

class HistoryKeeper {
 public:
  // Takes what `file` says into the core, whose catalog is known, and keeps it from now on. `bring_back`: see
  // HistoryRestored.
  HistoryKeeper(io::Loop& loop, ModelHost& host, const std::string& file, bool bring_back,
                io::Files& files = io::real_files());
  HistoryKeeper(const HistoryKeeper&) = delete;
  HistoryKeeper& operator=(const HistoryKeeper&) = delete;
  // Nothing is written once it is gone, see io::StateSaver.
  ~HistoryKeeper();

  // What is kept is on disk when it returns. Blocks: for an orderly end.
  void finish() { saver_.finish(); }

 private:
  // Nothing if it is as it was given to the saver last.
  std::optional<std::string> content();

  ModelHost& host_;
  std::optional<History> given_;
  io::StateSaver saver_;
};

}  // namespace minerva
