// minerva manual: the man page, made from the definitions that parse the command line and the config.
#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"

namespace minerva::cli {
namespace {

// Escapes text for roff, so that no line becomes a command by accident.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

std::string heading(std::string_view text) { return fmt::format(".SH {}\n", text); }

// One entry of a list: a term and its meaning.
std::string entry(std::string_view term, std::string_view meaning) {
  return fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(term), roff(meaning));
}

std::string option_term(const CLI::Option& option) {
  std::string term;
  for (const std::string& name : option.get_snames()) term += fmt::format("-{}, ", name);
  for (const std::string& name : option.get_lnames()) term += fmt::format("--{}, ", name);
  if (term.empty()) return option.get_name();
  term.resize(term.size() - 2);
  if (option.get_items_expected_max() != 0) term += " " + option.get_type_name();
  return term;
}

std::string options_of(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : app.get_options()) text += entry(option_term(*option), option->get_description());
  return text;
}

std::string synopsis_of(const CLI::App& command) {
  std::string text = command.get_name();
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) continue;
    text += option->get_required() ? " " + option->get_name() : fmt::format(" [{}]", option->get_name());
  }
  return text + " [OPTIONS]";
}

// `before`: the words before a command's name.
std::string commands_of(const CLI::App& app, const std::string& before) {
  std::string text;
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    if (command->get_name().empty()) continue;
    if (!command->get_subcommands(nullptr).empty()) {
      text += commands_of(*command, before + command->get_name() + " ");
      continue;
    }
    text += fmt::format(".SS {}\n{}.\n{}", roff(before + synopsis_of(*command)), roff(command->get_description()),
                        options_of(*command));
  }
  return text;
}

std::string config_keys_text() {
  std::string text = roff(
      "A TOML file given with --config, by default none. A flag is stronger than a variable of the environment, and "
      "that is stronger than the file. The server reads the file again when it changes and on SIGHUP, and touches only "
      "models whose entry changed. `minerva serve --check` prints the config that would count.");
  text += '\n';
  for (const ConfigKey& key : config_keys()) {
    text += entry(key.name, fmt::format("{} ({}; default: {}{}{})", key.meaning, key.type, key.default_text,
                                        key.environment.empty() ? "" : "; env " + key.environment,
                                        key.at_start_only ? "; a change needs a restart" : ""));
  }
  return text;
}

}  // namespace

std::string manual(const CLI::App& app) {
  std::string text = fmt::format(".TH MINERVA 1 \"\" \"minerva {}\" \"User Commands\"\n", MINERVA_VERSION);
  text += heading("NAME") + "minerva \\- many language models behind one OpenAI endpoint\n";
  text += heading("SYNOPSIS") + ".B minerva\n.I COMMAND\n[\\fIOPTIONS\\fR]\n";
  text += heading("DESCRIPTION");
  text += roff(
      "Minerva serves the GGUF models of some folders under one address and keeps in memory those that are used, as "
      "far "
      "as there is room. `minerva serve` is the server; the other commands talk to one that runs.");
  text += '\n';
  text += heading("OPTIONS") + options_of(app);
  text += heading("COMMANDS") + commands_of(app, "minerva ");
  text += heading("CONFIGURATION") + config_keys_text();
  text += heading("EXIT STATUS");
  text += entry("0", "done") + entry("1", "refused or failed; the reason is on stderr") + entry("2", "wrong usage") +
          entry("3", "the server cannot be reached") + entry("4", "there is no such model");
  text += heading("ENVIRONMENT");
  text += entry("MINERVA_URL", "the server that the commands talk to") +
          entry("MINERVA_API_KEY", "the key they show it") + entry("MINERVA_CONFIG", "the config file of the server");
  return text;
}

void add_manual(CLI::App& app, Session& session) {
  app.add_subcommand("manual", "Print the man page (minerva manual | man -l -)")->callback([&app, &session] {
    fmt::print("{}", manual(app));
    session.exit_code = 0;
  });
}

}  // namespace minerva::cli
