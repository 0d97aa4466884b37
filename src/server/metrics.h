// The metrics of GET /metrics, in Prometheus' text format. Each is described in docs/metrics.md.
#pragma once

#include <string>

#include "server/service.h"

namespace minerva {

std::string metrics_text(const Service& service);

}  // namespace minerva
