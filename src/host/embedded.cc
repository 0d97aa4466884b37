#include "minerva/host/embedded.h"

#include <fmt/format.h>

#include <filesystem>
#include <future>
#include <optional>
#include <thread>

#include "engine/llama_engine.h"
#include "host/model_host.h"
#include "host/runtime_folder.h"
#include "io/http.h"

namespace minerva {

class EmbeddedModels::Impl {
 public:
  Impl(Options options, std::unique_ptr<EvictionPolicy> policy, RuntimeFolder runtime)
      : options_(std::move(options)), runtime_(std::move(runtime)) {
    std::promise<void> ready;
    // An engine ends with the thread that started it, so this thread lives exactly as long as this object.
    thread_ = std::thread([this, policy = std::move(policy), &ready]() mutable {
      io::Loop loop;
      const auto driver = make_llama_driver(loop, {options_.engine, runtime_.path(), {}});
      Catalog catalog({options_.models_dirs, {}, ""}, *driver, &loop);
      ContextOptions context;
      context.max_models = options_.max_models;
      context.memory_budget = options_.memory_budget;
      ModelHost host(loop, catalog, *driver, ContextManager(context, std::move(policy)), {});
      loop_ = &loop;
      catalog_ = &catalog;
      host_ = &host;
      ready.set_value();
      loop.run();
    });
    ready.get_future().wait();
  }

  ~Impl() {
    loop_->post([this] { host_->drain(Clock::now(), [this] { loop_->stop(); }); });
    thread_.join();
  }

  // Runs `start` on the loop's thread, gives it a promise to answer into, and waits for the answer.
  template <typename T>
  T wait_for(const std::function<void(std::function<void(T)>)>& start) const {
    std::promise<T> answer;
    loop_->post([&] { start([&](T value) { answer.set_value(std::move(value)); }); });
    return answer.get_future().get();
  }

  Result<Done> load(const ModelId& id, const std::string& path, bool preload) {
    return wait_for<Result<Done>>([&](std::function<void(Result<Done>)> answer) {
      const Result<const ModelSpec*> spec = catalog_->add_path(id, path);
      if (!spec) return answer(fail(spec.error()));
      host_->apply({{**spec}, {}});
      host_->load(id, preload, false, Clock::now() + options_.max_wait, std::move(answer));
    });
  }

  Result<Done> unload(const ModelId& id) {
    return wait_for<Result<Done>>([&](std::function<void(Result<Done>)> answer) {
      host_->unload(id, false, Clock::now() + options_.max_wait, std::move(answer));
    });
  }

  Result<std::string> ask(const ModelId& id, std::string_view route, std::string_view body) {
    return wait_for<Result<std::string>>([&](std::function<void(Result<std::string>)> answer) {
      const auto shared = std::make_shared<std::function<void(Result<std::string>)>>(std::move(answer));
      host_->acquire(id, Clock::now() + options_.max_wait,
                     [this, shared, target = std::string(route), text = std::string(body)](Result<Lease> lease) {
                       if (!lease) return (*shared)(fail(lease.error()));
                       loop_->spawn(exchange(std::move(*lease), target, text, *shared));
                     });
    });
  }

  template <typename T>
  T view(const std::function<T(const ContextManager&)>& read) const {
    return wait_for<T>([&](const std::function<void(T)>& answer) { answer(read(host_->context())); });
  }

 private:
  io::Task<void> exchange(Lease lease, std::string target, std::string body,
                          std::function<void(Result<std::string>)> answer) {
    Result<std::string> result = co_await request(lease, std::move(target), std::move(body));
    const bool answered = result.has_value() || result.error().code == ErrorCode::kInvalidArgument;
    lease.release(answered ? LeaseEnd::kCompleted : LeaseEnd::kFailed);
    answer(std::move(result));
  }

  io::Task<Result<std::string>> request(Lease& lease, std::string target, std::string body) {
    const Lease::EngineWait wait(lease);
    std::optional<Error> aborted;
    io::HttpClientConnection* open = nullptr;
    lease.on_abort([&](Error reason) {
      aborted = std::move(reason);
      if (open != nullptr) open->close();
    });
    constexpr auto kConnectTimeout = std::chrono::seconds(5);
    auto stream = co_await io::connect(*loop_, lease.address(), Clock::now() + kConnectTimeout);
    if (!stream) co_return Failure(stream.error());
    if (aborted) co_return fail(*aborted);
    io::HttpClientConnection connection(std::move(*stream));
    open = &connection;
    const auto broken = [&](const Error& why) {
      return aborted ? fail(*aborted) : fail(ErrorCode::kEngineCrashed, why.message);
    };
    io::RequestHead head;
    head.method = "POST";
    head.target = std::move(target);
    head.headers.add("Host", "localhost");
    head.headers.add("Content-Type", "application/json");
    head.content_length = body.size();
    co_await connection.send_request(head, body);
    const auto response = co_await connection.read_response();
    if (!response) co_return broken(response.error());
    std::string text;
    while (true) {
      const Result<std::string_view> piece = co_await connection.read_body();
      if (!piece) co_return broken(piece.error());
      if (piece->empty()) break;
      text += *piece;
    }
    if (response->status >= 300) co_return fail(ErrorCode::kInvalidArgument, text);
    co_return text;
  }

  Options options_;
  RuntimeFolder runtime_;
  std::thread thread_;
  io::Loop* loop_ = nullptr;
  Catalog* catalog_ = nullptr;
  ModelHost* host_ = nullptr;
};

EmbeddedModels::EmbeddedModels(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EmbeddedModels::~EmbeddedModels() = default;

Result<std::unique_ptr<EmbeddedModels>> EmbeddedModels::open(Options options) {
  auto policy = make_policy(options.policy);
  if (!policy) return Failure(policy.error());
  for (std::string& folder : options.models_dirs) folder = std::filesystem::absolute(folder);
  Result<RuntimeFolder> runtime = RuntimeFolder::make();
  if (!runtime) return Failure(runtime.error());
  return std::unique_ptr<EmbeddedModels>(
      new EmbeddedModels(std::make_unique<Impl>(std::move(options), std::move(*policy), std::move(*runtime))));
}

Result<std::vector<ModelId>> EmbeddedModels::load_model(const ModelId& id, const std::string& path) {
  return impl_->load(id, path, false).map([](const Done& done) { return done.evicted; });
}

Result<std::vector<ModelId>> EmbeddedModels::preload_model(const ModelId& id, const std::string& path) {
  return impl_->load(id, path, true).map([](const Done& done) { return done.evicted; });
}

Result<void> EmbeddedModels::unload_model(const ModelId& id) {
  return impl_->unload(id).map([](const Done&) {});
}

Result<std::string> EmbeddedModels::ask(const ModelId& id, std::string_view route, std::string_view body) {
  return impl_->ask(id, route, body);
}

std::vector<ModelId> EmbeddedModels::loaded_models() const {
  return impl_->view<std::vector<ModelId>>([](const ContextManager& context) { return context.loaded_models(); });
}

CacheStats EmbeddedModels::cache_stats() const {
  return impl_->view<CacheStats>([](const ContextManager& context) { return context.cache_stats(); });
}

std::uint64_t EmbeddedModels::estimated_memory_mb() const {
  return impl_->view<std::uint64_t>([](const ContextManager& context) { return context.estimated_memory_mb(); });
}

bool EmbeddedModels::has_memory_pressure() const {
  return impl_->view<bool>([](const ContextManager& context) { return context.has_memory_pressure(); });
}

}  // namespace minerva
