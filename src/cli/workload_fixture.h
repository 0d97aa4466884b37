// A fixture for tests of a recorded trace: a machine with models and state. One thread.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "catalog/catalog.h"
#include "catalog/metadata_store.h"
#include "cli/workload.h"
#include "engine/llama_engine.h"

namespace minerva::cli {

// A machine with a models folder and a server's state folder.
class WorkloadTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "workload-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = std::filesystem::canonical(pattern);
    config_.models_dirs = {(folder_ / "models").string()};
    config_.state_dir = (folder_ / "state").string();
    config_.engine = (folder_ / "engine").string();
    std::filesystem::create_directories(folder_ / "models");
    std::filesystem::create_directories(folder_ / "state" / "trace");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void put_model(const std::string& name, std::size_t size) const {
    std::ofstream(folder_ / "models" / (name + ".gguf")) << std::string(size, 'x');
  }
  void record(const std::string& file, const std::string& text) const {
    std::ofstream(folder_ / "state" / "trace" / file) << text;
  }
  // Writes what a server would know that has inspected and run the model.
  void learn(const std::string& name, const ModelMetadata& metadata) const {
    io::Loop loop;
    const auto driver = make_llama_driver(loop, {.engine_path = config_.engine, .runtime_dir = {}, .defaults = {}});
    Catalog catalog({config_.models_dirs, {}, ""}, *driver);
    catalog.apply(Catalog::scan(catalog.options()));
    MetadataStore(config_.state_dir + "/metadata.json").put(catalog.key(*catalog.find(name)), metadata);
  }
  Result<Workload> read() const { return read_workload(config_, recorded_traces(config_)); }
  static constexpr const char* kFirstLine = "arrival_s,model,user,service_s\n";
  std::filesystem::path folder_;
  Config config_;
};

}  // namespace minerva::cli
