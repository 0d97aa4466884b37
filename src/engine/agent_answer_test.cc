#include "engine/agent_answer.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

template <typename Answer>
std::optional<Answer> parsed(std::string_view line) {
  const auto answer = parse_agent_answer(line);
  const auto* const wanted = answer ? std::get_if<Answer>(&*answer) : nullptr;
  return wanted == nullptr ? std::nullopt : std::optional(*wanted);
}

TEST(AgentAnswer, HelloSaysWhetherItCanBeParked) {
  const auto can = parsed<AgentHello>(R"({"protocol":2,"can_park":true})");
  ASSERT_TRUE(can);
  EXPECT_TRUE(can->is_ours);
  EXPECT_EQ(can->why_not, "");

  const auto cannot = parsed<AgentHello>(R"({"protocol":2,"can_park":false,"why_not":"no folder"})");
  ASSERT_TRUE(cannot);
  EXPECT_TRUE(cannot->is_ours);
  EXPECT_EQ(cannot->why_not, "no folder");
  EXPECT_EQ(parsed<AgentHello>(R"({"protocol":2,"can_park":false})")->why_not, "the engine does not say why");
}

TEST(AgentAnswer, AnotherProtocolIsNoneToParkBy) {
  for (const char* const line :
       {R"({"protocol":1,"can_park":true})", R"({"protocol":0})", R"({"protocol":99,"x":1})"}) {
    const auto hello = parsed<AgentHello>(line);
    ASSERT_TRUE(hello) << line;
    EXPECT_FALSE(hello->is_ours);
    EXPECT_NE(hello->why_not.find("protocol"), std::string::npos) << hello->why_not;
  }
}

TEST(AgentAnswer, ParkedAndWoken) {
  const auto parked = parsed<AgentParking>(
      R"({"id":9,"parked":true,"written_bytes":4096,"image_bytes":8192,"residue_bytes":100,"more":[1]})");
  ASSERT_TRUE(parked);
  EXPECT_EQ(parked->id, 9U);
  EXPECT_TRUE(parked->report.parked);
  EXPECT_EQ(parked->report.refused, "");
  EXPECT_EQ(parked->report.written_bytes, 4096U);
  EXPECT_EQ(parked->report.image_bytes, 8192U);
  EXPECT_EQ(parked->report.residue_bytes, 100U);
  EXPECT_EQ(parked->report.image_wanted_bytes, 0U);
  EXPECT_TRUE(parked->report.devices.empty());
  const auto on_device = parsed<AgentParking>(R"({"id":9,"parked":true,"residue_bytes":1,"devices":{"V":7}})");
  ASSERT_TRUE(on_device);
  EXPECT_EQ(on_device->report.devices, (std::map<std::string, std::uint64_t>{{"V", 7}}));
  EXPECT_FALSE(parsed<AgentParking>(R"({"id":9,"parked":true,"residue_bytes":1,"devices":{"V":-7}})"));

  const auto woken = parsed<AgentParking>(R"({"id":9,"parked":false,"written_bytes":0,"image_bytes":8192})");
  ASSERT_TRUE(woken);
  EXPECT_FALSE(woken->report.parked);
  EXPECT_EQ(woken->report.refused, "");
}

TEST(AgentAnswer, Refused) {
  const auto working =
      parsed<AgentParking>(R"({"id":9,"parked":false,"refused":"it is working","busy":true,"image_bytes":1})");
  ASSERT_TRUE(working);
  EXPECT_TRUE(working->report.busy);
  EXPECT_EQ(working->report.refused, "it is working");
  EXPECT_EQ(working->report.image_wanted_bytes, 0U);
  const auto large = parsed<AgentParking>(
      R"({"id":9,"parked":false,"refused":"its image","image_wanted_bytes":18446744073709551615,"image_bytes":1})");
  ASSERT_TRUE(large);
  EXPECT_EQ(large->report.image_wanted_bytes, UINT64_MAX);
  EXPECT_FALSE(large->report.busy);
  const auto not_woken = parsed<AgentParking>(R"({"id":9,"parked":true,"refused":"no room","residue_bytes":1})");
  ASSERT_TRUE(not_woken);
  EXPECT_TRUE(not_woken->report.parked);
  EXPECT_EQ(not_woken->report.refused, "no room");
}

TEST(AgentAnswer, RoomOnDevices) {
  const auto room = parsed<AgentRoom>(R"({"id":9,"room":{"D":{"free_bytes":3,"total_bytes":8},"E":{}}})");
  ASSERT_TRUE(room);
  EXPECT_EQ(room->id, 9U);
  ASSERT_EQ(room->devices.size(), 2U);
  EXPECT_EQ(room->devices.at("D").free, Bytes(3));
  EXPECT_EQ(room->devices.at("D").total, Bytes(8));
}

