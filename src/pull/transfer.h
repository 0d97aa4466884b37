// Transfer: HTTP to hubs and file servers. Each hop is judged first (address.h). libcurl does the work; this header
// hides libcurl.
//
// Threading: one thread; calls block as long as bytes come. Another thread may set the Stop, which takes effect within
// a second. It follows no redirect by itself, and repeats nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "minerva/base/bytes.h"
#include "minerva/base/result.h"
#include "pull/address.h"
#include "pull/hub_answers.h"
#include "pull/stop.h"

namespace minerva::pull {

struct TransferOptions {
  std::string token;                       // sent only to the hub's own origin; empty: none
  std::string authorities = {};            // a file of certificates to trust; empty: the system's
  std::string agent;                       // for the field User-Agent
  Bytes max_rate;                          // per second; 0: no limit
  std::chrono::seconds stall_timeout{30};  // the longest time without a byte
};

struct Answer {
  int status = 0;
  Fields fields;
  Url url;  // the address that answered

  bool good() const { return status >= 200 && status <= 299; }
};

// A range of a file: all bytes from `first` on, or those up to `last`.
struct ByteRange {
  std::uint64_t first = 0;
  std::optional<std::uint64_t> last = {};
};

class Transfer {
 public:
  Transfer(HostRules rules, TransferOptions options, const Stop& stop);
  ~Transfer();

  const HostRules& rules() const { return rules_; }
  bool has_token() const { return !options_.token.empty(); }

  // Sends HEAD and follows redirects; or only those within the origin, since the hub's own answer has fields that the
  // server behind it does not send. Errors of all functions: kForbidden (the rules, a private address), kUnreachable
  // (may succeed later), kCancelled, kIo.
  enum class Redirects { kAll, kWithinOrigin };
  Result<Answer> head(const Url& url, Redirects which);
  // Reads the whole body of a 2xx answer, at most `most` bytes. The body of another answer is skipped.
  Result<std::pair<Answer, std::string>> read(const Url& url, std::size_t most);

  // GET of a range; follows redirects. Shows the answer's head to the sink before the first byte, and gives it the body
  // of a 2xx. If a function of the sink returns false, the transfer ends without an error.
  struct Sink {
    std::function<bool(const Answer& answer)> begin;
    std::function<bool(std::string_view bytes)> take;
    // Called about once a second, bytes or none, and more often while they come; false likewise. May be empty.
    std::function<bool()> meanwhile = {};
    std::chrono::seconds limit{0};  // for the whole answer; 0: no limit, as long as bytes come
  };
  Result<Answer> get(const Url& url, ByteRange range, const Sink& sink);

 private:
  struct Impl;
  enum class Method { kGet, kHead };
  Result<Answer> once(Method method, const Url& url, ByteRange range, const Sink* sink);
  Result<Answer> along_redirects(Method method, Redirects which, const Url& url, ByteRange range, const Sink* sink);

  HostRules rules_;
  TransferOptions options_;
  const Stop& stop_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minerva::pull
