// The metrics of GET /metrics, in Prometheus' text format. docs/metrics.md describes each. The loop's thread.
#pragma once

#include <string>

#include "server/service.h"

namespace minerva {

std::string metrics_text(const Service& service);

}  // namespace minerva
