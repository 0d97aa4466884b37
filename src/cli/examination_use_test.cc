#include <gtest/gtest.h>

#include "cachesim/generate.h"
#include "cachesim/world.h"
#include "cli/examination.h"
#include "cli/workload_fixture.h"

namespace minerva::cli {
namespace {

class UseExamination : public WorkloadTest {
 protected:
  std::vector<Finding> examine() const {
    std::vector<Finding> findings;
    examine_use(config_, [&](const Finding& finding) { findings.push_back(finding); });
    return findings;
  }
};

TEST_F(UseExamination, SaysHowManyOfTheOftenUsedModelsFit) {
  std::string trace = "arrival_s,model,user,service_s,size_bytes,reload_s\n";
  for (int i = 0; i < 48; ++i) trace += "0,a,u,1,10,1\n";
  for (int i = 0; i < 48; ++i) trace += "0,b,u,1,20,1\n";
  for (int i = 0; i < 4; ++i) trace += "0,rare,u,1,30,1\n";
  record("access.csv", trace);
  config_.memory_budget.bytes = Bytes(30);
  std::vector<Finding> findings = examine();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, Finding::Level::kFine);
  EXPECT_EQ(
      findings[0].sentence,
      "Of 3 models that were asked for, 2 got 90% of the requests; together they take 30 B, which fits the budget "
      "of 30 B.");
  // Then the rare model cannot run at all.
  config_.memory_budget.bytes = Bytes(29);
  findings = examine();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, Finding::Level::kNote);
  EXPECT_NE(findings[0].sentence.find("no more than the 1 most used fit the budget of 29 B"), std::string::npos)
      << findings[0].sentence;
}

TEST_F(UseExamination, NamesAPolicyThatWouldHaveSavedMuch) {
  cachesim::Trace trace = cachesim::generate({.models = 30, .requests = 3000, .seed = 3});
  const cachesim::World world = make_world(trace, 1);
  for (std::size_t i = 0; i < trace.models.size(); ++i) {
    trace.models[i].size = world.models[i].size;
    trace.models[i].reload = world.models[i].reload;
  }
  record("access.csv", to_csv(trace));
  config_.memory_budget.bytes = world.capacity(30);
  const auto hint = [&](const std::string& in_use) {
    config_.policy = in_use;
    for (const Finding& finding : examine()) {
      if (finding.topic == "policy") return finding.sentence;
    }
    return std::string();
  };
  const std::string sentence = hint("lfu");
  const std::size_t named = sentence.find("set policy = \"");
  ASSERT_NE(named, std::string::npos) << sentence;
  const std::size_t begin = sentence.find('"', named) + 1;
  const std::string better = sentence.substr(begin, sentence.find('"', begin) - begin);
  EXPECT_NE(better, "lfu");
  EXPECT_EQ(hint(better), "");
}

TEST_F(UseExamination, SaysThatATraceIsDamaged) {
  record("access.csv", "what is this\n");
  const std::vector<Finding> findings = examine();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, Finding::Level::kNote);
  EXPECT_NE(findings[0].sentence.find("access.csv: line 1"), std::string::npos) << findings[0].sentence;
}

TEST_F(UseExamination, HasNothingToSayOfOtherMachinesModels) {
  EXPECT_TRUE(examine().empty());
  record("access.csv", std::string(kFirstLine) + "0,x,0,0\n1,y,0,0\n");
  EXPECT_TRUE(examine().empty());
}

}  // namespace
}  // namespace minerva::cli
