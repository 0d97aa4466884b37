// HistoryKeeper: keeps the core's history on disk, so that the next process goes on where this one ended. A kill loses
// only the last seconds of it. How long a model takes to load and to wake is kept with its measurements
// (Catalog::note_load_time); this file holds those times only for the operator's programs, which have no measurements.
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
  // Gives the core what `file` holds, and keeps the file up to date from now on. Requires: the core knows the catalog.
  // `bring_back`: see HistoryRestored.
  HistoryKeeper(io::Loop& loop, ModelHost& host, const std::string& file, bool bring_back,
                io::Files& files = io::real_files());
  HistoryKeeper(const HistoryKeeper&) = delete;
  HistoryKeeper& operator=(const HistoryKeeper&) = delete;
  // Nothing more is written after this, see io::StateSaver.
  ~HistoryKeeper();

  // The history is on disk when it returns. Blocks: call it for an orderly end.
  void finish() { saver_.finish(); }

 private:
  // The document to write; nothing if it equals the one that was given to the saver last.
  std::optional<std::string> content();

  ModelHost& host_;
  std::optional<History> given_;
  io::StateSaver saver_;
};

}  // namespace minerva
