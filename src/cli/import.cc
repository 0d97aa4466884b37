// minerva import: turns other servers' configs into Minerva's.
#include "cli/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

#include "catalog/names.h"
#include "cli/command.h"
#include "config/config.h"
#include "config/toml_text.h"

namespace minerva::cli {
namespace {

constexpr std::size_t kMaxFileBytes = 1 << 20;  // the same as for a config

// The text on one line, as a comment needs it.
std::string comment(std::string_view text) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  return fmt::format("# {}\n", line);
}

std::string comments(const std::vector<std::string>& notes) {
  std::string text;
  for (const std::string& note : notes) text += comment(note);
  return text;
}

std::string list(const std::vector<std::string>& values) { return toml_value(api::Json(values)); }

std::string toml_of(const ImportedModel& model) {
  std::string text = fmt::format("\n[model.{}]\n{}", toml_string(model.id), comments(model.notes));
  if (!model.path.empty()) text += fmt::format("path = {}\n", toml_string(model.path));
  if (!model.command.empty()) {
    text += fmt::format("command = {}\n", list(model.command));
    text += comment("A guess: set what it takes of the memory, all in all.") + "memory = \"4GiB\"\n";
  }
  if (!model.environment.empty()) text += fmt::format("env = {}\n", list(model.environment));
  if (!model.health.empty()) text += fmt::format("health = {}\n", toml_string(model.health));
  if (!model.aliases.empty()) text += fmt::format("aliases = {}\n", list(model.aliases));
  if (model.context > 0) text += fmt::format("context = {}\n", model.context);
  if (model.parallel > 0) text += fmt::format("parallel = {}\n", model.parallel);
  if (model.ttl) text += fmt::format("ttl = \"{}s\"\n", model.ttl->count());
  if (model.pinned) text += "pin = true\n";
  if (model.eager) text += "preload = \"eager\"\n";
  if (!model.args.empty()) text += fmt::format("args = {}\n", list(model.args));
  return text;
}

std::string toml_of(const ImportedPreset& imported) {
  const api::Preset& preset = imported.preset;
  std::string text = fmt::format("\n[preset.{}]\n{}model = {}\n", toml_string(preset.id), comments(imported.notes),
                                 toml_string(preset.model));
  if (!preset.aliases.empty()) text += fmt::format("aliases = {}\n", list(preset.aliases));
  if (!preset.strip.empty()) text += fmt::format("strip = {}\n", list(preset.strip));
  if (!preset.set.empty()) {
    text += fmt::format("set = {}\n", toml_value(api::Json::parse(api::preset_json(preset.set))));
  }
  return text;
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(kMaxFileBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (in.bad() || (text.empty() && !in.eof())) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("{}: cannot be read", path));
  }
  if (text.size() > kMaxFileBytes) return fail(ErrorCode::kInvalidArgument, fmt::format("{}: is over 1 MiB", path));
  // Replaces bytes that are no UTF-8: TOML cannot have them.
  return api::Json::parse(api::dump(api::Json(text))).get<std::string>();
}

// Decides by the file's name, else by its first line that is not empty.
bool is_yaml(const std::string& path, std::string_view text) {
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension == ".yaml" || extension == ".yml") return true;
  if (extension == ".ini") return false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    return line.front() != '[' && line.find(':') < line.find('=');
  }
  return false;
}

Result<std::string> import_files(const std::vector<std::string>& paths) {
  Imported imported;
  for (const std::string& path : paths) {
    const Result<std::string> text = read_file(path);
    if (!text) return fail(text.error());
    const Result<void> done =
        is_yaml(path, *text) ? import_llama_swap(*text, imported) : import_llama_ini(*text, imported);
    if (!done) return fail(ErrorCode::kInvalidArgument, fmt::format("{}: {}", path, done.error().message));
  }
  return toml_of(imported);
}

}  // namespace

std::string toml_of(const Imported& imported) {
  std::string text = comment("Made by minerva import. Try it: minerva serve --check --config FILE");
  text += comments(imported.notes);
  if (!imported.folders.empty()) {
    text += comment("Every model in these folders is served, also those that have no table below.");
    std::vector<std::string> folders(imported.folders.begin(), imported.folders.end());
    if (imported.uses_hub) {
      if (const auto hub = hub_cache_folder()) folders.push_back(*hub);
    }
    text += fmt::format("models_dirs = {}\n", list(folders));
  }
  for (const std::string& line : imported.settings) text += line + "\n";
  for (const std::string& section : imported.sections) text += "\n" + section;
  for (const ImportedModel& model : imported.models) text += toml_of(model);
  for (const ImportedPreset& preset : imported.presets) text += toml_of(preset);
  return text;
}

ModelId take_name(Imported& into, std::string_view name, std::vector<std::string>& notes) {
  std::string id;
  for (const char c : name) {
    const bool fits = is_model_id(fmt::format("a{}", c));
    if (fits && !(id.empty() && !is_model_id(std::string(1, c)))) {
      id += c;
    } else if (!id.empty() && id.back() != '-') {
      id += '-';
    }
  }
  if (!is_usable_id(id)) id = "model";
  std::string free = id;
  for (unsigned i = 2; into.names.contains(free); ++i) free = fmt::format("{}-{}", id, i);
  if (free != name) notes.push_back(fmt::format("It was called \"{}\".", name));
  into.names.insert(free);
  return free;
}

void take_aliases(Imported& into, const std::vector<std::string>& aliases, std::vector<ModelId>& to,
                  std::vector<std::string>& notes) {
  for (const std::string& alias : aliases) {
    if (std::find(to.begin(), to.end(), alias) != to.end()) continue;
    if (!is_usable_id(alias)) {
      notes.push_back(fmt::format("The alias \"{}\" cannot be a model's name.", alias));
    } else if (!into.names.insert(alias).second) {
      notes.push_back(fmt::format("The alias \"{}\" is another model's or preset's name.", alias));
    } else {
      to.push_back(alias);
    }
  }
}

void add_import(CLI::App& app, Session& session) {
  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app.add_subcommand(
      "import", "Print Minerva's config for llama.cpp's presets (INI) or llama-swap's config (YAML)");
  command->add_option("PATH", *paths, "The files")->required()->expected(-1)->type_name("FILE");
  command->callback([paths, &session] {
    const Result<std::string> config = import_files(*paths);
    if (config) {
      fmt::print("{}", *config);
    } else {
      session.exit_code = report(config.error());
    }
  });
}

}  // namespace minerva::cli
