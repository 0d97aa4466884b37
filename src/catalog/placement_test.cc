#include "catalog/placement.h"

#include <gtest/gtest.h>

#include <optional>

namespace minerva {
namespace {

// A model of ten layers, whose weights and context take 100 MiB a layer wherever the layer is, and 50 MiB of scratch on
// each device that it uses.
class PlacementTest : public testing::Test {
 protected:
  void inspect(const ModelSpec& spec, const std::function<void(Result<ModelMetadata>)>& done) {
    ++inspections_;
    ModelMetadata metadata;
    metadata.layers = kLayers;
    metadata.context = 4096;
    metadata.trained_context = 4096;
    const Placement& placement = spec.placement;
    const unsigned there = placement.devices.empty() ? 0 : placement.layers.value_or(kLayers);
    double parts = 0;
    for (const unsigned part : placement.split) parts += part;
    for (std::size_t i = 0; i < placement.devices.size(); ++i) {
      const double share = placement.split.empty() ? 1 : placement.split[i] / parts;
      metadata.predicted_on_devices[placement.devices[i]] =
          Bytes::mib(static_cast<std::uint64_t>(100 * there * share) + 50);
    }
    metadata.predicted = Bytes::mib(60 + 100 * (kLayers - there));
    done(metadata);
  }

  FittedModel place(std::vector<DeviceRoom> devices, Bytes host = Bytes::gib(8)) {
    const auto result = try_to_place(std::move(devices), host);
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return result.value_or(FittedModel{});
  }
  Result<FittedModel> try_to_place(std::vector<DeviceRoom> devices, Bytes host = Bytes::gib(8)) {
    std::optional<Result<FittedModel>> result;
    inspect_to_place(
        spec_, {host, std::move(devices)},
        [this](const ModelSpec& asked, std::function<void(Result<ModelMetadata>)> done) { inspect(asked, done); },
        [&](Result<FittedModel> answer) { result = std::move(answer); });
    return *std::move(result);
  }

  void SetUp() override { spec_.id = "m"; }

  static constexpr unsigned kLayers = 10;
  ModelSpec spec_;
  unsigned inspections_ = 0;
};

DeviceRoom device(const char* name, std::uint64_t budget_mib, std::uint64_t free_mib) {
  return {name, Bytes::mib(budget_mib), Bytes::mib(free_mib)};
}
DeviceRoom device(const char* name, std::uint64_t mib) { return device(name, mib, mib); }

TEST_F(PlacementTest, WithoutDevicesItIsOnTheHost) {
  const FittedModel fitted = place({});
  EXPECT_TRUE(fitted.fits);
  EXPECT_EQ(fitted.placement, Placement{});
  EXPECT_EQ(inspections_, 1U);
}

TEST_F(PlacementTest, WholeOnADeviceWhereItFits) {
  EXPECT_EQ(place({device("A", 1100)}).placement, (Placement{{"A"}}));
}

TEST_F(PlacementTest, OfSeveralThatFitTheOneWithMostRoomNow) {
  EXPECT_EQ(place({device("A", 1100, 200), device("B", 1100, 700)}).placement, (Placement{{"B"}}));
  EXPECT_EQ(place({device("A", 1100, 700), device("B", 1100, 700)}).placement, (Placement{{"A"}}));
}

TEST_F(PlacementTest, WhatIsTakenNowDoesNotDecideWhatFits) {
  EXPECT_EQ(place({device("A", 1100, 0), device("B", 500, 500)}).placement, (Placement{{"A"}}));
}

TEST_F(PlacementTest, SplitWhereItFitsNoneWhole) {
  const Placement placement = place({device("A", 600), device("B", 700)}).placement;
  EXPECT_EQ(placement, (Placement{{"B", "A"}, {700, 600}, {}}));
}

TEST_F(PlacementTest, AsManyLayersAsFitAndTheRestOnTheHost) {
  const FittedModel fitted = place({device("A", 500)});
  ASSERT_TRUE(fitted.fits);
  EXPECT_EQ(fitted.placement.layers, 4U);
  EXPECT_LE(fitted.metadata.on_devices().at("A"), Bytes::mib(500));
}

TEST_F(PlacementTest, OnTheHostWhereADeviceHasNoRoomForALayer) {
  const FittedModel fitted = place({device("A", 60)});
  EXPECT_TRUE(fitted.fits);
  EXPECT_EQ(fitted.placement, Placement{});
}

TEST_F(PlacementTest, WhatTheConfigSaysIsKept) {
  spec_.device = "host";
  EXPECT_EQ(place({device("A", 2000)}).placement, Placement{});
  spec_.device = "B";
  EXPECT_EQ(place({device("A", 2000), device("B", 1100)}).placement, (Placement{{"B"}}));
  const FittedModel refused = place({device("A", 2000), device("B", 60)});
  EXPECT_FALSE(refused.fits) << "it is not moved to where nobody wants it";
  spec_.device = "C";
  const auto unknown = try_to_place({device("A", 2000)});
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("\"C\""), std::string::npos) << unknown.error().message;
}

TEST_F(PlacementTest, ArgumentsThatChooseDevicesAreLeftAlone) {
  spec_.args = {"-ngl", "3"};
  EXPECT_EQ(place({device("A", 2000)}).placement, Placement{});
}

TEST_F(PlacementTest, TheHostsPartHasToFitToo) {
  const FittedModel fitted = place({device("A", 500)}, Bytes::mib(500));
  EXPECT_FALSE(fitted.fits);
}

}  // namespace
}  // namespace minerva
