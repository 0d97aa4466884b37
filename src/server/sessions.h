// Sessions: who is signed in on the page. A browser exchanges an API key for a cookie, so that no script ever holds a
// key.
//
// Sessions are in memory only, and end with the server. A session is a random token and a user. Only the token's hash
// is kept, and neither the user's key nor the key's hash. At each request the user is looked up among the config's
// keys, so that a session ends when its key does.
// Threading: the loop's thread. access.h says how a request carries the cookie, and which pages may use it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/digest.h"
#include "io/task.h"
#include "minerva/base/clock.h"
#include "minerva/context/types.h"
#include "server/exchange.h"

namespace minerva {

struct Route;

class Sessions {
 public:
  static constexpr auto kIdle = std::chrono::hours(24);  // a session ends if nobody uses it for so long
  static constexpr std::size_t kMostOfOneUser = 16;      // with one more, the one that was used longest ago ends

  // Begins a session. Returns its token: 64 hex digits.
  std::string open(UserId user, TimePoint now);
  // The user of the session; this counts as a use. Nothing if there is no such session, or if it has ended.
  std::optional<UserId> use(std::string_view token, TimePoint now);
  void close(std::string_view token);
  // Ends the sessions of all users that are not `wanted`.
  void keep(const std::function<bool(UserId)>& wanted);

 private:
  struct Session {
    UserId user;
    TimePoint used;
  };
  void drop_old(UserId user, TimePoint now);

  std::map<api::Sha256, Session> sessions_;  // by the hashes of their tokens
};

// The user of the session that the request's cookie names.
std::optional<UserId> session_user(Sessions& sessions, const io::RequestHead& request, TimePoint now);

// Adds the rows of the route table for /v1/session.
void add_session_routes(std::vector<Route>& table);

}  // namespace minerva
