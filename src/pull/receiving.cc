// Fetch: receives the bytes of one file, as one range or as several at once.
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "pull/fetch.h"
#include "pull/part_file.h"
#include "pull/transfer.h"

namespace minerva::pull {
namespace {

constexpr auto kReportPeriod = std::chrono::milliseconds(500);
// Bytes are written together: libcurl's 16 KiB each take twice as much of a processor. On a slow line they are written
// after a while, so that little is lost with the process.
constexpr std::size_t kWrittenAtOnce = 256 << 10;
constexpr auto kWritePeriod = std::chrono::milliseconds(500);

}  // namespace

Result<void> Fetch::prove(PartFile& part, const std::string& name) {
  say(fmt::format("checking {}", name));
  const Result<bool> proven = part.proven(stop_);
  if (!proven) return fail(proven.error());
  if (*proven) return {};
  part.discard();
  // What an earlier try left may be damaged: tries once more from the beginning.
  const auto code = part.resumed() ? ErrorCode::kUnreachable : ErrorCode::kIo;
  return fail(code, fmt::format("What came of {} is not what the hub says it is (its hash is another one): nothing of "
                                "it is used. Pull it again; if that stays so, tell its publisher.",
                                name));
}

struct Fetch::Lines {
  explicit Lines(const Stop& job) : stop(&job) {}

