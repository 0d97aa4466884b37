// MetadataStore: the results of inspections and measurements of models, by key, in one file on disk.
//
// Threading: the loop's thread. If the file is lost or damaged, models are inspected and measured again, and nothing
// else happens.
// It does not know what a key consists of.
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
  // Reads `file`. A file that cannot be used is renamed, with a warning in the log. Empty: nothing is kept on disk.
  // Another thread of `loop` writes changes, many of them at once; without a loop the caller writes at once.
  explicit MetadataStore(const std::string& file, io::Loop* loop = nullptr, io::Files& files = io::real_files());

  // nullptr if unknown. Valid until the next put().
  const ModelMetadata* find(const std::string& key) const;
  // Keeps the newest kMaxEntries entries.
  void put(const std::string& key, const ModelMetadata& metadata);
  void clear();
  // Everything is on disk when this returns. Blocks.
  void finish();

  static constexpr std::size_t kMaxEntries = 5000;  // more than 1000 models need, some with several sets of arguments
  static constexpr io::StateFile::Format kFormat{"metadata", 7, "models will be inspected again"};

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
