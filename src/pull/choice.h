// Choice: a model of a repository that can be pulled, with all files it needs, and whether it fits this machine.
//
// Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/ids.h"
#include "minerva/base/result.h"
#include "pull/asked.h"
#include "pull/hub_answers.h"

namespace minerva::pull {

enum class Fit {
  kFits,         // with the default context, by the sizes of its files
  kFitsSmaller,  // the weights fit, but context, slots or caches have to be smaller
  kDoesNotFit,
};
std::string_view fit_text(Fit fit);  // "fits", "fits smaller", "does not fit"

struct Companion {
  std::string_view kind;  // "draft" or "mtp"
  RemoteFile file;
};

struct Choice {
  ModelId name;     // the name to ask for once the model is here: "org/repo:Q4_K_M"
  std::string tag;  // the part of the name behind the repository: "Q4_K_M", or the stem
  // All parts of the model, the first one first; then its projector and the companions that were asked for.
  std::vector<RemoteFile> files;
  std::vector<Companion> companions;  // companions that it can have, one of each kind
  Bytes size;                         // of all files
  Bytes expected_memory;              // an estimate: only an inspection knows
  Fit fit = Fit::kDoesNotFit;
};

// The models among `files`, the largest first. A model that lacks a part is left out; drafts, adapters and importance
// matrices are no models. Each choice gets the repository's projector, and those companions in `with` that there are
// for it.
std::vector<Choice> choices_of(std::string_view repo, const std::vector<RemoteFile>& files, Bytes budget,
                               With with = {});

struct Chosen {
  Choice choice;
  std::string why;  // a sentence
};
// The model that was asked for, or the one that fits best: the largest one that fits and has at least Q4_K_M; else the
// largest one that fits; else the smallest one that fits with less than usual.
// Errors: kModelNotFound, with what there is; also if the model has no companion of a kind that was asked for.
// kInvalidModel: there is no GGUF model. kBudgetExceeded: none fits.
Result<Chosen> choose(const Asked& asked, const std::vector<Choice>& choices, Bytes budget);

}  // namespace minerva::pull
