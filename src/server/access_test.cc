#include "server/access.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

io::RequestHead request(std::vector<io::HeaderField> fields) {
  io::RequestHead head;
  head.method = "POST";
  head.content_length = 2;
  for (io::HeaderField& field : fields) head.headers.add(field.name, field.value);
  return head;
}

int status(const std::optional<Error>& refused) { return refused ? error_info(refused->code).http_status : 200; }

int host_status(const Config& config, const std::string& host) {
  return status(refuse_foreign(config, request({{"Host", host}})));
}

TEST(Access, TheAddressItListensOnIsAName) {
  Config config;
  config.listen = {{"127.0.0.1", 3000, ""}, {"192.0.2.7", 3000, ""}};
  EXPECT_EQ(host_status(config, "192.0.2.7:3000"), 200);
  EXPECT_EQ(host_status(config, "localhost"), 200);
  EXPECT_EQ(host_status(config, "192.0.2.8:3000"), 403);
  EXPECT_EQ(host_status(config, "box.example"), 403);
  config.allowed_hosts = {"box.example", "192.0.2.8"};
  EXPECT_EQ(host_status(config, "BOX.example:80"), 200);
  EXPECT_EQ(host_status(config, "192.0.2.8"), 200);
  EXPECT_EQ(host_status(config, "box.example.evil.example"), 403);
}

TEST(Access, OnEveryAddressEachIsANameAndNamesAreNot) {
  for (const char* any : {"0.0.0.0", "::"}) {
    Config config;
    config.listen = {{any, 3000, ""}};
    EXPECT_EQ(host_status(config, "198.51.100.4:3000"), 200);
    EXPECT_EQ(host_status(config, "[2001:db8::1]:3000"), 200);
    for (const char* host : {"evil.example", "198.51.100.4.evil.example", "", "[", "[]", "[evil]", ":3000"}) {
      EXPECT_EQ(host_status(config, host), 403) << host;
    }
  }
}

TEST(Access, PagesOfOtherOriginsAreForeign) {
  const Config config;
  const auto with = [&](std::vector<io::HeaderField> fields) {
    fields.push_back({"Host", "localhost:3000"});
    return status(refuse_foreign(config, request(std::move(fields))));
  };
  EXPECT_EQ(with({}), 200);
  EXPECT_EQ(with({{"Origin", "http://localhost:3000"}}), 200);
  EXPECT_EQ(with({{"Origin", "http://localhost:3001"}}), 403);
  EXPECT_EQ(with({{"Origin", "null"}}), 403);
  EXPECT_EQ(with({{"Origin", "http://localhost:3000"}, {"Origin", "http://evil.example"}}), 403);
  EXPECT_EQ(with({{"Sec-Fetch-Site", "same-origin"}}), 200);
  EXPECT_EQ(with({{"Sec-Fetch-Site", "none"}}), 200);
  EXPECT_EQ(with({{"Sec-Fetch-Site", "cross-site"}}), 403);
  EXPECT_EQ(with({{"Sec-Fetch-Site", "same-site"}}), 403);
}

// The answer's headers; "403" if it is refused.
std::string granted(const Config& config, std::vector<io::HeaderField> fields, std::string method = "POST") {
  fields.push_back({"Host", "localhost:3000"});
  io::RequestHead head = request(std::move(fields));
  head.method = std::move(method);
  if (refuse_foreign(config, head)) return "403";
  std::string text;
  for (const io::HeaderField& field : cors_headers(config, head)) text += field.name + ": " + field.value + "\n";
  return text;
}

TEST(Access, PagesOfAllowedOriginsMayRead) {
  Config config;
  const io::HeaderField page{"Origin", "http://localhost:5173"};
  EXPECT_EQ(granted(config, {}), "");
  EXPECT_EQ(granted(config, {page}), "403");
  config.allowed_origins = {"http://localhost:*", "app://*", "https://*.example.com"};
  const std::string seen = granted(config, {page, {"Sec-Fetch-Site", "same-site"}});
  EXPECT_NE(seen.find("Access-Control-Allow-Origin: http://localhost:5173\n"), std::string::npos) << seen;
  EXPECT_NE(seen.find("x-minerva-cache"), std::string::npos) << seen;
  EXPECT_NE(seen.find("Vary: Origin\n"), std::string::npos) << seen;
  EXPECT_EQ(granted(config, {}), "Vary: Origin\n");
  for (const char* origin : {"app://obsidian.md", "http://localhost:1", "https://a.example.com"}) {
    EXPECT_NE(granted(config, {{"Origin", origin}}), "403") << origin;
  }
  for (const char* origin : {"https://localhost:5173", "http://localhost", "http://localhost.evil.example:80", "null",
                             "", "http://localhost:1/", "app://a/b", "app:/", "https://example.com",
                             "https://evil.example/.example.com", "http://evil.example/http://localhost:1"}) {
    EXPECT_EQ(granted(config, {{"Origin", origin}}), "403") << origin;
  }
  EXPECT_EQ(granted(config, {page, page}), "403");
  // A rebound name is not among the allowed hosts.
  EXPECT_TRUE(refuse_foreign(config, request({page, {"Host", "rebound.example"}})));
  // The request for an image has no Origin.
  EXPECT_EQ(granted(config, {{"Sec-Fetch-Site", "cross-site"}}, "GET"), "403");
  config.allowed_origins = {"*"};
  EXPECT_NE(granted(config, {{"Origin", "https://any.example"}}), "403");
  EXPECT_NE(granted(config, {{"Origin", "null"}}), "403");
}

