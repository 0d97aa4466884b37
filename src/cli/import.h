// `minerva import`: turns other servers' configs into Minerva's TOML, with a comment on everything that has no
// counterpart.
//
// Plain values; one thread. It reads no other files, and starts nothing.
#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/preset.h"
#include "minerva/base/ids.h"
#include "minerva/base/result.h"

namespace minerva::cli {

struct ImportedModel {
  ModelId id;
  std::string path = {};  // absolute; empty: the model is found by its id, or has a command
  std::vector<ModelId> aliases = {};
  unsigned context = 0;  // tokens per conversation; 0: not set, likewise for the members below
  unsigned parallel = 0;
  std::optional<std::chrono::seconds> ttl = {};
  bool pinned = false;
  bool eager = false;
  std::vector<std::string> args = {};
  std::vector<std::string> command = {};
  std::vector<std::string> environment = {};  // of the command
  std::string health = {};
  std::vector<std::string> notes = {};
};

struct ImportedPreset {
  api::Preset preset;
  std::vector<std::string> notes = {};
};

struct Imported {
  std::vector<std::string> settings = {};  // lines of TOML that stand before all tables
  std::vector<std::string> sections = {};  // whole tables
  std::vector<ImportedModel> models = {};
  std::vector<ImportedPreset> presets = {};
  std::set<std::string> folders = {};   // the folders of the models' files
  bool uses_hub = false;                // a model is in the Hugging Face cache
  std::vector<std::string> notes = {};  // about the whole config
  std::set<std::string> names = {};     // of models and presets, with aliases
};

// Imports a file of presets for llama.cpp's router (--models-preset). Errors: kInvalidArgument with the line.
Result<void> import_llama_ini(std::string_view text, Imported& into);
// Imports llama-swap's config. Errors: kInvalidArgument.
Result<void> import_llama_swap(std::string_view text, Imported& into);

std::string toml_of(const Imported& imported);

// ---- parts of both imports ----

// Finds a free name that is like `name` and that a model may have, and takes it.
ModelId take_name(Imported& into, std::string_view name, std::vector<std::string>& notes);
// Adds those of `aliases` that are free, and a note on the others.
void take_aliases(Imported& into, const std::vector<std::string>& aliases, std::vector<ModelId>& to,
                  std::vector<std::string>& notes);

// Arguments of llama.cpp's server, in Minerva's terms.
class ServerArguments {
 public:
  // Takes one argument with its values. `name` includes the dashes.
  void take(const std::string& name, const std::vector<std::string>& values);
  // Takes all arguments of a command line; `words` has no program.
  void take_line(const std::vector<std::string>& words);
  // Whether llama.cpp knows the argument, or Minerva has a setting for it.
  static bool knows(const std::string& name);

  bool names_a_model() const { return !path_.empty() || !repository_.empty(); }
  // The model with these arguments, under the name `name`.
  ImportedModel model(Imported& into, std::string_view name) const;

 private:
  bool take_own(const std::string& name, const std::string& value);

  std::string path_;
  std::string repository_;  // in the Hugging Face cache
  std::string context_;     // for all conversations together
  std::string parallel_;
  std::string ttl_;
  std::vector<std::string> aliases_;
  std::vector<std::string> args_;
  std::vector<std::string> notes_;
};

}  // namespace minerva::cli
