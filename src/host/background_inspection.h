// BackgroundInspection: inspects the models that nobody has asked for yet, so that the list of models can describe
// them.
//
// It inspects one at a time, at idle priority, and only while nobody waits for anything. It keeps no answers (the
// catalog does) and loads nothing. Threading: the loop's thread. Ownership: what its constructor takes outlives it.
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

  // Call this when the catalog may hold models that were not inspected yet.
  void look();

 private:
  void next();
  void inspected(const ModelSpec& spec, const Result<ModelMetadata>& result);

  Catalog& catalog_;
  std::function<bool()> nobody_waits_;
  io::Timer pause_;
  bool at_work_ = false;
  std::deque<ModelSpec> queue_;
  // by path and identity: how often an inspection failed for a reason outside the file
  std::map<std::string, unsigned> failures_;
  // An answer that comes after this object is gone sees from it that there is nobody to tell.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace minerva
