// MetadataStore: what inspecting models said, and what was measured of them, by key, kept in one file on disk.
//
// Threading: the loop's thread. Losing or damaging the file costs inspecting and measuring again and nothing else.
// It does not know what a key is made of.
#pragma once

#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "engine/model_spec.h"
#include "io/state_file.h"

namespace minerva {

class MetadataStore {
 public:
  // Reads `file`; what cannot be used is set aside, with a warning in the log. Empty: nothing on disk. What changes is
  // written from `loop`, aside and once for many changes; without a loop by the caller, at once.
  explicit MetadataStore(const std::string& file, io::Loop* loop = nullptr, io::Files& files = io::real_files());

  // nullptr if unknown. Valid until the next put().
  const ModelMetadata* find(const std::string& key) const;
  // Keeps the newest kMaxEntries.
  void put(const std::string& key, const ModelMetadata& metadata);
  void clear();
  // Everything is on disk when it returns. Blocks.
  void finish();

  static constexpr std::size_t kMaxEntries = 5000;  // more than a folder of 1000 models, some with several arguments
  static constexpr io::StateFile::Format kFormat{"metadata", 6, "models will be inspected again"};

 private:
  void take(const std::string& content);
  void changed();
  std::string content() const;

  std::optional<io::StateFile> file_;
  std::optional<io::StateSaver> saver_;
  std::list<std::string> order_;  // keys, oldest first
  std::unordered_map<std::string, ModelMetadata> entries_;
};

}  // namespace minerva
