// GET /v1/events: what happens, as it happens, as server-sent events.
//
// A reader is a cursor in the feed's log and nothing more: one that is slow, or comes back late, costs no memory and is
// told what it lost. How many there are is bounded by limits.max_connections.
#pragma once

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// From now on, or after the event that the header Last-Event-ID (or ?last_event_id=) names.
io::Task<void> show_events(Service& service, Exchange& x);

}  // namespace minerva
