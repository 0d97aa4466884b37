// The page at /: shows in a browser what the server does. Its sources are in page/, and are built into the program.
//
// Its files need no key, since they are the same for everybody. The requests that the page makes need one. Threading:
// the loop's thread; no disk is read. This code does not know what the page asks for, nor who is signed in
// (sessions.h).
#pragma once

#include <string_view>
#include <vector>

#include "io/http.h"
#include "io/task.h"
#include "server/exchange.h"
#include "server/routes.h"

namespace minerva {

// Adds the rows of the route table below /page/. The page itself is at /, where Ollama's clients expect something else:
// the route of / asks wants_page() first.
void add_page_routes(std::vector<Route>& table);

// Whether the request comes from a browser that a person looks at.
bool wants_page(const io::RequestHead& request);
// Whether the client accepts an answer with gzip.
bool accepts_gzip(const io::RequestHead& request);

// Answers with one of the page's files, or with the error that there is no such file.
io::Task<void> answer_page(Exchange& x, std::string_view name);

}  // namespace minerva
