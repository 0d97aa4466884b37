// Completion of command lines in shells. The words come from the definition that parses them; the ids of models come
// from the server. The script for a shell (`minerva completion SHELL`) only passes the words on to `minerva
// __complete`.
//
// Threading: one thread.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

namespace minerva::cli {

struct Completion {
  struct Candidate {
    std::string word;
    std::string meaning;  // one line for people, may be empty
  };
  std::vector<Candidate> candidates;
  bool files = false;  // the shell should offer names of files and folders
};

// The ids of a server's models, given the --url and --api-key of the command line (empty: not given).
using ModelIds = std::function<std::vector<std::string>(const std::string& url, const std::string& api_key)>;

// What may stand in place of the last of `words`. The name of the program is not among them. Requires: at least one
// word.
Completion complete_words(const CLI::App& app, const std::vector<std::string>& words, const ModelIds& model_ids);

// `minerva __complete WORD...`: prints one candidate per line, a tab, and its meaning. Returns the exit code: 1 when
// the shell should offer file names.
int print_completion(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace minerva::cli
