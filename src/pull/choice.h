// Choice: one model of a repository that can be pulled, with all files it needs, and which of them fits this machine.
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
  kFits,         // with the default context, as far as the sizes of its files tell
  kFitsSmaller,  // its weights do; context, slots or caches have to be smaller
  kDoesNotFit,
};
std::string_view fit_text(Fit fit);  // "fits", "fits smaller", "does not fit"

struct Companion {
  std::string_view kind;  // "draft" or "mtp"
  RemoteFile file;
};

struct Choice {
  ModelId name;     // to ask for, once it is here: "org/repo:Q4_K_M"
  std::string tag;  // what that has behind the repository: "Q4_K_M", or the stem
  // All of its parts, the first one first, then its projector and the companions that were asked for.
  std::vector<RemoteFile> files;
  std::vector<Companion> companions;  // that it can have, one of a kind
  Bytes size;                         // of all
  Bytes expected_memory;              // an estimate: only its inspection knows
  Fit fit = Fit::kDoesNotFit;
};

// The models among `files`, the largest first. One of which a part is missing is none; drafts, adapters and importance
// matrices are none. The repository's projector comes along with each, and what of `with` there is for it.
std::vector<Choice> choices_of(std::string_view repo, const std::vector<RemoteFile>& files, Bytes budget,
                               With with = {});

struct Chosen {
  Choice choice;
  std::string why;  // a sentence
};
// What was asked for, or what fits best: the largest that fits and is at least Q4_K_M; else the largest that fits; else
// the smallest that fits with less than usual.
// Errors: kModelNotFound, with what there is, also if it has no companion of a kind that was asked for; kInvalidModel:
// there is no GGUF model; kBudgetExceeded: none fits.
Result<Chosen> choose(const Asked& asked, const std::vector<Choice>& choices, Bytes budget);

}  // namespace minerva::pull
