// The metrics of GET /metrics, in Prometheus' text format. docs/metrics.md describes each. The loop's thread.
#pragma once

#include <string>

#include "server/service.h"

namespace minerva {

// `of_everybody`: also what would tell one API key of the others' conversations.
std::string metrics_text(const Service& service, bool of_everybody);

}  // namespace minerva
