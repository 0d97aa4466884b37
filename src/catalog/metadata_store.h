// MetadataStore: what inspecting models said, and what was measured of them, by key, kept in one file on disk.
//
// Threading: the loop's thread; put() writes a few hundred kilobytes at most. Losing or damaging the file costs
// inspecting and measuring again and nothing else: hence no fsync.
// It does not know what a key is made of.
#pragma once

#include <list>
#include <string>
#include <unordered_map>

#include "engine/model_spec.h"

namespace minerva {

class MetadataStore {
 public:
  // Reads `file`; what cannot be read is ignored, with a warning in the log. Empty: nothing on disk.
  explicit MetadataStore(std::string file);

  // nullptr if unknown. Valid until the next put().
  const ModelMetadata* find(const std::string& key) const;
  // Keeps the newest kMaxEntries.
  void put(const std::string& key, const ModelMetadata& metadata);

  static constexpr std::size_t kMaxEntries = 500;

 private:
  void read();
  void write() const;

  std::string file_;
  std::list<std::string> order_;  // keys, oldest first
  std::unordered_map<std::string, ModelMetadata> entries_;
};

}  // namespace minerva
