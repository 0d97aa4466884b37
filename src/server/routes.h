// The route table: which method and path mean what. dispatch() does nothing but look a request up in it.
#pragma once

#include <string_view>
#include <vector>

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

struct Route {
  using Handler = io::Task<void> (*)(Service&, Exchange&, ModelId id);

  std::string_view method;                       // a GET route answers HEAD too
  std::string_view path;                         // "{id}" stands for a model's id
  std::string_view meaning;                      // for people
  Handler handle;                                // `id`: the path's, empty if it has none
  bool open = false;                             // answered without an API key
  bool takes_form = false;                       // also of a browser: multipart/form-data
  api::Dialect dialect = api::Dialect::kOpenAi;  // of its errors and streams
};
const std::vector<Route>& routes();

// Finds the route of `exchange` and answers it, after a look at who may in (access.h).
io::Task<void> dispatch(Service& service, Exchange& exchange);

}  // namespace minerva
