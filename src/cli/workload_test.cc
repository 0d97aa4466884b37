#include "cli/workload.h"

#include "cli/workload_fixture.h"

namespace minerva::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(WorkloadTest, JoinsWhatTheServerRecorded) {
  put_model("a", 1000);
  EXPECT_TRUE(recorded_traces(config_).empty());
  record("access.csv", std::string(kFirstLine) + "1790000020,a,1,0\n17900000");
  record("access.1.csv", std::string(kFirstLine) + "1790000010,a,2,0\n");
  record("notes.txt", "nothing");
  EXPECT_EQ(recorded_traces(config_).size(), 2U);
  const Result<Workload> workload = read();
  ASSERT_TRUE(workload) << workload.error().message;
  EXPECT_EQ(to_csv(workload->trace),
            "arrival_s,model,user,service_s,size_bytes\n0.000,a,2,0.000,1000\n10.000,a,1,0.000,1000\n");
}

TEST_F(WorkloadTest, LeavesOutWhatCannotRunHere) {
  put_model("a", 1000);
  put_model("b", 3000);
  record("access.csv", std::string(kFirstLine) + "0,a,0,0\n1,b,0,0\n2,gone,0,0\n");
  config_.memory_budget.bytes = Bytes(3500);
  Result<Workload> workload = read();
  ASSERT_TRUE(workload) << workload.error().message;
  EXPECT_EQ(workload->capacity, 87.5);
  ASSERT_EQ(workload->trace.models.size(), 2U);
  EXPECT_EQ(workload->notes[0], "Left out, as they are in no models folder any more: \"gone\".");

  config_.memory_budget.bytes = Bytes(2000);
  workload = read();
  ASSERT_TRUE(workload) << workload.error().message;
  EXPECT_EQ(workload->capacity, 100);
  EXPECT_EQ(workload->notes[1], "Left out, as they take more than the memory budget: \"b\".");

  config_.memory_budget.bytes = Bytes(500);
  workload = read();
  ASSERT_FALSE(workload);
  EXPECT_EQ(workload.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(WorkloadTest, KnowsWhatWasMeasured) {
  put_model("a", 1000);
  put_model("b", 1000);
  record("access.csv", std::string(kFirstLine) + "0,a,0,0\n1,b,0,0\n");
  ModelMetadata metadata;
  metadata.predicted = Bytes(5000);
  learn("a", metadata);
  Result<Workload> workload = read();
  EXPECT_EQ(workload->trace.models[0].size, Bytes(5000));
  EXPECT_FALSE(workload->trace.models[0].reload);
  metadata.measured = Bytes(4000);
  metadata.load_time = seconds(3);
  metadata.wake_time = milliseconds(40);
  learn("a", metadata);
  workload = read();
  EXPECT_EQ(workload->trace.models[0].size, Bytes(4000));
  EXPECT_EQ(workload->trace.models[0].reload, milliseconds(40)) << "it would be parked";
  ASSERT_EQ(workload->notes.size(), 1U);
  EXPECT_NE(workload->notes[0].find("guessed from their sizes: \"b\"."), std::string::npos) << workload->notes[0];
  config_.park = false;
  EXPECT_EQ(read()->trace.models[0].reload, seconds(3));
}

TEST_F(WorkloadTest, WhatATraceSaysOfItsModelsCounts) {
  put_model("a", 1000);
  record("access.csv", "arrival_s,model,user,service_s,size_bytes,reload_s\n0,a,u,1,77,8\n1,x,u,1,23,9\n");
  config_.memory_budget.bytes = Bytes(80);
  const Result<Workload> workload = read();
  ASSERT_TRUE(workload) << workload.error().message;
  EXPECT_EQ(workload->capacity, 80);
  EXPECT_EQ(workload->trace.models[0].size, Bytes(77));
  EXPECT_EQ(workload->trace.models[1].reload, seconds(9));
  EXPECT_TRUE(workload->notes.empty());
}

TEST_F(WorkloadTest, ATraceOfOtherModelsIsLeftAsItIs) {
  record("access.csv", std::string(kFirstLine) + "0,x,0,0\n1,y,0,0\n");
  const Result<Workload> workload = read();
  ASSERT_TRUE(workload);
  EXPECT_FALSE(workload->capacity);
  EXPECT_EQ(workload->trace.models.size(), 2U);
  EXPECT_EQ(workload->notes.size(), 1U);
}

}  // namespace
}  // namespace minerva::cli
