// BackgroundInspection: looks into the files of models that nobody has asked for yet, so that the list of models says
// what they are.
//
// One at a time, at idle priority, and only while nobody waits for anything. Threading: the loop's thread. Ownership:
// what it is given outlives it. It keeps no answer (the catalog does), and loads nothing.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "catalog/catalog.h"
#include "io/loop.h"

namespace minerva {

class BackgroundInspection {
 public:
  BackgroundInspection(io::Loop& loop, Catalog& catalog, std::function<bool()> nobody_waits)
      : catalog_(catalog), nobody_waits_(std::move(nobody_waits)), pause_(loop) {}
  ~BackgroundInspection() { *alive_ = false; }
  BackgroundInspection(const BackgroundInspection&) = delete;
  BackgroundInspection& operator=(const BackgroundInspection&) = delete;

  // The catalog may hold what nobody has looked into.
  void look();

 private:
  void next();
  void inspected(const ModelSpec& spec, const Result<ModelMetadata>& result);

  Catalog& catalog_;
  std::function<bool()> nobody_waits_;
  io::Timer pause_;
  bool at_work_ = false;
  std::deque<ModelSpec> queue_;
  std::map<std::string, unsigned> failures_;  // by path and identity: those that say nothing about the file
  // Tells answers that come after this is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace minerva
