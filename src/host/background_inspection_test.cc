#include "host/background_inspection.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <utility>
#include <vector>

namespace minerva {
namespace {

namespace fs = std::filesystem;

// Answers inspections that are for nobody only when the test says so.
class IdleDriver final : public EngineDriver {
 public:
  // An inspection for a request.
  void inspect(const ModelSpec&, std::function<void(Result<ModelMetadata>)> done) override {
    ModelMetadata metadata;
    metadata.predicted = Bytes(1000);
    done(metadata);
  }
  void inspect_idly(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) override {
    ASSERT_FALSE(done_) << "two at once";
    asked.push_back(spec.name);
    done_ = std::move(done);
  }
  Result<std::unique_ptr<Engine>> start(const ModelSpec&, const ModelMetadata&, std::shared_ptr<EngineLog>,
                                        Engine::Handlers) override {
    return fail(ErrorCode::kInternal, "this driver starts nothing");
  }
  void answer(Result<ModelMetadata> result) {
    ASSERT_TRUE(done_);
    std::exchange(done_, nullptr)(std::move(result));
  }
  bool at_work() const { return done_ != nullptr; }
  std::vector<std::string> asked;

 private:
  std::function<void(Result<ModelMetadata>)> done_;
};

ModelMetadata a(FileKind kind) {
  ModelMetadata metadata;
  metadata.kind = kind;
  metadata.predicted = Bytes(1000);
  return metadata;
}

class BackgroundInspectionTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "background-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = fs::canonical(pattern);
    options_.models_dirs = {folder_.string()};
  }
  void TearDown() override { fs::remove_all(folder_); }
  void put(const std::string& name) { std::ofstream(folder_ / name) << name; }

  fs::path folder_;
  CatalogOptions options_;
  io::Loop loop_;
  IdleDriver driver_;
  bool nobody_waits_ = true;
};

TEST_F(BackgroundInspectionTest, OneAfterTheOther) {
  for (const char* const name : {"a.gguf", "b.gguf", "c.gguf"}) put(name);
  Catalog catalog(options_, driver_);
  catalog.apply(Catalog::scan(catalog.options()));
  BackgroundInspection inspection(loop_, catalog, [this] { return nobody_waits_; });
  inspection.look();
  inspection.look();  // must not start a second inspection beside the first
  driver_.answer(a(FileKind::kModel));
  driver_.answer(fail(ErrorCode::kInvalidModel, "damaged"));
  driver_.answer(a(FileKind::kModel));
  EXPECT_FALSE(driver_.at_work());
  EXPECT_NE(catalog.metadata(*catalog.find("a")), nullptr);
  ASSERT_NE(catalog.invalid(*catalog.find("b")), nullptr);
  EXPECT_EQ(catalog.invalid(*catalog.find("b"))->message, "damaged");
  inspection.look();
  EXPECT_EQ(driver_.asked, (std::vector<std::string>{"a", "b", "c"})) << "all of it is known";
}

TEST_F(BackgroundInspectionTest, WhatMadeWayForARequestIsDoneLater) {
  put("a.gguf");
  put("b.gguf");
  Catalog catalog(options_, driver_);
  catalog.apply(Catalog::scan(catalog.options()));
  BackgroundInspection inspection(loop_, catalog, [this] { return nobody_waits_; });
  inspection.look();
  nobody_waits_ = false;
  driver_.answer(fail(ErrorCode::kCancelled, "a request came"));
  EXPECT_FALSE(driver_.at_work()) << "somebody waits";
  nobody_waits_ = true;
  inspection.look();
  driver_.answer(a(FileKind::kModel));
  driver_.answer(a(FileKind::kModel));
  EXPECT_EQ(driver_.asked, (std::vector<std::string>{"a", "a", "b"}));
}

TEST_F(BackgroundInspectionTest, WhatARequestHadInspectedIsNotInspectedAgain) {
  put("a.gguf");
  put("b.gguf");
  Catalog catalog(options_, driver_);
  catalog.apply(Catalog::scan(catalog.options()));
  BackgroundInspection inspection(loop_, catalog, [this] { return nobody_waits_; });
  inspection.look();
  nobody_waits_ = false;
  for (const char* const id : {"a", "b"}) catalog.inspect(id, {Bytes::gib(1)}, [](const Result<FittedModel>&) {});
  nobody_waits_ = true;
  driver_.answer(fail(ErrorCode::kCancelled, "a request came"));
  EXPECT_FALSE(driver_.at_work());
  EXPECT_EQ(driver_.asked, (std::vector<std::string>{"a"}));
}

TEST_F(BackgroundInspectionTest, WhatFailsAgainAndAgainIsLeftAlone) {
  put("a.gguf");
  Catalog catalog(options_, driver_);
  catalog.apply(Catalog::scan(catalog.options()));
  BackgroundInspection inspection(loop_, catalog, [this] { return nobody_waits_; });
  inspection.look();
  for (int i = 0; i < 3; ++i) driver_.answer(fail(ErrorCode::kEngineTimeout, "slow"));
  EXPECT_FALSE(driver_.at_work());
  inspection.look();
  EXPECT_FALSE(driver_.at_work());
}

TEST_F(BackgroundInspectionTest, FilesAreWhatTheySayTheyAre) {
  put("eyes.gguf");        // its content is a projector's
  put("mmproj-dog.gguf");  // its content is a model's
  put("cat.gguf");
  Catalog catalog(options_, driver_);
  int surprises = 0;
  catalog.on_surprise([&] { ++surprises; });
  catalog.apply(Catalog::scan(catalog.options()));
  ASSERT_NE(catalog.find("eyes"), nullptr);
  EXPECT_EQ(catalog.find("mmproj-dog"), nullptr);
  BackgroundInspection inspection(loop_, catalog, [this] { return nobody_waits_; });
  inspection.look();
  while (driver_.at_work()) {
    driver_.answer(a(driver_.asked.back() == "eyes" ? FileKind::kProjector : FileKind::kModel));
  }
  EXPECT_EQ(driver_.asked.size(), 3U);
  EXPECT_EQ(surprises, 2);
  catalog.apply(Catalog::scan(catalog.options()));
  EXPECT_EQ(catalog.find("eyes"), nullptr);
  EXPECT_NE(catalog.find("mmproj-dog"), nullptr);
}

}  // namespace
}  // namespace minerva
