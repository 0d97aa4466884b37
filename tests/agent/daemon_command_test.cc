#include "daemon_command.h"

#include <gtest/gtest.h>

#include <string>

namespace minerva::engine {
namespace {

using Kind = DaemonCommand::Kind;

TEST(DaemonCommand, WhatTheDaemonSays) {
  const auto sharers = parse_daemon_command("sharers 3");
  ASSERT_TRUE(sharers);
  EXPECT_EQ(sharers->kind, Kind::kSharers);
  EXPECT_EQ(sharers->number, 3U);

  const auto park = parse_daemon_command("park 7 18446744073709551615");
  ASSERT_TRUE(park);
  EXPECT_EQ(park->kind, Kind::kPark);
  EXPECT_EQ(park->id, 7U);
  EXPECT_EQ(park->number, UINT64_MAX);
  const auto drop = parse_daemon_command("drop 8 4096");
  ASSERT_TRUE(drop);
  EXPECT_EQ(drop->kind, Kind::kDrop);
  EXPECT_EQ(drop->id, 8U);
  EXPECT_EQ(drop->number, 4096U);
  const auto wake = parse_daemon_command("wake 9");
  ASSERT_TRUE(wake);
  EXPECT_EQ(wake->kind, Kind::kWake);
  EXPECT_EQ(wake->id, 9U);
  const auto room = parse_daemon_command("room 11");
  ASSERT_TRUE(room);
  EXPECT_EQ(room->kind, Kind::kRoom);
  EXPECT_EQ(room->id, 11U);
  EXPECT_FALSE(parse_daemon_command("room 11 1"));
  for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{7}}) {
    const auto measure = parse_daemon_command(bytes == 0 ? "measure 10" : "measure 10 7");
    ASSERT_TRUE(measure);
    EXPECT_EQ(measure->kind, Kind::kMeasure);
    EXPECT_EQ(measure->id, 10U);
    EXPECT_EQ(measure->number, bytes);
  }
}

TEST(DaemonCommand, WhoseConversationsAreForgotten) {
  for (const char* const tenant : {"0", "00ff", "all"}) {
    const auto forget = parse_daemon_command(std::string("forget ") + tenant);
    ASSERT_TRUE(forget);
    EXPECT_EQ(forget->kind, Kind::kForget);
    EXPECT_EQ(forget->tenant, tenant);
  }
}

TEST(DaemonCommand, WhatNobodySays) {
  for (const char* const line : {"",
                                 " ",
                                 "park",
                                 "park ",
                                 "forget",
                                 "forget ",
                                 "forget nobody",
                                 "forget 0 1",
                                 "park 1",
                                 "park 1 ",
                                 "park 1 x",
                                 "park x 1",
                                 "park 1 -1",
                                 "park 1 +1",
                                 "park 1 1x",
                                 "park -1 1",
                                 "park 1 18446744073709551616",
                                 "park 18446744073709551616 1",
                                 "park 1 1 read",
                                 "park 1 1 drop",
                                 "park 1 1 ",
                                 "park 1 1 1",
                                 "park  1 1",
                                 "drop",
                                 "drop ",
                                 "drop 1",
                                 "drop 1 -1",
                                 "drop 1 1 1",
                                 " park 1 1",
                                 "parks 1 1",
                                 "PARK 1 1",
                                 "wake",
                                 "wake ",
                                 "wake 1 ",
                                 "wake 1 1",
                                 "wake read",
                                 "sharers",
                                 "sharers 1 drop",
                                 "sharers 1 ",
                                 "park\t1 1",
                                 "measure",
                                 "measure ",
                                 "measure -1",
                                 "measure read",
                                 "measure 1 ",
                                 "measure 1 -1",
                                 "measure 1 1 read",
                                 "measure 1 1 1",
                                 "fly 3"}) {
    EXPECT_FALSE(parse_daemon_command(line)) << '"' << line << '"';
  }
  EXPECT_FALSE(parse_daemon_command(std::string_view("wake 1\0", 7)));
}

}  // namespace
}  // namespace minerva::engine
