// Completion of command lines in shells. The words come from the same definition that parses them, and the models' ids
// from the server. A shell's own script (`minerva completion SHELL`) only passes its words on to `minerva __complete`.
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
    std::string meaning;  // a line for people, may be empty
  };
  std::vector<Candidate> candidates;
  bool files = false;  // a file's or a folder's name is wanted: the shell knows those
};

// The ids of a server's models, given the --url and --api-key of the command line (empty: not given).
using ModelIds = std::function<std::vector<std::string>(const std::string& url, const std::string& api_key)>;

// What may stand for the last of `words`; the program's own name is not among them. Requires: at least one word.
Completion complete_words(const CLI::App& app, const std::vector<std::string>& words, const ModelIds& model_ids);

// `minerva __complete WORD...`: a candidate a line, a tab, its meaning. Returns the exit code: 1 when the shell should
// offer file names.
int print_completion(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace minerva::cli
