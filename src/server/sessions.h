// Sessions: who is signed in on the page. A browser gets a cookie in exchange for an API key, so that no script ever
// holds a key.
//
// In memory only: they end with the server. A session is a random token, of which the hash alone is kept, and the user
// whose key was shown: neither that key nor its hash. Whoever comes with a cookie is looked up among the config's keys
// by that user each time, so that a session ends when its key does. Threading: the loop's thread. How a request carries
// the cookie, and whose pages may use it, is in access.h.
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
  static constexpr auto kIdle = std::chrono::hours(24);  // a session that nobody uses for so long ends
  static constexpr std::size_t kMostOfOneUser = 16;      // one more, and that which was used longest ago ends

  // Begins a session. Returns its token: 64 hex digits.
  std::string open(UserId user, TimePoint now);
  // Whose it is; that counts as a use. Nothing if it ended or there is none.
  std::optional<UserId> use(std::string_view token, TimePoint now);
  void close(std::string_view token);
  // Ends those of all others.
  void keep(const std::function<bool(UserId)>& wanted);

 private:
  struct Session {
    UserId user;
    TimePoint used;
  };
  void drop_old(UserId user, TimePoint now);

  std::map<api::Sha256, Session> sessions_;  // by their tokens' hashes
};

// Whose session a request's cookie is of.
std::optional<UserId> session_user(Sessions& sessions, const io::RequestHead& request, TimePoint now);

// Adds the rows of the route table for /v1/session.
void add_session_routes(std::vector<Route>& table);

}  // namespace minerva
