// Transfer: HTTP to hubs and file servers, each hop of which was judged (address.h). libcurl does it; this hides it.
//
// Threading: one thread; calls block, for as long as bytes come. Another thread may set the Stop, which is seen
// within a second. It follows no redirect by itself and tries nothing twice.
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
  std::string token;                       // for the hub's own origin only; empty: none
  std::string agent;                       // User-Agent
  Bytes max_rate;                          // per second; 0: no limit
  std::chrono::seconds stall_timeout{30};  // without a byte
};

struct Answer {
  int status = 0;
  Fields fields;
  Url url;  // that answered

  bool good() const { return status >= 200 && status <= 299; }
};

// Bytes of a file: all from `first` on, or those up to `last`.
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

  // HEAD, along redirects; or those within the origin only, as the hub's own answer says what the one behind it does
  // not. Errors of all: kForbidden (rules, private address), kUnreachable (may go better later), kCancelled, kIo.
  enum class Redirects { kAll, kWithinOrigin };
  Result<Answer> head(const Url& url, Redirects which);
  // A whole body of at most `most` bytes, of a 2xx; that of another status is passed over.
  Result<std::pair<Answer, std::string>> read(const Url& url, std::size_t most);

  // GET of a range, along redirects. `take` is asked with the answer's head before the first byte, and gets
  // the body of a 2xx; false ends the transfer without an error.
  struct Sink {
    std::function<bool(const Answer& answer)> begin;
    std::function<bool(std::string_view bytes)> take;
    // Called about once a second, bytes or none, and more often while they come; false likewise. May be empty.
    std::function<bool()> meanwhile = {};
    std::chrono::seconds limit{0};  // of the whole answer; 0: none, as long as bytes come
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
