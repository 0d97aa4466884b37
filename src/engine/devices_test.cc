#include "engine/devices.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace minerva {
namespace {

namespace fs = std::filesystem;

// A folder with programs in the place of engines.
class Engines : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "minerva-devices-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  void variant(const std::string& name, const std::string& script) const {
    const fs::path path = folder_ / ("minerva-engine-" + name);
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    fs::permissions(path, fs::perms::owner_all);
  }
  Devices find(Duration time = std::chrono::seconds(60)) const {
    return find_devices({(folder_ / "minerva-engine").string(), "off", time});
  }

  fs::path folder_;
};

constexpr const char* kOne =
    R"(echo '{"backend":"X","devices":[{"name":"X0","description":"a card","type":"gpu","free_bytes":90,"total_bytes":100}]}')";

TEST_F(Engines, WithoutAVariantNothingIsAskedAndNothingIsWrong) {
  const Devices found = find();
  EXPECT_TRUE(found.engine.empty());
  EXPECT_TRUE(found.devices.empty());
  EXPECT_TRUE(found.problems.empty());
}

TEST_F(Engines, TheFirstVariantThatSeesADeviceIsTheEngine) {
  variant("vulkan", kOne);
  variant("cuda", R"(echo '{"backend":"CUDA","devices":[]}')");
  const Devices found = find();
  EXPECT_EQ(found.engine, folder_ / "minerva-engine-vulkan");
  EXPECT_EQ(found.backend, "Vulkan");
  EXPECT_EQ(found.devices, (std::vector<EngineDevice>{{"X0", "a card", false, Bytes(100), Bytes(90)}}));
  ASSERT_EQ(found.problems.size(), 1U);
  EXPECT_NE(found.problems[0].find("sees no device"), std::string::npos) << found.problems[0];
}

TEST_F(Engines, ADriverThatHangsIsGivenUp) {
  variant("vulkan", "exec sleep 1000");
  const Devices found = find(std::chrono::milliseconds(100));
  EXPECT_TRUE(found.devices.empty());
  ASSERT_EQ(found.problems.size(), 1U);
  EXPECT_NE(found.problems[0].find("does not answer"), std::string::npos) << found.problems[0];
}

TEST_F(Engines, AVariantWithoutItsLibrarySaysWhatToInstall) {
  variant(
      "vulkan",
      "echo 'x: error while loading shared libraries: libvulkan.so.1: cannot open shared object file' >&2; exit 127");
  const Devices found = find();
  ASSERT_EQ(found.problems.size(), 1U);
  EXPECT_NE(found.problems[0].find("Install libvulkan1."), std::string::npos) << found.problems[0];
}

TEST_F(Engines, AVariantThatCrashesOrTalksNonsenseIsAProblem) {
  for (const char* const script : {"kill -SEGV $$", "echo '{}'", "echo nonsense", "exit 3"}) {
    variant("vulkan", script);
    const Devices found = find();
    EXPECT_TRUE(found.devices.empty()) << script;
    EXPECT_EQ(found.problems.size(), 1U) << script;
  }
}

TEST(DeviceList, WhatIsDamagedIsNoList) {
  EXPECT_TRUE(parse_device_list(R"({"devices":[]})")->empty());
  for (const char* const text : {"", "[]", R"({"devices":{}})", R"({"devices":[{"name":"X0"}]})",
                                 R"({"devices":[{"name":"","total_bytes":1,"free_bytes":1}]})",
                                 R"({"devices":[{"name":"X0","total_bytes":-1,"free_bytes":1}]})"}) {
    EXPECT_FALSE(parse_device_list(text)) << text;
  }
}

}  // namespace
}  // namespace minerva
