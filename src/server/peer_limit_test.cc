#include "server/peer_limit.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

TEST(PeerLimit, CountsByAddress) {
  PeerLimit limit(2, false);
  EXPECT_TRUE(limit.enter("192.0.2.7:1"));
  EXPECT_TRUE(limit.enter("192.0.2.7:2"));
  EXPECT_FALSE(limit.enter("192.0.2.7:3"));
  EXPECT_TRUE(limit.enter("192.0.2.8:1"));
  limit.leave("192.0.2.7:1");
  EXPECT_TRUE(limit.enter("192.0.2.7:4"));
  EXPECT_FALSE(limit.enter("192.0.2.7:5"));
}

TEST(PeerLimit, CountsIPv6ByNetwork) {
  PeerLimit limit(1, false);
  EXPECT_TRUE(limit.enter("[2001:db8:0:1::7]:1"));
  EXPECT_FALSE(limit.enter("[2001:db8:0:1:ffff::8]:1"));
  EXPECT_TRUE(limit.enter("[2001:db8:0:2::7]:1"));
  EXPECT_TRUE(limit.enter("[::ffff:192.0.2.1]:1"));
  EXPECT_TRUE(limit.enter("[::ffff:192.0.2.2]:1"));
  EXPECT_FALSE(limit.enter("[::ffff:192.0.2.2]:2"));
}

TEST(PeerLimit, CountsLoopbackIfItIsToldTo) {
  for (const char* peer : {"127.0.0.1:1", "[::1]:1"}) {
    PeerLimit counting(1, true);
    EXPECT_TRUE(counting.enter(peer));
    EXPECT_FALSE(counting.enter(peer));
    PeerLimit other(1, false);
    EXPECT_TRUE(other.enter(peer));
    EXPECT_TRUE(other.enter(peer));
  }
}

TEST(PeerLimit, LeavesUnixSocketsAlone) {
  PeerLimit limit(1, false);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limit.enter("unix"));
  limit.leave("unix");
}

}  // namespace
}  // namespace minerva
