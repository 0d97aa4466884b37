#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cli/examination.h"

namespace minerva::cli {
namespace {

namespace fs = std::filesystem;

TEST(DiskExamination, ASlowDiskIsNamedByWhatALoadTakes) {
  ModelSpec model;
  model.id = "large";
  model.size = Bytes::gib(4);
  const Finding slow = judge_disk(100.0 * (1 << 20), model);
  EXPECT_EQ(slow.level, Finding::Level::kNote);
  EXPECT_NE(slow.sentence.find("100 MiB a second: \"large\" (4 GiB) takes 41.0 s to load"), std::string::npos)
      << slow.sentence;
  EXPECT_EQ(judge_disk(1000.0 * (1 << 20), model).level, Finding::Level::kFine);
  model.size = Bytes::mib(100);
  EXPECT_EQ(judge_disk(100.0 * (1 << 20), model).level, Finding::Level::kFine) << "a second is not long";
}

TEST(DiskExamination, ReadsTheLargestModelUnlessItIsTooSmallToTell) {
  const fs::path folder = fs::path(DISK_FOLDER) / "disk_examination";
  fs::create_directories(folder);
  std::ofstream(folder / "small.gguf") << "GGUF";
  Config config;
  config.models_dirs = {folder.string()};
  int findings = 0;
  const FindingSink count = [&](const Finding& finding) {
    ++findings;
    EXPECT_EQ(finding.topic, "disk");
  };
  examine_disk(config, count);
  EXPECT_EQ(findings, 0);
  std::ofstream(folder / "large.gguf") << std::string(std::size_t{40} << 20, 'x');
  const int direct = ::open((folder / "large.gguf").c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (direct >= 0) {
    ::close(direct);
    examine_disk(config, count);
    EXPECT_EQ(findings, 1);
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace minerva::cli
