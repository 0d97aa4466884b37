// Inspection: runs `minerva-engine inspect FILE ARGUMENTS` in a child, and reads what the child prints.
//
// Threading: the loop's thread. Ownership: when an Inspection is destroyed, it kills its child and calls nobody back.
// It keeps no results, and does not choose the arguments.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model_spec.h"
#include "io/process.h"
#include "minerva/base/clock.h"
#include "minerva/base/result.h"

namespace minerva {

class Inspection {
 public:
  struct Limits {
    Duration time = std::chrono::seconds(60);
    std::size_t output_bytes = 1 << 20;
  };

  // Calls `done` once, later; `done` may destroy the Inspection. Errors that `done` gets: kInvalidModel with the
  // inspector's reason, or when the file crashes the inspector; kEngineTimeout; kInternal when the inspector itself
  // fails.
  // Errors: kIo when the child cannot be started.
  static Result<std::unique_ptr<Inspection>> start(io::Loop& loop, const io::ProcessSpec& child, Limits limits,
                                                   std::function<void(Result<ModelMetadata>)> done);
  ~Inspection();
  Inspection(const Inspection&) = delete;
  Inspection& operator=(const Inspection&) = delete;

 private:
  struct Impl;
  explicit Inspection(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// "model", "projector", "importance matrix", ...
std::string_view file_kind_name(FileKind kind);
std::optional<FileKind> find_file_kind(std::string_view name);

// Parses what the inspector prints. Pure. The caller sets ModelMetadata::context. For a file that is no model by itself
// only `kind`, `name` and `architecture` are set.
// Errors: kInvalidModel with the inspector's reason; kInternal for anything that is not its JSON.
Result<ModelMetadata> parse_inspection(std::string_view text);

}  // namespace minerva