TEST(AgentAnswer, MeasuredOrNot) {
  EXPECT_EQ(parsed<AgentMeasurement>(R"({"id":9,"measured":{"footprint_bytes":12345}})")->measured->host, Bytes(12345));
  const auto on_devices =
      parsed<AgentMeasurement>(R"({"id":9,"measured":{"footprint_bytes":1,"devices":{"Vulkan0":2,"Vulkan1":3}}})");
  ASSERT_TRUE(on_devices && on_devices->measured);
  EXPECT_EQ(on_devices->measured->devices, (DeviceBytes{{"Vulkan0", Bytes(2)}, {"Vulkan1", Bytes(3)}}));
  for (const char* const line :
       {R"({"id":9,"measured":null})", R"({"id":9,"measured":{"footprint_bytes":0}})",
        R"({"id":9,"measured":{"footprint_bytes":18446744073709551615}})", R"({"id":9,"measured":{}})",
        R"({"id":9,"measured":{"footprint_bytes":-1}})", R"({"id":9,"measured":{"footprint_bytes":"1"}})",
        R"({"id":9,"measured":{"footprint_bytes":1.5}})", R"({"id":9,"measured":[1]})",
        R"({"id":9,"measured":{"footprint_bytes":1,"devices":{"Vulkan0":-2}}})",
        R"({"id":9,"measured":{"footprint_bytes":1,"devices":{"Vulkan0":18446744073709551615}}})"}) {
    const auto measurement = parsed<AgentMeasurement>(line);
    ASSERT_TRUE(measurement) << line;
    EXPECT_FALSE(measurement->measured) << line;
  }
}

TEST(AgentAnswer, EverythingElseIsNone) {
  for (const char* const line : {"",
                                 " ",
                                 "null",
                                 "7",
                                 "\"parked\"",
                                 "[]",
                                 "{}",
                                 "parked",
                                 R"({"park":true})",
                                 R"({"parked":false})",
                                 R"({"id":-1,"parked":false})",
                                 R"({"id":"1","parked":false})",
                                 R"({"measured":{"footprint_bytes":1}})",
                                 R"({"id":9,"parked":true)",
                                 R"({"id":9,"parked":true}{})",
                                 R"({"id":9,"parked":null,"image_bytes":1})",
                                 R"({"id":9,"parked":1,"residue_bytes":1})",
                                 R"({"id":9,"parked":true,"residue_bytes":1,"image_bytes":-1})",
                                 R"({"id":9,"parked":true,"residue_bytes":1.0})",
                                 R"({"id":9,"parked":true,"residue_bytes":18446744073709551616})",
                                 R"({"id":9,"parked":true,"image_bytes":1})",
                                 R"({"id":9,"parked":true,"residue_bytes":1,"cached_bytes":"1"})",
                                 R"({"id":9,"parked":false,"missing_bytes":-1})",
                                 R"({"id":9,"parked":true,"residue_bytes":1,"dropped_bytes":1.5})",
                                 R"({"id":9,"room":7})",
                                 R"({"id":9,"room":{"D":7}})",
                                 R"({"id":9,"room":{"D":{"free_bytes":"7"}}})",
                                 R"({"id":9,"room":{"D":{"free_bytes":9007199254740992}}})",
                                 R"({"room":{}})",
                                 R"({"id":9,"parked":false,"refused":7})",
                                 R"({"id":9,"parked":false,"refused":"x","image_wanted_bytes":"1"})",
                                 R"({"protocol":"1","can_park":true})",
                                 R"({"protocol":-1,"can_park":true})",
                                 R"({"protocol":2})",
                                 R"({"protocol":2,"can_park":"yes"})",
                                 R"({"protocol":2,"can_park":false,"why_not":[]})",
                                 "{\"parked\":false,\"refused\":\"\xff\"}"}) {
    EXPECT_FALSE(parse_agent_answer(line)) << line;
  }
}

TEST(AgentAnswer, LongTextsAreCutBetweenCharacters) {
  for (const std::string letter : {"x", "\u00e9", "\u20ac", "\U0001f600"}) {
    std::string text;
    for (int i = 0; i < 1000; ++i) text += letter;
    const auto refused = parsed<AgentParking>(R"({"id":9,"parked":false,"refused":")" + text + "\"}");
    ASSERT_TRUE(refused);
    EXPECT_LE(refused->report.refused.size(), 303U);
    EXPECT_GE(refused->report.refused.size(), 300U - 3U);
    EXPECT_TRUE(refused->report.refused.ends_with(letter + "...")) << refused->report.refused;
  }
}

}  // namespace
}  // namespace minerva
