// ContextSearch: finds the largest context with which a model needs no more memory than there may be, by asking what a
// few of them need.
//
// Pure. What a model needs grows about linearly with its context, so each question is where a line through the answers
// meets the limit; an answer that is off it costs one more question. Threading: one thread.
// It inspects nothing.
#pragma once

#include <optional>

#include "minerva/base/bytes.h"

namespace minerva {

class ContextSearch {
 public:
  // `context` tokens are known to need `footprint`, and that is too much.
  ContextSearch(Bytes room, unsigned context, Bytes footprint);

  // The next one to ask about, in tokens; nothing: the search is over.
  std::optional<unsigned> next() const;
  // Its answer. Requires: next() asked for it.
  void take(Bytes footprint);
  // The largest one found so far that fits, in tokens.
  std::optional<unsigned> best() const;

  static constexpr unsigned kStep = 256;      // llama.cpp rounds contexts up to multiples
  static constexpr unsigned kSmallest = 512;  // less is of no use to anybody
  static constexpr unsigned kMostQuestions = 8;

 private:
  struct Known {
    unsigned context;
    Bytes footprint;
  };
  Bytes room_;
  Known too_large_;
  std::optional<Known> fits_;
  unsigned questions_ = 0;
};

}  // namespace minerva
