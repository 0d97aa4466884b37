#include "cachesim/trace.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <unordered_map>
#include <utility>

namespace minerva::cachesim {
namespace {

// Within these limits every time of a replay fits into 64 bits of nanoseconds, and all loaded bytes fit into 64 bits,
// even if each request has to wait for all before it.
constexpr std::size_t kMostRequests = 1'000'000;
constexpr double kLastArrivalS = 4e9;  // so seconds since 1970 are accepted
constexpr Duration kLongestTrace = std::chrono::seconds(1'000'000'000);
constexpr double kLongestLoadS = 3600;
constexpr Duration kLongestLease = std::chrono::hours(1);
constexpr double kLongestLeaseGivenS = 1e6;
constexpr std::uint64_t kLargestModel = 10'000'000'000'000;
constexpr std::size_t kLongestUser = 200;
constexpr std::size_t kLargestFile = std::size_t{1} << 30;

enum Column : std::size_t { kArrival, kModel, kUser, kService, kSize, kReload, kColumns };
constexpr std::array<std::string_view, kColumns> kColumnNames = {"arrival_s", "model",      "user",
                                                                 "service_s", "size_bytes", "reload_s"};
constexpr std::size_t kRequiredColumns = kSize;

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    const std::size_t comma = line.find(',');
    fields.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

// The part of a wrong field that a message may show.
std::string shown(std::string_view field) {
  constexpr std::size_t kMost = 40;
  std::string text(field.substr(0, kMost));
  const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
  std::replace_if(text.begin(), text.end(), [&](char c) { return !printable(c); }, '?');
  return text + (field.size() > kMost ? "..." : "");
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<Duration> parse_seconds(std::string_view text, double most) {
  constexpr double kMicrosecondsInSecond = 1e6;  // no finer: a double holds seconds since 1970 to a microsecond
  const std::optional<double> seconds = parse_number<double>(text);
  if (!seconds || !(*seconds >= 0 && *seconds <= most)) return std::nullopt;  // this also excludes NaN
  return std::chrono::microseconds(std::llround(*seconds * kMicrosecondsInSecond));
}

bool is_user(std::string_view text) {
  return !text.empty() && text.size() <= kLongestUser &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~' && c != '"'; });
}

// Gives the element `index` of `from` the next place in `to`, unless it has one.
template <typename Named>
void renumber(std::uint32_t& index, const std::vector<Named>& from, std::vector<Named>& to,
              std::vector<std::optional<std::uint32_t>>& places) {
  std::optional<std::uint32_t>& place = places[index];
  if (!place) {
    place = static_cast<std::uint32_t>(to.size());
    to.push_back(from[index]);
  }
  index = *place;
}

// Sorts the rows in the order of a Trace, and leaves out models and users without a request.
Trace arrange(const Trace& rows) {
  std::vector<std::pair<Duration, std::size_t>> order;  // requests of the same time keep their order
  for (std::size_t i = 0; i < rows.requests.size(); ++i) order.emplace_back(rows.requests[i].arrival, i);
  std::sort(order.begin(), order.end());

  Trace trace;
  trace.requests.reserve(order.size());
  std::vector<std::optional<std::uint32_t>> models(rows.models.size());
  std::vector<std::optional<std::uint32_t>> users(rows.users.size());
  for (const auto& [arrival, place] : order) {
    TraceRequest request = rows.requests[place];
    request.arrival -= order.front().first;
    renumber(request.model, rows.models, trace.models, models);
    renumber(request.user, rows.users, trace.users, users);
    trace.requests.push_back(request);
  }
  return trace;
}

class Reader {
 public:
  // Adds the rows of one file.
  Result<void> add(std::string_view csv);
  Result<Trace> finish();

 private:
  Failure wrong(std::string message) const {
    return fail(ErrorCode::kInvalidArgument, fmt::format("line {}: {}", line_number_, message));
  }
  Failure wrong_field(Column column, std::string_view field, std::string_view expected) const {
    return wrong(fmt::format("{} is \"{}\", which is not {}", kColumnNames[column], shown(field), expected));
  }
  Result<void> read_header(std::string_view line);
  Result<void> read_row(std::string_view line);
  Result<std::uint32_t> read_model(const std::vector<std::string_view>& fields);
  bool has(Column column) const { return places_[column].has_value(); }
  std::string_view field(const std::vector<std::string_view>& fields, Column column) const {
    return fields[*places_[column]];
  }

  Trace trace_;
  std::size_t line_number_ = 0;
  std::array<std::optional<std::size_t>, kColumns> places_;  // of each column in a row
  std::size_t columns_ = 0;
  std::unordered_map<std::string, std::uint32_t> models_;
  std::unordered_map<std::string, std::uint32_t> users_;
};

Result<void> Reader::add(std::string_view csv) {
  line_number_ = 0;
  places_ = {};
  columns_ = 0;
  for (std::size_t end = csv.find('\n'); end != std::string_view::npos; end = csv.find('\n')) {
    ++line_number_;
    std::string_view line = csv.substr(0, end);
    csv.remove_prefix(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const Result<void> done = line_number_ == 1 ? read_header(line) : read_row(line);
    if (!done) return fail(done.error());
  }
  return {};
}

Result<Trace> Reader::finish() {
  if (trace_.requests.empty()) return fail(ErrorCode::kInvalidArgument, "the trace has no requests");
  Trace trace = arrange(trace_);
  if (trace.requests.back().arrival > kLongestTrace) {
    return fail(ErrorCode::kInvalidArgument, "the trace lasts longer than 30 years: its arrivals have no common start");
  }
  return trace;
}

Result<void> Reader::read_header(std::string_view line) {
  for (const std::string_view name : split(line)) {
    const auto* const known = std::find(kColumnNames.begin(), kColumnNames.end(), name);
    if (known == kColumnNames.end()) {
      return wrong(fmt::format("there is no column \"{}\"; the first line names some of: {}", shown(name),
                               fmt::join(kColumnNames, ", ")));
    }
    auto& place = places_[static_cast<std::size_t>(known - kColumnNames.begin())];
    if (place) return wrong(fmt::format("the column {} is named twice", name));
    place = columns_++;
  }
  for (std::size_t column = 0; column < kRequiredColumns; ++column) {
    if (!places_[column]) return wrong(fmt::format("the column {} is missing", kColumnNames[column]));
  }
  return {};
}

Result<void> Reader::read_row(std::string_view line) {
  const std::vector<std::string_view> fields = split(line);
  if (fields.size() != columns_) return wrong(fmt::format("{} fields where {} are named", fields.size(), columns_));
  if (trace_.requests.size() == kMostRequests) return wrong(fmt::format("more than {} requests", kMostRequests));

  const auto arrival = parse_seconds(field(fields, kArrival), kLastArrivalS);
  if (!arrival) {
    return wrong_field(kArrival, field(fields, kArrival), fmt::format("a number from 0 to {:.0f}", kLastArrivalS));
  }
  auto service = parse_seconds(field(fields, kService), kLongestLeaseGivenS);
  if (!service) {
    return wrong_field(kService, field(fields, kService),
                       fmt::format("a number from 0 to {:.0f}", kLongestLeaseGivenS));
  }
  service = std::min<Duration>(*service, kLongestLease);
  const std::string_view user = field(fields, kUser);
  if (!is_user(user)) return wrong_field(kUser, user, "a name");
  const Result<std::uint32_t> model = read_model(fields);
  if (!model) return fail(model.error());
  const auto [it, is_new] = users_.try_emplace(std::string(user), static_cast<std::uint32_t>(trace_.users.size()));
  if (is_new) trace_.users.emplace_back(user);
  trace_.requests.push_back({*arrival, *model, it->second, *service});
  return {};
}

Result<std::uint32_t> Reader::read_model(const std::vector<std::string_view>& fields) {
  TraceModel model{.id = ModelId(field(fields, kModel))};
  if (!is_model_id(model.id)) return wrong_field(kModel, model.id, "the id of a model");
  if (has(kSize)) {
    const auto size = parse_number<std::uint64_t>(field(fields, kSize));
    if (!size || *size == 0 || *size > kLargestModel) {
      return wrong_field(kSize, field(fields, kSize), fmt::format("a whole number from 1 to {}", kLargestModel));
    }
    model.size = Bytes(*size);
  }
  if (has(kReload)) {
    model.reload = parse_seconds(field(fields, kReload), kLongestLoadS);
    if (!model.reload || *model.reload == Duration::zero()) {
      return wrong_field(kReload, field(fields, kReload),
                         fmt::format("a number above 0, at most {:.0f}", kLongestLoadS));
    }
  }
  const auto [it, is_new] = models_.try_emplace(model.id, static_cast<std::uint32_t>(trace_.models.size()));
  if (is_new) {
    trace_.models.push_back(std::move(model));
  } else if (trace_.models[it->second] != model) {
    return wrong(fmt::format("size_bytes or reload_s of {} is another one than before", model.id));
  }
  return it->second;
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string csv;
  std::array<char, 1U << 16> part{};
  while (file && csv.size() <= kLargestFile) {
    file.read(part.data(), part.size());
    csv.append(part.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (csv.size() > kLargestFile) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{} has more than {} bytes, so it is no trace", path, kLargestFile));
  }
  if (!file.eof()) return fail(ErrorCode::kIo, fmt::format("cannot read {}; name a file that exists", path));
  return csv;
}

std::string format_seconds(Duration duration) {
  constexpr std::int64_t kMillisecondsInSecond = 1000;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  return fmt::format("{}.{:03}", ms / kMillisecondsInSecond, ms % kMillisecondsInSecond);
}

}  // namespace

Result<Trace> parse_trace(std::string_view csv) {
  Reader reader;
  if (const Result<void> added = reader.add(csv); !added) return fail(added.error());
  return reader.finish();
}

Result<Trace> read_trace(const std::vector<std::string>& paths) {
  Reader reader;
  for (const std::string& path : paths) {
    const Result<std::string> csv = read_file(path);
    if (!csv) return fail(csv.error());
    const Result<void> added = reader.add(*csv);
    if (!added) return fail(added.error().code, fmt::format("{}: {}", path, added.error().message));
  }
  return reader.finish();
}

Trace keep_models(const Trace& trace, const std::vector<bool>& kept) {
  Trace rows = trace;
  std::erase_if(rows.requests, [&](const TraceRequest& request) { return !kept[request.model]; });
  return arrange(rows);
}

std::string to_csv(const Trace& trace) {
  const auto all = [&](auto member) {
    return std::all_of(trace.models.begin(), trace.models.end(), [&](const TraceModel& m) { return m.*member; });
  };
  const bool sizes = all(&TraceModel::size);
  const bool reloads = all(&TraceModel::reload);
  std::string csv = "arrival_s,model,user,service_s";
  if (sizes) csv += ",size_bytes";
  if (reloads) csv += ",reload_s";
  csv += '\n';
  for (const TraceRequest& request : trace.requests) {
    const TraceModel& model = trace.models[request.model];
    csv += fmt::format("{},{},{},{}", format_seconds(request.arrival), model.id, trace.users[request.user],
                       format_seconds(request.service));
    if (sizes) csv += fmt::format(",{}", model.size->count());
    if (reloads) csv += fmt::format(",{}", format_seconds(*model.reload));
    csv += '\n';
  }
  return csv;
}

}  // namespace minerva::cachesim
