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
  bool acts = false;  // a GET that changes something: browsers, whose images are GETs too, are refused
};
const std::vector<Route>& routes();

// Finds the route of `exchange` and answers it, after a look at who may in (access.h).
io::Task<void> dispatch(Service& service, Exchange& exchange);

}  // namespace minerva
