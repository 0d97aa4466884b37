// The page at /: what a browser shows of the server. Its sources are in page/; they are in the program.
//
// Its files need no key, as they are the same for everybody: what the page asks the server for does. Threading: the
// loop's thread; no disk is read. It does not know what the page asks for, nor who is signed in (sessions.h).
#pragma once

#include <string_view>
#include <vector>

#include "io/http.h"
#include "io/task.h"
#include "server/exchange.h"
#include "server/routes.h"

namespace minerva {

// Adds the rows of the route table below /page/. The page itself is at /, where clients of Ollama look for something
// else: that route asks wants_page() first.
void add_page_routes(std::vector<Route>& table);

// Whether it is a browser that somebody looks with.
bool wants_page(const io::RequestHead& request);
// Whether the client takes an answer that is gzipped.
bool accepts_gzip(const io::RequestHead& request);

// Answers with one of the page's files, or that there is none.
io::Task<void> answer_page(Exchange& x, std::string_view name);

}  // namespace minerva
