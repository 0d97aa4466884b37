#include "llama_swap/answers.h"

#include <gtest/gtest.h>

#include "golden/golden.h"

namespace minerva::llama_swap {
namespace {

TEST(LlamaSwapTest, RunningModels) {
  EXPECT_EQ(running_json({}), R"({"running":[]})");
  std::vector<Running> models;
  for (const Residency state :
       {Residency::kCold, Residency::kPreparing, Residency::kLoading, Residency::kHot, Residency::kParking,
        Residency::kParked, Residency::kWaking, Residency::kStopping, Residency::kQuarantined}) {
    models.push_back({ModelId(residency_name(state)), state, "", std::chrono::minutes(5)});
  }
  models.push_back({"own", Residency::kHot, "server --port 1", {}});
  expect_golden("llama_swap_running.json", running_json(models) + "\n");
}

TEST(LlamaSwapTest, Unloaded) { EXPECT_EQ(unloaded_json(), R"({"msg":"ok"})"); }

}  // namespace
}  // namespace minerva::llama_swap
