#include "pull/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>

namespace minerva::pull {
namespace {

Url url(const std::string& text) { return parse_url(text).value(); }

bool is_public(const char* text) {
  sockaddr_storage storage{};
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    std::memcpy(&storage, &v4, sizeof(v4));
  } else {
    EXPECT_EQ(::inet_pton(AF_INET6, text, &v6.sin6_addr), 1) << text;
    v6.sin6_family = AF_INET6;
    std::memcpy(&storage, &v6, sizeof(v6));
  }
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): as the system has addresses
  return is_public_address(reinterpret_cast<const sockaddr&>(storage));
}

TEST(Address, ReadsWhatIsOne) {
  const Url read = url("https://Hub.example/a/b.gguf?sig=1#part");
  EXPECT_EQ(read.text(), "https://hub.example:443/a/b.gguf?sig=1");
  EXPECT_EQ(url("http://[::1]:8080/x").text(), "http://[::1]:8080/x");
  EXPECT_TRUE(url("https://a.example/x").same_origin(url("https://A.example:443/y")));
  EXPECT_FALSE(url("https://a.example/x").same_origin(url("https://a.example:444/x")));
  EXPECT_FALSE(url("https://a.example/x").same_origin(url("http://a.example:443/x")));
}

TEST(Address, RefusesWhatIsNone) {
  for (const char* const text : {"", "ftp://a/b", "file:///etc/passwd", "https://user:word@a/b", "https://user@a/b",
                                 "a b", "https://", "https://a/b\r\nX: y", "gopher://a"}) {
    EXPECT_FALSE(parse_url(text)) << text;
  }
  EXPECT_FALSE(parse_url("https://a/" + std::string(9000, 'x')));
}

TEST(Address, FollowsRedirects) {
  const Url base = url("https://hub.example/org/repo/x?y=1");
  EXPECT_EQ(follow(base, "/other/z")->text(), "https://hub.example:443/other/z");
  EXPECT_EQ(follow(base, "https://cdn.example/f?sig=a%2Fb")->text(), "https://cdn.example:443/f?sig=a%2Fb");
  EXPECT_FALSE(follow(base, "file:///etc/passwd"));
}

TEST(Address, AllowsTheHubAndTheListOnly) {
  const HostRules rules(url("https://hub.example"), {"cdn.example", "*.Store.example"});
  for (const char* const text : {"https://hub.example/x", "https://cdn.example/x", "https://a.store.example/x",
                                 "https://a.b.store.example:8443/x"}) {
    EXPECT_TRUE(rules.check(url(text))) << text;
  }
  for (const char* const text :
       {"https://store.example/x", "https://evil.example/x", "https://hub.example.evil.example/x",
        "https://evilstore.example/x", "http://hub.example/x", "http://127.0.0.1/x"}) {
    const auto checked = rules.check(url(text));
    ASSERT_FALSE(checked) << text;
    EXPECT_EQ(checked.error().code, ErrorCode::kForbidden);
  }
}

TEST(Address, PlainHttpIsForThisMachineOnly) {
  const HostRules rules(url("http://127.0.0.1:80"), {"*"});
  EXPECT_TRUE(rules.check(url("http://127.0.0.1:1234/x")));
  EXPECT_TRUE(rules.check(url("http://[::1]/x")));
  EXPECT_TRUE(rules.check(url("http://localhost/x")));
  EXPECT_FALSE(rules.check(url("http://10.0.0.1/x")));
  EXPECT_FALSE(rules.check(url("http://localhost.example/x")));
  EXPECT_FALSE(rules.check(url("http://127.0.0.1.example/x")));
}

TEST(Address, OnlyAHostThatIsNamedMayBePrivate) {
  const HostRules rules(url("https://hub.example"), {"*.example", "mirror.lan", "*"});
  EXPECT_TRUE(rules.may_be_private("hub.example"));
  EXPECT_TRUE(rules.may_be_private("mirror.lan"));
  EXPECT_FALSE(rules.may_be_private("other.example"));
  EXPECT_FALSE(rules.may_be_private("127.0.0.1"));
}

TEST(Address, KnowsPublicAddresses) {
  for (const char* const text : {"1.1.1.1", "93.184.216.34", "172.15.255.255", "172.32.0.1", "100.63.255.255",
                                 "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1"}) {
    EXPECT_TRUE(is_public(text)) << text;
  }
  for (const char* const text :
       {"0.0.0.0",        "10.1.2.3",       "100.64.0.1",      "127.0.0.1", "127.9.9.9",  "169.254.169.254",
        "172.16.0.1",     "172.31.255.255", "192.168.1.1",     "192.0.2.1", "198.18.0.1", "198.51.100.7",
        "203.0.113.9",    "224.0.0.1",      "255.255.255.255", "::",        "::1",        "::ffff:127.0.0.1",
        "::ffff:1.1.1.1", "fe80::1",        "fc00::1",         "fd12::1",   "ff02::1",    "2001:db8::1",
        "2001::1",        "64:ff9b::a00:1", "2002:7f00:1::1"}) {
    EXPECT_FALSE(is_public(text)) << text;
  }
}

}  // namespace
}  // namespace minerva::pull
