#include "router_api/status.h"

#include <gtest/gtest.h>

namespace minerva::router_api {
namespace {

TEST(RouterStatusTest, EachResidencyHasAName) {
  EXPECT_EQ(status_name(Residency::kHot), "loaded");
  for (const Residency asleep : {Residency::kParking, Residency::kParked, Residency::kWaking}) {
    EXPECT_EQ(status_name(asleep), "sleeping");
  }
  for (const Residency coming : {Residency::kPreparing, Residency::kLoading}) EXPECT_EQ(status_name(coming), "loading");
  for (const Residency gone : {Residency::kCold, Residency::kStopping, Residency::kQuarantined}) {
    EXPECT_EQ(status_name(gone), "unloaded");
  }
}

TEST(RouterStatusTest, OnlyWhatHasNoProcessHasFailed) {
  const Error failure{ErrorCode::kInvalidModel, "no model"};
  EXPECT_EQ(status_of(Residency::kQuarantined, std::nullopt).exit_code, 1);
  EXPECT_EQ(status_of(Residency::kCold, failure).exit_code, 1);
  EXPECT_EQ(status_of(Residency::kCold, std::nullopt).exit_code, std::nullopt);
  EXPECT_EQ(status_of(Residency::kHot, failure).exit_code, std::nullopt);
  EXPECT_EQ(status_of(Residency::kLoading, failure).exit_code, std::nullopt);
}

TEST(RouterStatusTest, EventsHaveTheRoutersShape) {
  EXPECT_EQ(status_event("a", status_of(Residency::kHot, {})),
            R"({"model":"a","event":"model_status","data":{"status":"loaded"}})");
  EXPECT_EQ(status_event("a", status_of(Residency::kQuarantined, {})),
            R"({"model":"a","event":"model_status","data":{"status":"unloaded","exit_code":1}})");
  EXPECT_EQ(status_event("a", status_of(Residency::kLoading, {}), 0.426),
            R"({"model":"a","event":"model_status","data":{"status":"loading","progress":)"
            R"({"stages":["text_model"],"current":"text_model","value":0.43}}})");
  EXPECT_EQ(reload_event(), R"({"model":"*","event":"models_reload","data":null})");
  EXPECT_EQ(remove_event("a"), R"({"model":"a","event":"model_remove","data":{}})");
}

}  // namespace
}  // namespace minerva::router_api
