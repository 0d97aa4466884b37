#include "server/sessions.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <nlohmann/json.hpp>

#include "api/digest.h"
#include "api/json.h"
#include "minerva/base/check.h"
#include "server/access.h"
#include "server/routes.h"
#include "server/service.h"

namespace minerva {
namespace {

constexpr Bytes kMaxSignIn{4096};

std::string random_token() {
  std::array<unsigned char, 32> bytes{};
  check(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1, "no random numbers");
  return api::hex(bytes);
}

// Sets the session's cookie. `token`: empty to end the session. The cookie ends with the browser.
void set_cookie(const Service& service, Exchange& x, const std::string& token) {
  x.connection.add_to_answer(
      "Set-Cookie",
      fmt::format("{}={}; Path=/; HttpOnly; SameSite=Strict{}{}", session_cookie(x.request), token,
                  service.config.tls_certificate.empty() ? "" : "; Secure", token.empty() ? "; Max-Age=0" : ""));
}

// The member "key" of a JSON object. Errors: kInvalidArgument.
Result<std::string> parse_key(const std::string& body) {
  const api::Json json = api::Json::parse(body, nullptr, /*allow_exceptions=*/false);
  const auto key = json.is_object() ? json.find("key") : json.end();
  if (key == json.end() || !key->is_string()) {
    return fail(ErrorCode::kInvalidArgument, "The body must be {\"key\": \"an API key\"}.", "key");
  }
  return key->get<std::string>();
}

io::Task<void> answer_session(const Service& service, Exchange& x, bool signed_in) {
  x.connection.add_to_answer("Cache-Control", "no-store");
  co_await x.json(200, api::dump({{"keys_needed", !service.config.accepted_keys.empty()}, {"signed_in", signed_in}}));
}

io::Task<void> show_session(Service& service, Exchange& x, ModelId) {
  const auto user = session_user(service.sessions, x.request, Clock::now());
  co_await answer_session(service, x, user && service.config.accepted_keys.find_user(*user));
}

io::Task<void> sign_in(Service& service, Exchange& x, ModelId) {
  const Result<std::string> body = co_await x.body(kMaxSignIn);
  if (!body) co_return co_await x.error(body.error());
  const Result<std::string> key = parse_key(*body);
  if (!key) co_return co_await x.error(key.error());
  const bool needed = !service.config.accepted_keys.empty();
  if (needed) {
    const auto caller = service.config.accepted_keys.find(*key);
    if (!caller) co_return co_await x.error({ErrorCode::kUnauthorized, "The API key is not one of this server's."});
    set_cookie(service, x, service.sessions.open(caller->user, Clock::now()));
  }
  co_await answer_session(service, x, needed);
}

io::Task<void> sign_out(Service& service, Exchange& x, ModelId) {
  if (const auto token = session_token(x.request)) service.sessions.close(*token);
  set_cookie(service, x, "");
  co_await answer_session(service, x, false);
}

}  // namespace

std::string Sessions::open(UserId user, TimePoint now) {
  drop_old(user, now);
  std::string token = random_token();
  sessions_.insert_or_assign(api::sha256(token), Session{user, now});
  return token;
}

void Sessions::drop_old(UserId user, TimePoint now) {
  std::erase_if(sessions_, [&](const auto& entry) { return now - entry.second.used >= kIdle; });
  std::size_t count = 0;
  auto oldest = sessions_.end();
  for (auto entry = sessions_.begin(); entry != sessions_.end(); ++entry) {
    if (entry->second.user != user) continue;
    ++count;
    if (oldest == sessions_.end() || entry->second.used < oldest->second.used) oldest = entry;
  }
  if (count >= kMostOfOneUser) sessions_.erase(oldest);
}

std::optional<UserId> Sessions::use(std::string_view token, TimePoint now) {
  const auto found = sessions_.find(api::sha256(token));
  if (found == sessions_.end()) return std::nullopt;
  if (now - found->second.used >= kIdle) {
    sessions_.erase(found);
    return std::nullopt;
  }
  found->second.used = now;
  return found->second.user;
}

void Sessions::close(std::string_view token) { sessions_.erase(api::sha256(token)); }

void Sessions::keep(const std::function<bool(UserId)>& wanted) {
  std::erase_if(sessions_, [&](const auto& entry) { return !wanted(entry.second.user); });
}

std::optional<UserId> session_user(Sessions& sessions, const io::RequestHead& request, TimePoint now) {
  const auto token = session_token(request);
  return token ? sessions.use(*token, now) : std::nullopt;
}

void add_session_routes(std::vector<Route>& table) {
  const auto add = [&](std::string_view method, std::string_view meaning, Route::Handler handle) {
    table.push_back({.method = method, .path = "/v1/session", .meaning = meaning, .handle = handle, .open = true});
  };
  add("GET", "whether the page's user is signed in", show_session);
  add("POST", "sign in on the page: a session's cookie for a key", sign_in);
  add("DELETE", "sign out", sign_out);
}

}  // namespace minerva
