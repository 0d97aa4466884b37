// The route table: what each method and path means. dispatch() looks a request up in it, and does nothing else. The
// loop's thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// What a request does with the engine of its model.
enum class Reach : std::uint8_t {
  kNone,     // it does not go to the engine, or the handler does that in its own way
  kUse,      // a use: the model is loaded for it
  kLook,     // a look: answered if the model is hot; loads and wakes nothing, and counts as no use
  kCommand,  // a use of a route that only command engines have ([model.NAME] command)
  kEngine,   // a use of any route of the engine (upstream.h)
};

// What a request takes of its engine while the engine answers.
// Source: llama.cpp v0.5.0, server-context.cpp: the handlers that post tasks of completion, infill, embedding or
// rerank.
enum class Takes : std::uint8_t {
  kNoSlot,   // a visit: the engine answers beside its slots
  kOneSlot,  // whatever the body asks for
  kSlots,    // one slot for each answer that the body asks for, at once (api::Routing::slots)
};

struct Route {
  using Handler = io::Task<void> (*)(Service&, Exchange&, ModelId id);

  std::string_view method;  // a GET route answers HEAD too
  // "{id}" stands for the id of a model; "{path}" at the end stands for anything, slashes included. There is no slash
  // at its end. A path is looked up as it is first, and then without doubled slashes and without slashes at its end.
  // Only /chat/ has a slash at its end, since its page's links are relative to it.
  std::string_view path;
  std::string_view meaning;                      // for people
  Handler handle;                                // `id`: from the path; empty if the path has none or ends in "{path}"
  bool open = false;                             // answered without an API key
  bool takes_form = false;                       // takes multipart/form-data, also from a browser
  api::Dialect dialect = api::Dialect::kOpenAi;  // of its errors and streams
  std::string_view same_as = {};                 // another path of that method with the same meaning
  std::string_view engine_path = {};             // the path that the engine gets; empty: `path`
  Reach reach = Reach::kNone;
  Takes takes = Takes::kNoSlot;  // for Reach::kEngine the path decides: takes_of()
  bool acts = false;             // a GET that changes something: refused from browsers, whose images are GETs too
};
const std::vector<Route>& routes();

// What a request takes of its engine, by the engine's own path. A path without a row is one of a command engine, and
// nobody knows what it takes: so a request that sends something takes one slot, and one that only looks or deletes
// takes none.
Takes takes_of(std::string_view method, std::string_view engine_path);

// Checks access (access.h), finds the route of `exchange` and answers it.
io::Task<void> dispatch(Service& service, Exchange& exchange);

}  // namespace minerva
