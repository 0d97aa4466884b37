// Prints the route table, one JSON object per line, for the tests that go through every route.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "server/routes.h"

int main() {
  for (const minerva::Route& route : minerva::routes()) {
    const nlohmann::json line = {{"method", route.method},
                                 {"path", route.path},
                                 {"meaning", route.meaning},
                                 {"open", route.open},
                                 {"takes_form", route.takes_form},
                                 {"same_as", route.same_as},
                                 {"dialect", static_cast<int>(route.dialect)},
                                 {"engine_path", route.engine_path},
                                 {"reach", static_cast<int>(route.reach)},
                                 {"takes", static_cast<int>(route.takes)},
                                 {"acts", route.acts}};
    std::puts(line.dump().c_str());
  }
  return 0;
}
