// What engines print, as lines of text: the lines so far, and new lines as they come.
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

// Each log with the prefix of its lines, which may be empty.
using NamedLogs = std::vector<std::pair<std::string, std::shared_ptr<EngineLog>>>;

// The newest `tail` lines of each log, one log after the other.
std::string log_text(const NamedLogs& logs, std::size_t tail);
// Answers with these lines, and then with each new line. A reader that is too slow loses lines.
io::Task<void> follow_logs(Service& service, Exchange& x, const NamedLogs& logs, std::size_t tail);

}  // namespace minerva
