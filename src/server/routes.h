// The route table: which method and path mean what. dispatch() does nothing but look a request up in it.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// What a request does with its model's engine.
enum class Reach : std::uint8_t {
  kNone,     // it does not go there, or by the handler's own ways
  kUse,      // the model is loaded for it
  kLook,     // it is asked if it is hot; nothing is loaded or woken, and it counts as no use
  kCommand,  // a use of what only engines of the operator's own have: [model.NAME] command
  kEngine,   // a use of whatever its engine has (upstream.h)
};

// What a request takes of its engine while the engine answers.
// Source: llama.cpp v0.5.0, server-context.cpp: what posts tasks of completion, infill, embedding or rerank.
enum class Takes : std::uint8_t {
  kNoSlot,   // a visit: the engine answers beside its slots
  kOneSlot,  // whatever the body asks for
  kSlots,    // one slot for each answer that the body asks for, at once (api::Routing::slots)
};

struct Route {
  using Handler = io::Task<void> (*)(Service&, Exchange&, ModelId id);

  std::string_view method;  // a GET route answers HEAD too
  // "{id}" stands for a model's id, "{path}" at the end for anything, slashes included. Without slashes at its end:
  // a path is looked up as it is first, then without doubled slashes and those at its end. Only /chat/ has one: what
  // its page refers to is below it.
  std::string_view path;
  std::string_view meaning;                      // for people
  Handler handle;                                // `id`: the path's, empty if it has none or ends in "{path}"
  bool open = false;                             // answered without an API key
  bool takes_form = false;                       // also of a browser: multipart/form-data
  api::Dialect dialect = api::Dialect::kOpenAi;  // of its errors and streams
  std::string_view same_as = {};                 // another path of that method that means the same
  std::string_view engine_path = {};             // what the engine is asked for; empty: `path`
  Reach reach = Reach::kNone;
  Takes takes = Takes::kNoSlot;  // of the engine; of Reach::kEngine the path says it: takes_of()
  bool acts = false;             // a GET that changes something: browsers, whose images are GETs too, are refused
};
const std::vector<Route>& routes();

// Of what an engine is asked for, by its own path. What has no row here, only operators' own engines have: nobody knows
// what that takes, so what sends something takes one slot, and what only looks or deletes takes none.
Takes takes_of(std::string_view method, std::string_view engine_path);

// Finds the route of `exchange` and answers it, after a look at who may in (access.h).
io::Task<void> dispatch(Service& service, Exchange& exchange);

}  // namespace minerva
