// The route table: which method and path mean what. One table, which also makes the 405s and the documentation check.
#pragma once

#include <string_view>
#include <vector>

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

struct Route {
  std::string_view method;
  std::string_view path;     // "{id}" stands for a model's id
  bool changes_state;        // a browser may call it only from a page of this server's own origin
  std::string_view meaning;  // for people
};
const std::vector<Route>& routes();

// Finds the route of `exchange` and answers it, refusing foreign Hosts and Origins first.
io::Task<void> dispatch(Service& service, Exchange& exchange);

}  // namespace minerva
