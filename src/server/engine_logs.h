// What engines print, as text lines: what there is, and what comes.
//
// Threading: the loop's thread.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// Each with what its lines begin with, which may be nothing.
using NamedLogs = std::vector<std::pair<std::string, std::shared_ptr<EngineLog>>>;

// The newest `tail` lines of each, one log after the other.
std::string log_text(const NamedLogs& logs, std::size_t tail);
// Answers with those, and then with each line as it comes. A reader that is too slow loses lines.
io::Task<void> follow_logs(Service& service, Exchange& x, const NamedLogs& logs, std::size_t tail);

}  // namespace minerva