TEST(Access, APreflightIsGrantedWhatItAsks) {
  Config config;
  config.allowed_origins = {"http://localhost:*"};
  io::RequestHead head = request({{"Origin", "http://localhost:1"},
                                  {"Access-Control-Request-Method", "DELETE"},
                                  {"Access-Control-Request-Headers", "authorization,x-stainless-os"},
                                  {"Access-Control-Request-Private-Network", "true"}});
  EXPECT_FALSE(is_preflight(config, head));
  head.method = "OPTIONS";
  EXPECT_TRUE(is_preflight(config, head));
  EXPECT_FALSE(is_preflight(Config(), head));
  const io::Headers headers = preflight_headers(head);
  EXPECT_EQ(*headers.find("Access-Control-Allow-Methods"), "DELETE");
  EXPECT_EQ(*headers.find("Access-Control-Allow-Headers"), "authorization,x-stainless-os");
  EXPECT_EQ(*headers.find("Access-Control-Allow-Private-Network"), "true");
  EXPECT_EQ(headers.find("Access-Control-Allow-Credentials"), nullptr);
  io::RequestHead plain = request({{"Origin", "http://localhost:1"}});
  plain.method = "OPTIONS";
  EXPECT_FALSE(is_preflight(config, plain));
}

TEST(Access, AFollowedLinkIsLetInWhereItChangesNothing) {
  const auto with = [](ForBrowsers route, std::vector<io::HeaderField> fields, std::string method = "GET") {
    fields.push_back({"Host", "localhost:3000"});
    io::RequestHead head = request(std::move(fields));
    head.method = std::move(method);
    return status(refuse_foreign(Config(), head, route));
  };
  const io::HeaderField site{"Sec-Fetch-Site", "cross-site"};
  const io::HeaderField mode{"Sec-Fetch-Mode", "navigate"};
  const io::HeaderField page{"Sec-Fetch-Dest", "document"};
  EXPECT_EQ(with({.linkable = true}, {site, mode, page}), 200);
  EXPECT_EQ(with({.linkable = false}, {site, mode, page}), 403);
  EXPECT_EQ(with({.linkable = true}, {site, mode, page}, "POST"), 403);
  EXPECT_EQ(with({.linkable = true}, {site, mode, page, {"Origin", "http://evil.example"}}), 403);
  EXPECT_EQ(with({.linkable = true}, {site, mode, {"Sec-Fetch-Dest", "iframe"}}), 403);
  EXPECT_EQ(with({.linkable = true}, {site, {"Sec-Fetch-Mode", "no-cors"}, {"Sec-Fetch-Dest", "image"}}), 403);
  // A GET that acts is refused even from the server's own pages: an image in a conversation would be such a GET.
  EXPECT_EQ(with({.acts = true}, {}), 200);
  for (const char* any : {"same-origin", "none", "same-site", "cross-site"}) {
    EXPECT_EQ(with({.acts = true}, {{"Sec-Fetch-Site", any}}), 403) << any;
  }
}

TEST(Access, APageSendsJsonAProgramWhatItLikes) {
  const auto with = [](std::vector<io::HeaderField> fields, bool takes_form = false) {
    return status(refuse_form(request(std::move(fields)), takes_form));
  };
  const io::HeaderField origin{"Origin", "http://localhost:3000"};
  for (const char* type : {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""}) {
    EXPECT_EQ(with({{"Content-Type", type}}), 200) << type;
    EXPECT_EQ(with({{"Content-Type", type}, origin}), 403) << type;
    EXPECT_EQ(with({{"Content-Type", type}, {"Sec-Fetch-Site", "same-origin"}}), 403) << type;
  }
  EXPECT_EQ(with({origin}), 403);
  EXPECT_EQ(with({{"Content-Type", "application/json"}, origin}), 200);
  EXPECT_EQ(with({{"Content-Type", "Application/JSON ; charset=utf-8"}, origin}), 200);
  EXPECT_EQ(with({{"Content-Type", "application/jsonx"}, origin}), 403);
  EXPECT_EQ(with({{"Content-Type", "multipart/form-data; boundary=x"}, origin}, true), 200);
  EXPECT_EQ(with({{"Content-Type", "text/plain"}, origin}, true), 403);
}

