// offered_load: sends requests at a fixed rate, whatever becomes of them, and prints how they ended. It is an open
// loop; the clients of bench/loadgen wait for their answers, and so never overload anything.
//
// usage: offered_load HOST:PORT MODEL REQUESTS_PER_SECOND SECONDS
// Prints one JSON object. `seconds`: until the last answer. `rejected`: 429 and 503; `broken`: no answer at all.
// Latencies count from the first byte that was sent to the last one that was read. The counts are exact, the rates are
// not: tests must not depend on them.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

#include "io/http.h"
#include "io/loop.h"
#include "io/stream.h"

namespace {

using namespace minerva;  // NOLINT(google-build-using-namespace)
using Connection = std::unique_ptr<io::HttpClientConnection>;

double milliseconds(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

double quantile(std::vector<double>& values, double q) {
  if (values.empty()) return 0;
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

class OfferedLoad {
 public:
  OfferedLoad(io::Loop& loop, io::Address address, std::string body)
      : loop_(loop), address_(std::move(address)), body_(std::move(body)) {}

  io::Task<void> run(double rate, double seconds) {
    const TimePoint start = Clock::now();
    const auto total = static_cast<std::uint64_t>(rate * seconds);
    while (begun_ < total) {
      // All requests that are due by now, so that a late wake-up loses none.
      const auto due =
          static_cast<std::uint64_t>(std::chrono::duration<double>(Clock::now() - start).count() * rate) + 1;
      for (; begun_ < std::min(due, total); ++begun_) loop_.spawn(one());
      const auto next = std::chrono::duration<double>(static_cast<double>(begun_) / rate);
      co_await io::sleep_until(loop_, start + std::chrono::duration_cast<Duration>(next));
    }
    while (ended_ < begun_) co_await all_ended_.wait();
    took_s_ = std::chrono::duration<double>(Clock::now() - start).count();
    print();
    loop_.stop();
  }

 private:
  io::Task<void> one() {
    bool answered = false;
    // The server may have closed a kept connection just now: this tries once more, on a fresh connection.
    for (int attempt = 0; attempt < 2 && !answered; ++attempt) {
      Connection connection = co_await take(attempt > 0);
      answered = connection && co_await exchange(std::move(connection));
    }
    if (!answered) ++broken_;
    if (++ended_ == begun_) all_ended_.notify();
  }

  io::Task<Connection> take(bool fresh) {
    if (!fresh && !idle_.empty()) {
      Connection connection = std::move(idle_.back());
      idle_.pop_back();
      co_return connection;
    }
    auto stream = co_await io::connect(loop_, address_, Clock::now() + std::chrono::seconds(30));
    if (!stream) co_return nullptr;
    co_return std::make_unique<io::HttpClientConnection>(std::move(*stream));
  }

  // Whether an answer came.
  io::Task<bool> exchange(Connection connection) {
    io::RequestHead head;
    head.method = "POST";
    head.target = "/v1/completions";
    head.headers.add("Host", "localhost");
    head.headers.add("Content-Type", "application/json");
    head.content_length = body_.size();
    const TimePoint sent = Clock::now();
    co_await connection->send_request(head, body_);
    const auto response = co_await connection->read_response();
    if (!response) co_return false;
    while (true) {
      const auto piece = co_await connection->read_body();
      if (!piece) co_return false;
      if (piece->empty()) break;
    }
    note(*response, milliseconds(Clock::now() - sent));
    if (connection->reusable()) idle_.push_back(std::move(connection));
    co_return true;
  }

  void note(const io::ResponseHead& response, double latency_ms) {
    ++statuses_[response.status];
    if (response.status == 200) {
      ok_ms_.push_back(latency_ms);
    } else if (response.status == 429 || response.status == 503) {
      rejected_ms_.push_back(latency_ms);
      const std::string* const after = response.headers.find("retry-after");
      if (after == nullptr || std::atoi(after->c_str()) < 1) ++without_retry_after_;
    }
  }

  void print() {
    std::string statuses;
    for (const auto& [status, count] : statuses_) {
      statuses += fmt::format("{}\"{}\":{}", statuses.empty() ? "" : ",", status, count);
    }
    fmt::print(
        "{{\"offered\":{},\"seconds\":{:.3f},\"statuses\":{{{}}},\"broken\":{},\"ok\":{},\"rejected\":{},"
        "\"without_retry_after\":{},\"ok_p50_ms\":{:.3f},\"ok_p99_ms\":{:.3f},\"rejected_p50_ms\":{:.3f},"
        "\"rejected_p99_ms\":{:.3f}}}\n",
        begun_, took_s_, statuses, broken_, ok_ms_.size(), rejected_ms_.size(), without_retry_after_,
        quantile(ok_ms_, 0.5), quantile(ok_ms_, 0.99), quantile(rejected_ms_, 0.5), quantile(rejected_ms_, 0.99));
  }

  io::Loop& loop_;
  io::Address address_;
  std::string body_;
  io::Signal all_ended_{loop_};
  std::vector<Connection> idle_;
  std::uint64_t begun_ = 0;
  std::uint64_t ended_ = 0;
  std::uint64_t broken_ = 0;
  std::uint64_t without_retry_after_ = 0;
  double took_s_ = 0;
  std::map<int, std::uint64_t> statuses_;
  std::vector<double> ok_ms_;
  std::vector<double> rejected_ms_;
};

}  // namespace

int main(int argc, char** argv) {
  const auto address = argc == 5 ? io::parse_address(argv[1]) : Result<io::Address>(Failure(Error{}));
  if (!address) {
    fmt::print(stderr, "usage: offered_load HOST:PORT MODEL REQUESTS_PER_SECOND SECONDS\n");
    return 2;
  }
  io::Loop loop;
  OfferedLoad load(loop, *address, fmt::format(R"({{"model": "{}", "prompt": "x"}})", argv[2]));
  loop.spawn(load.run(std::strtod(argv[3], nullptr), std::strtod(argv[4], nullptr)));
  loop.run();
  return 0;
}
