#include "cli/workload.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "cachesim/generate.h"
#include "cachesim/world.h"
#include "catalog/catalog.h"
#include "catalog/metadata_store.h"
#include "cli/examination.h"
#include "cli/verdict.h"
#include "engine/llama_engine.h"

namespace minerva::cli {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A machine with a models folder and a server's state folder.
class WorkloadTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "workload-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = fs::canonical(pattern);
    config_.models_dirs = {(folder_ / "models").string()};
    config_.state_dir = (folder_ / "state").string();
    config_.engine = (folder_ / "engine").string();
    fs::create_directories(folder_ / "models");
    fs::create_directories(folder_ / "state" / "trace");
  }
  void TearDown() override { fs::remove_all(folder_); }

  void put_model(const std::string& name, std::size_t size) const {
    std::ofstream(folder_ / "models" / (name + ".gguf")) << std::string(size, 'x');
  }
  void record(const std::string& file, const std::string& text) const {
    std::ofstream(folder_ / "state" / "trace" / file) << text;
  }
  // As a server would that has inspected and run it.
  void learn(const std::string& name, const ModelMetadata& metadata) const {
    io::Loop loop;
    const auto driver = make_llama_driver(loop, {.engine_path = config_.engine, .runtime_dir = {}, .defaults = {}});
    Catalog catalog({config_.models_dirs, {}, ""}, *driver);
    catalog.apply(Catalog::scan(catalog.options()));
    MetadataStore(config_.state_dir + "/metadata.json").put(catalog.key(*catalog.find(name)), metadata);
  }
  Result<Workload> read() const { return read_workload(config_, recorded_traces(config_)); }
  std::vector<Finding> examine() const {
    std::vector<Finding> findings;
    examine_use(config_, [&](const Finding& finding) { findings.push_back(finding); });
    return findings;
  }

  static constexpr const char* kFirstLine = "arrival_s,model,user,service_s\n";
  fs::path folder_;
  Config config_;
};

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
  EXPECT_TRUE(examine().empty());
}

// ---- what doctor says of it ----

TEST_F(WorkloadTest, DoctorSaysHowManyOfTheOftenUsedModelsFit) {
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
  // The rare one cannot run at all then.
  config_.memory_budget.bytes = Bytes(29);
  findings = examine();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, Finding::Level::kNote);
  EXPECT_NE(findings[0].sentence.find("no more than the 1 most used fit the budget of 29 B"), std::string::npos)
      << findings[0].sentence;
}

TEST_F(WorkloadTest, DoctorNamesAPolicyThatWouldHaveSavedMuch) {
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

TEST_F(WorkloadTest, DoctorSaysThatATraceIsDamaged) {
  record("access.csv", "what is this\n");
  const std::vector<Finding> findings = examine();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, Finding::Level::kNote);
  EXPECT_NE(findings[0].sentence.find("access.csv: line 1"), std::string::npos) << findings[0].sentence;
}

// ---- the verdict ----

cachesim::Row row(const std::string& name, double cold_wait_s, cachesim::Kind kind = cachesim::Kind::kPolicy) {
  cachesim::Row result;
  result.name = name;
  result.kind = kind;
  result.cold_wait_s.mean = cold_wait_s;
  return result;
}

TEST(VerdictTest, NamesTheBestPolicyAndWhatCouldBeSavedAtMost) {
  cachesim::Table table;
  table.rows = {row("lru", 50),
                row("lfu", 40),
                row("fifo", 45),
                row("bound", 20, cachesim::Kind::kBound),
                row("clairvoyant", 30, cachesim::Kind::kClairvoyant),
                row("all", 1, cachesim::Kind::kInfinite)};
  const Verdict changed = verdict(table, "lru");
  EXPECT_EQ(changed.best, "lfu");
  EXPECT_EQ(changed.saves_s, 10);
  EXPECT_EQ(
      changed.sentence,
      "lfu would have been best: 40.0 s of waiting for loads instead of 50.0 s with lru, 20% less. No policy could "
      "have saved more than 60%.");
  const Verdict kept = verdict(table, "lfu");
  EXPECT_EQ(kept.best, "lfu");
  EXPECT_EQ(kept.saves_s, 0);
  EXPECT_EQ(kept.sentence,
            "lfu, which is in use, would have been the best of them with 40.0 s of waiting for loads. No policy could "
            "have saved more than 50%.");
  table.rows = {row("lru", 50), row("lfu", 50)};
  EXPECT_EQ(verdict(table, "lfu").best, "lfu");
  EXPECT_EQ(verdict(table, "lfu").sentence,
            "The policy made no difference: with each of them the same had to be loaded.");
}

}  // namespace
}  // namespace minerva::cli
