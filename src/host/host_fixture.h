// For tests of ModelHost: a folder with two models, and engines that do nothing by themselves.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "host/model_host.h"

namespace minerva {

class IdleEngine final : public Engine {
 public:
  IdleEngine(io::Loop& loop, Handlers handlers, std::unique_ptr<EngineAgent> agent = nullptr)
      : loop_(loop), handlers_(std::move(handlers)), agent_(std::move(agent)) {}
  EngineAgent* agent() override { return agent_.get(); }
  const io::Address& address() const override { return address_; }
  pid_t pid() const override { return 0; }
  void share_cores(unsigned) override {}
  void stop(Duration) override { kill({ErrorCode::kCancelled, "stopped"}); }
  std::uint64_t activity() const override { return 0; }
  void kill(Error reason) override {
    loop_.post([call = handlers_.on_exit, reason = std::move(reason)] { call(reason); });
  }
  // Reports readiness from the loop's next turn.
  void become_ready() { loop_.post(handlers_.on_ready); }

 private:
  io::Loop& loop_;
  io::Address address_;
  Handlers handlers_;
  std::unique_ptr<EngineAgent> agent_;
};

// Says that every model takes one byte.
class OneByteDriver : public EngineDriver {
 public:
  void inspect(const ModelSpec&, std::function<void(Result<ModelMetadata>)> done) override {
    ModelMetadata metadata;
    metadata.predicted = Bytes(1);
    done(metadata);
  }
};

// Starts engines that are ready at once.
class ReadyDriver final : public OneByteDriver {
 public:
  explicit ReadyDriver(io::Loop& loop) : loop_(loop) {}
  Result<std::unique_ptr<Engine>> start(const ModelSpec&, const ModelMetadata&, std::shared_ptr<EngineLog>,
                                        Engine::Handlers handlers) override {
    auto engine = std::make_unique<IdleEngine>(loop_, std::move(handlers));
    engine->become_ready();
    return engine;
  }

 private:
  io::Loop& loop_;
};

class HostTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "host-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = std::filesystem::canonical(pattern);
    for (const char* name : {"a.gguf", "b.gguf"}) std::ofstream(folder_ / name) << "GGUF";
    options_.models_dirs = {folder_.string()};
  }
  void TearDown() override {
    host_.reset();
    catalog_.reset();
    std::filesystem::remove_all(folder_);
  }

  // Starts a host; if there was one before, this is its next life. Requires: `driver` lives until the test ends.
  void start_host(EngineDriver& driver, ContextManager manager, ModelHost::Options options) {
    host_.reset();
    catalog_.emplace(options_, driver);
    host_.emplace(loop_, *catalog_, driver, std::move(manager), options);
    host_->apply(catalog_->apply(Catalog::scan(options_)));
  }

  std::filesystem::path folder_;
  io::Loop loop_;
  CatalogOptions options_;
  std::optional<Catalog> catalog_;
  std::optional<ModelHost> host_;
};

}  // namespace minerva
