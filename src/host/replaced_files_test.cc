// Files are replaced while ModelHost works with them, and only ModelHost itself is there to notice.
#include "host/host_fixture.h"

namespace minerva {
namespace {

class ReplacingDriver final : public OneByteDriver {
 public:
  explicit ReplacingDriver(io::Loop& loop) : loop_(loop) {}
  void inspect(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) override {
    if (during_inspection) std::exchange(during_inspection, nullptr)();
    OneByteDriver::inspect(spec, std::move(done));
  }
  Result<std::unique_ptr<Engine>> start(const ModelSpec& spec, const ModelMetadata&, std::shared_ptr<EngineLog>,
                                        Engine::Handlers handlers) override {
    started.push_back(spec.size);
    auto engine = std::make_unique<IdleEngine>(loop_, std::move(handlers));
    if (during_load) std::exchange(during_load, nullptr)();
    engine->become_ready();
    return engine;
  }
  std::function<void()> during_inspection;
  std::function<void()> during_load;
  std::vector<Bytes> started;  // the size of the file that each engine was started with

 private:
  io::Loop& loop_;
};

class ReplacedFilesTest : public HostTest {
 protected:
  static constexpr Bytes kOld{4};
  static constexpr Bytes kNew{8};

  void SetUp() override {
    HostTest::SetUp();
    start_host(driver_, ContextManager(std::size_t{0}), {});
  }
  void replace() {
    std::ofstream(folder_ / "new") << "GGUFGGUF";
    std::filesystem::rename(folder_ / "new", folder_ / "a.gguf");
  }
  // Runs the loop until a request has its engine, and returns the engine after the request released it.
  EngineId use() {
    std::optional<Result<Lease>> answer;
    host_->acquire("a", TimePoint::max(), [&](Result<Lease> lease) {
      answer = std::move(lease);
      loop_.stop();
    });
    if (!answer) loop_.run();
    EXPECT_TRUE(answer && answer->has_value()) << (answer ? answer->error().message : "no answer");
    return answer && *answer ? (*answer)->engine() : EngineId{};
  }

  ReplacingDriver driver_{loop_};
};

TEST_F(ReplacedFilesTest, AnAnswerAboutTheOldFileIsNotUsedForTheNewOne) {
  driver_.during_inspection = [this] { replace(); };
  use();
  EXPECT_EQ(driver_.started, std::vector{kNew});
}

TEST_F(ReplacedFilesTest, AnEngineThatMayHaveReadAPartOfEachServesNobody) {
  driver_.during_load = [this] { replace(); };
  const EngineId engine = use();
  EXPECT_EQ(driver_.started, (std::vector{kOld, kNew}));
  EXPECT_TRUE(host_->engine_alive(engine));
}

TEST_F(ReplacedFilesTest, WhoeverLooksAtTheFileTellsTheCore) {
  const EngineId old = use();
  EXPECT_EQ(use(), old);
  replace();
  bool inspected = false;
  host_->inspect("a", [&](const Result<FittedModel>&) { inspected = true; });
  EXPECT_TRUE(inspected);
  EXPECT_NE(use(), old);
  EXPECT_EQ(driver_.started, (std::vector{kOld, kNew}));
}

}  // namespace
}  // namespace minerva
