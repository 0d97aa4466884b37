// What `minerva import` makes of other servers' configs: Minerva's own, as TOML, with a comment on all that has no
// counterpart.
//
// Plain values; one thread. It reads no file but those it is given, and starts nothing.
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
  std::string path = {};  // absolute; empty: found by its id, or a command
  std::vector<ModelId> aliases = {};
  unsigned context = 0;  // tokens per conversation; 0: not said, as with all below
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
  std::vector<std::string> settings = {};  // lines of TOML, before all tables
  std::vector<std::string> sections = {};  // whole tables
  std::vector<ImportedModel> models = {};
  std::vector<ImportedPreset> presets = {};
  std::set<std::string> folders = {};   // that hold the models' files
  std::vector<std::string> notes = {};  // about all of it
  std::set<std::string> names = {};     // of models and presets, aliases included
};

// llama.cpp's presets for its router (--models-preset). Errors: kInvalidArgument with the line.
Result<void> import_llama_ini(std::string_view text, Imported& into);
// llama-swap's config. Errors: kInvalidArgument.
Result<void> import_llama_swap(std::string_view text, Imported& into);

std::string toml_of(const Imported& imported);

// ---- what both are made of ----

// A name like `name` that a model may have and that is not taken; it is taken then.
ModelId take_name(Imported& into, std::string_view name, std::vector<std::string>& notes);
// Adds what is free of `aliases`, and a note on the rest.
void take_aliases(Imported& into, const std::vector<std::string>& aliases, std::vector<ModelId>& to,
                  std::vector<std::string>& notes);

// Arguments of llama.cpp's server, as what Minerva has for them.
class ServerArguments {
 public:
  // Takes one with its values. `name` has its dashes.
  void take(const std::string& name, const std::vector<std::string>& values);
  // Of a command line, without the program.
  void take_line(const std::vector<std::string>& words);
  // Whether llama.cpp knows it, or Minerva has its own for it.
  static bool knows(const std::string& name);

  bool names_a_model() const { return !path_.empty() || !repository_.empty(); }
  // The model, called `name`.
  ImportedModel model(Imported& into, std::string_view name) const;

 private:
  bool take_own(const std::string& name, const std::string& value);

  std::string path_;
  std::string repository_;  // of the Hugging Face cache
  std::string context_;     // of all conversations together
  std::string parallel_;
  std::string ttl_;
  std::vector<std::string> aliases_;
  std::vector<std::string> args_;
  std::vector<std::string> notes_;
};

}  // namespace minerva::cli