TEST(Access, OneOfTheKeysIsNeeded) {
  Config config;
  const auto with = [&](std::vector<io::HeaderField> fields) {
    const auto caller = identify(config, request(std::move(fields)));
    return status(caller ? std::nullopt : std::optional(caller.error()));
  };
  EXPECT_EQ(with({}), 200);
  config.accepted_keys.add(hash_api_key("first").value());
  config.accepted_keys.add(hash_api_key("second").value());
  EXPECT_EQ(with({}), 401);
  for (const char* key : {"first", "second"}) {
    EXPECT_EQ(with({{"Authorization", std::string("Bearer ") + key}}), 200);
    EXPECT_EQ(with({{"authorization", std::string("bearer  ") + key}}), 200);
    EXPECT_EQ(with({{"x-api-key", key}}), 200);
    EXPECT_EQ(with({{"Authorization", key}}), 401);
    EXPECT_EQ(with({{"Authorization", std::string("Basic ") + key}}), 401);
  }
  EXPECT_EQ(with({{"Authorization", "Bearer wrong"}, {"x-api-key", "first"}}), 200);
  for (const char* wrong : {"Bearer", "Bearer ", "Bearer third", "Bearer first second"}) {
    EXPECT_EQ(with({{"Authorization", wrong}}), 401) << wrong;
  }
}

TEST(Access, WhoAsksHasAName) {
  Config config;
  EXPECT_EQ(caller_name(config, {}, 1, "192.168.0.7:51234"), "192.168.0.7");
  EXPECT_EQ(caller_name(config, {}, 1, "[2001:db8::1]:80"), "2001:db8::1");
  EXPECT_EQ(caller_name(config, {}, 1, "unix"), "unix");
  config.accepted_keys.add(hash_api_key("anna: first").value());
  config.accepted_keys.add(hash_api_key("second").value());
  const auto name = [&](const char* key, std::uint32_t number) {
    return caller_name(config, identify(config, request({{"x-api-key", key}})).value(), number, "192.168.0.7:51234");
  };
  EXPECT_EQ(name("first", 1), "anna");
  EXPECT_EQ(name("second", 2), "key 2");
}

TEST(Access, APriorityIsTheKeysAndTheHeaderLowersIt) {
  Config config;
  const auto priority = [&](const char* key, const char* header) {
    std::vector<io::HeaderField> fields = {{"x-api-key", key}};
    if (header != nullptr) fields.push_back({"x-minerva-priority", header});
    return identify(config, request(std::move(fields))).value().priority;
  };
  EXPECT_EQ(priority("none is needed", nullptr), Priority::kNormal);
  EXPECT_EQ(priority("none is needed", "high"), Priority::kHigh) << "whoever is let in without a key is trusted";
  config.accepted_keys.add(hash_api_key("slow").value(), Priority::kLow);
  config.accepted_keys.add(hash_api_key("usual").value());
  config.accepted_keys.add(hash_api_key("fast").value(), Priority::kHigh);
  for (const char* name : {"low", "normal", "high"}) {
    const Priority asked = *parse_priority(name);
    EXPECT_EQ(priority("slow", name), Priority::kLow);
    EXPECT_EQ(priority("usual", name), std::min(asked, Priority::kNormal));
    EXPECT_EQ(priority("fast", name), asked);
  }
  EXPECT_EQ(priority("fast", nullptr), Priority::kHigh);
  const auto odd = identify(config, request({{"x-api-key", "fast"}, {"x-minerva-priority", "urgent"}}));
  ASSERT_FALSE(odd.has_value());
  EXPECT_EQ(odd.error().code, ErrorCode::kInvalidArgument);
}

TEST(Access, ASessionStandsForItsKeyAndEndsWithIt) {
  Config config;
  config.accepted_keys.add(hash_api_key("first").value(), Priority::kLow);
  const UserId user = identify(config, request({{"x-api-key", "first"}})).value().user;
  const auto with = [&](std::vector<io::HeaderField> fields) {
    return identify(config, request(std::move(fields)), user);
  };
  EXPECT_EQ(with({}).value(), (Caller{user, Priority::kLow}));
  EXPECT_EQ(with({{"x-api-key", "wrong"}}).error().code, ErrorCode::kUnauthorized) << "what is shown counts";
  config.accepted_keys = {};
  config.accepted_keys.add(hash_api_key("second").value());
  EXPECT_EQ(with({}).error().code, ErrorCode::kUnauthorized);
}

