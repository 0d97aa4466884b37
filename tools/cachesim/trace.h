// Trace: the requests that a replay plays, read from CSV files.
//
// The first line names the columns, in any order: arrival_s (since any moment), model, user, service_s; and, if known,
// size_bytes and reload_s of the row's model. Rows may come in any order, since a server writes a row when the request
// ends. Text behind the last line end is skipped: that line was not completely written. The bytes are foreign:
// everything is checked, and limited so that no sum of a replay can overflow. Threading: plain values. It does not
// invent what is missing: see world.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"
#include "minerva/base/ids.h"
#include "minerva/base/result.h"

namespace minerva::cachesim {

inline double in_seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

struct TraceModel {
  ModelId id;
  std::optional<Bytes> size = std::nullopt;
  std::optional<Duration> reload = std::nullopt;

  bool operator==(const TraceModel&) const = default;
};

struct TraceRequest {
  Duration arrival{};       // since the first request of the trace; never before the request above
  std::uint32_t model = 0;  // index into Trace::models
  std::uint32_t user = 0;   // index into Trace::users
  Duration service{};       // how long its lease lasts, at most an hour

  bool operator==(const TraceRequest&) const = default;
};

struct Trace {
  std::vector<TraceModel> models;  // in the order of their first request
  std::vector<std::string> users;  // likewise
  std::vector<TraceRequest> requests;

  bool operator==(const Trace&) const = default;
};

// Errors: kInvalidArgument, with the number of the line.
Result<Trace> parse_trace(std::string_view csv);
// The rows of all these files together. Errors: kIo, and those of parse_trace.
Result<Trace> read_trace(const std::vector<std::string>& paths);
// Keeps only the requests for some models; `kept` has a flag for each of trace.models.
Trace keep_models(const Trace& trace, const std::vector<bool>& kept);
// The text that parse_trace() reads. Times are written in whole milliseconds.
std::string to_csv(const Trace& trace);

}  // namespace minerva::cachesim