  Stop stop;                       // for all threads
  std::mutex mutex;                // for the members below, and for progress_ meanwhile
  std::deque<std::size_t> pieces;  // pieces that no thread has taken
  std::optional<Error> error;      // the first error
  bool no_ranges = false;          // the server sends whole files only
};

Result<void> Fetch::receive(PartFile& part, const Source& source) {
  progress_.done = complete_ + Bytes(part.have());
  Lines lines(stop_);
  for (std::size_t i = 0; i < part.pieces().size(); ++i) {
    if (!part.pieces()[i].complete()) lines.pieces.push_back(i);
  }
  const std::size_t count = std::min<std::size_t>(settings_.parallel, lines.pieces.size());
  std::vector<std::thread> threads;
  const Bytes rate(settings_.max_rate.count() / std::max<std::size_t>(count, 1));
  try {
    while (count > 1 && threads.size() < count) {
      threads.emplace_back([&] { receive_pieces(*make_transfer(lines.stop, rate), part, source, lines); });
    }
  } catch (const std::system_error&) {  // fewer threads can do it too
  }
  if (threads.empty()) receive_pieces(*transfer_, part, source, lines);
  for (std::thread& thread : threads) thread.join();
  progress_.done = complete_ + Bytes(part.have());
  report_(progress_);  // also if the transfer ended before the next report was due
  if (lines.no_ranges) {
    if (const auto anew = part.begin_anew(); !anew) return fail(anew.error());
    return receive(part, source);  // now in one piece, which asks for no range
  }
  if (lines.error) return fail(*lines.error);
  return {};
}

void Fetch::receive_pieces(Transfer& transfer, PartFile& part, const Source& source, Lines& lines) {
  while (true) {
    std::size_t piece = 0;
    {
      const std::lock_guard lock(lines.mutex);
      if (lines.error || lines.no_ranges || lines.pieces.empty()) return;
      piece = lines.pieces.front();
      lines.pieces.pop_front();
    }
    const Result<void> got = receive_piece(transfer, part, piece, source, lines);
    if (got) continue;
    {
      const std::lock_guard lock(lines.mutex);
      if (!lines.error && !lines.no_ranges) lines.error = got.error();
    }
    return lines.stop.set();
  }
}

Result<void> Fetch::receive_piece(Transfer& transfer, PartFile& part, std::size_t at, const Source& source,
                                  Lines& lines) {
  const PartFile::Piece before = part.pieces()[at];
  const bool to_the_end = before.end == part.size();
  std::optional<Error> error;
  const auto refuse = [&](ErrorCode code, std::string message) {
    error = Error{code, std::move(message)};
    return false;
  };
  std::string pending;  // bytes that came and are not written yet
  std::optional<TimePoint> written;
  const auto write_pending = [&] {
    const Result<void> kept = part.append(at, pending);
    pending.clear();
    written = Clock::now();
    return kept || refuse(kept.error().code, kept.error().message);
  };
  const Transfer::Sink sink{
      [&](const Answer& answer) {
        const auto it = answer.fields.find("content-range");
        const auto range = it == answer.fields.end() ? std::nullopt : parse_content_range(it->second);
        if (answer.status == 206) {
          if (range && range->first == before.next() && range->total == part.size()) return true;
          part.discard();
          return refuse(ErrorCode::kUnreachable,
                        fmt::format("{} sends another part of {} than was asked for", answer.url.host, source.name));
        }
        const auto length = answer.fields.find("content-length");
        if (length != answer.fields.end() && length->second != fmt::to_string(part.size())) {
          return refuse(ErrorCode::kIo, fmt::format("{} sends {} bytes of {}, which has {} as the hub says: nothing of "
                                                    "it is used. Pull it again later.",
                                                    answer.url.host, length->second, source.name, part.size()));
        }
        // The server knows no ranges: it sends the whole file.
        const std::lock_guard lock(lines.mutex);
        lines.no_ranges = part.pieces().size() > 1;
        if (lines.no_ranges) return false;
        if (const auto anew = part.begin_anew(); !anew) return refuse(anew.error().code, anew.error().message);
        progress_.done = complete_;
        return true;
      },
      [&](std::string_view bytes) {
        const PartFile::Piece& piece = part.pieces()[at];
        // A server may send more than it was asked for. The rest belongs to the next piece, which gets it by its own
        // request.
        const std::uint64_t left = piece.end - piece.next() - pending.size();
        const bool is_next = !to_the_end && bytes.size() > left;
        if (is_next) bytes = bytes.substr(0, left);
        pending += bytes;
        if ((pending.size() >= kWrittenAtOnce || is_next) && !write_pending()) return false;
        const std::lock_guard lock(lines.mutex);
        progress_.done += Bytes(bytes.size());
        count(bytes.size());
        return !is_next;
      },
      [&] {
        const bool due = !written || Clock::now() - *written >= kWritePeriod;
        return pending.empty() || !due || write_pending();
      }};
  const auto last = to_the_end ? std::nullopt : std::optional(before.end - 1);
  const Result<Answer> answer = transfer.get(source.url, {before.next(), last}, sink);
  if (!error) write_pending();
  if (error) return fail(*error);
  if (!answer) return fail(answer.error());
  if (part.pieces()[at].complete()) return {};
  return fail(why_incomplete(*answer, part, source));
}

Error Fetch::why_incomplete(const Answer& answer, PartFile& part, const Source& source) const {
  const int status = answer.status;
  if (status == 416) {
    part.discard();
    return {ErrorCode::kUnreachable,
            fmt::format("{} has no such part of {}: it is begun anew", answer.url.host, source.name)};
  }
  const bool is_hub = answer.url.same_origin(hub_.endpoint);
  const bool from_repo = !source.repo.empty();
  if (!answer.good() && !is_hub && from_repo &&
      (status == 400 || status == 401 || status == 403 || status == 404 || status == 410)) {
    return {ErrorCode::kUnreachable, fmt::format("the address of {} that the hub gave has ended ({} says {})",
                                                 source.name, answer.url.host, status)};
  }
  if (!answer.good() && from_repo) return refused(answer, source.repo);
  if (!answer.good()) {
    return {may_pass(status) ? ErrorCode::kUnreachable : ErrorCode::kIo,
            fmt::format("{} answers {} with status {}. Check the address.", answer.url.host, source.name, status)};
  }
  return {ErrorCode::kUnreachable, fmt::format("the line was cut after {} of {} bytes of {}. What was fetched is "
                                               "kept: pull it again to go on",
                                               part.have(), part.size(), source.name)};
}

void Fetch::count(std::uint64_t bytes) {
  progress_.received += bytes;
  const TimePoint now = Clock::now();
  if (rated_ == TimePoint{}) rated_ = now;
  if (now - rated_ < kReportPeriod) return;
  const double seconds = std::chrono::duration<double>(now - rated_).count();
  const double rate = static_cast<double>(progress_.received - counted_) / seconds;
  constexpr double kNew = 0.3;
  progress_.rate = progress_.rate == 0 ? rate : (1 - kNew) * progress_.rate + kNew * rate;
  counted_ = progress_.received;
  rated_ = now;
  report_(progress_);
}

}  // namespace minerva::pull