TEST(Access, ASessionsCookieIsThatOfItsPort) {
  const auto token = [](const char* host, const char* cookie) {
    io::RequestHead head;
    head.headers.add("Host", host);
    head.headers.add("Cookie", cookie);
    const auto found = session_token(head);
    return found ? std::string(*found) : "none";
  };
  EXPECT_EQ(token("127.0.0.1:3000", "a=b; minerva_session_3000=t; c=d"), "t");
  EXPECT_EQ(token("[::1]:3000", "minerva_session_3000=t"), "t");
  EXPECT_EQ(token("[::1]", "minerva_session=t"), "t");
  EXPECT_EQ(token("name", "minerva_session=t"), "t");
  EXPECT_EQ(token("127.0.0.1:3000", "minerva_session=t; minerva_session_3001=u"), "none");
  for (const char* const other :
       {"", ";", "minerva_session_3000", "xminerva_session_3000=t", "minerva_session_30000=t"}) {
    EXPECT_EQ(token("127.0.0.1:3000", other), "none") << other;
  }
}

TEST(Access, ItsOwnPageSaysSo) {
  const std::string host = "127.0.0.1:3000";
  const auto own = [&](std::vector<io::HeaderField> fields) {
    fields.push_back({"Host", host});
    return is_own_page(request(std::move(fields)));
  };
  EXPECT_TRUE(own({{"Origin", "http://" + host}}));
  EXPECT_TRUE(own({{"Sec-Fetch-Site", "same-origin"}}));
  EXPECT_FALSE(own({}));
  EXPECT_FALSE(own({{"Origin", "null"}}));
  EXPECT_FALSE(own({{"Origin", "http://localhost:5173"}}));
  EXPECT_FALSE(own({{"Origin", "http://" + host}, {"Origin", "http://" + host}}));
  for (const char* const other : {"same-site", "cross-site", "none"}) {
    EXPECT_FALSE(own({{"Sec-Fetch-Site", other}, {"Origin", "http://" + host}})) << other;
  }
}

TEST(Access, AUserIsTheSameAsLongAsTheKeyIs) {
  Config config;
  config.accepted_keys.add(hash_api_key("first").value());
  const auto user = [&](const char* key) { return identify(config, request({{"x-api-key", key}})).value().user; };
  const UserId before = user("first");
  config.accepted_keys = {};
  config.accepted_keys.add(hash_api_key("second").value());
  config.accepted_keys.add(hash_api_key("first").value(), Priority::kHigh);
  EXPECT_EQ(user("first"), before);
  EXPECT_NE(user("second"), before);
  EXPECT_NE(before, UserId{});
}

TEST(Access, WithoutKeysAnAddressIsACaller) {
  const UserId one = peer_user("192.168.1.7:50000");
  EXPECT_EQ(peer_user("192.168.1.7:50001"), one);
  EXPECT_NE(peer_user("192.168.1.8:50000"), one);
  EXPECT_NE(one, UserId{});
  EXPECT_EQ(peer_user("[2001:db8::1]:1"), peer_user("[2001:db8::2]:1")) << "one network";
  EXPECT_NE(peer_user("[2001:db8::1]:1"), peer_user("[2001:db8:0:1::1]:1"));
  for (const char* const own : {"127.0.0.1:1", "[::1]:1", "unix"}) EXPECT_EQ(peer_user(own), UserId{}) << own;
}

TEST(Access, AdministratorsAreThoseOfAdminKeys) {
  Config config;
  EXPECT_TRUE(is_admin(config, Caller{})) << "everybody where no key is needed";
  for (const char* const key : {"usual", "admin"}) config.accepted_keys.add(hash_api_key(key).value());
  config.administrators.add(hash_api_key("admin").value());
  const auto of = [&](const char* key) { return identify(config, request({{"x-api-key", key}})).value(); };
  EXPECT_TRUE(is_admin(config, of("admin")));
  EXPECT_FALSE(is_admin(config, of("usual")));
  EXPECT_FALSE(is_admin(config, Caller{}));
  EXPECT_FALSE(refuse_unless_admin(config, of("admin"), "pull models").has_value());
  const auto refused = refuse_unless_admin(config, of("usual"), "pull models");
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->code, ErrorCode::kForbidden);
}

}  // namespace
}  // namespace minerva
