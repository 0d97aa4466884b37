// What an embedding program can do with only the installed headers. Prints "all is well" if everything works.
//
//   consumer ENGINE MODEL_A.gguf MODEL_B.gguf
#include <minerva/context/context_manager.h>
#include <minerva/host/embedded.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace {

void expect(bool truth, const char* what) {
  if (truth) return;
  std::fprintf(stderr, "consumer: not so: %s\n", what);
  std::exit(1);
}

// The pure core: decisions without processes.
void decide() {
  using namespace minerva;
  ContextManager manager(1);
  const TimePoint now{};
  static_cast<void>(manager.step(now, ModelAdded{"a"}));
  auto actions = manager.step(now, LoadRequested{RequestId{1}, "a", false, false, now + std::chrono::seconds(1)});
  expect(actions.size() == 1 && std::holds_alternative<Inspect>(actions[0]), "a load begins with an inspection");
  actions = manager.step(now, Inspected{"a", std::get<Inspect>(actions[0]).ticket, Bytes::mib(10)});
  expect(actions.size() == 1 && std::holds_alternative<Spawn>(actions[0]), "what fits is spawned");
  actions = manager.step(now, EngineReady{std::get<Spawn>(actions[0]).engine});
  expect(manager.loaded_models() == std::vector<ModelId>{"a"}, "it is loaded");
  expect(manager.estimated_memory_mb() == 10, "its memory is counted");
}

void embed(const char* engine, const std::string& path_a, const std::string& path_b) {
  minerva::EmbeddedModels::Options options;
  options.engine = engine;
  options.models_dirs = {std::filesystem::path(path_a).parent_path()};
  options.max_models = 1;
  auto models = minerva::EmbeddedModels::open(options);
  expect(models.has_value(), "it opens");
  const auto first = (*models)->load_model("a", path_a);
  if (!first) std::fprintf(stderr, "consumer: %s\n", first.error().message.c_str());
  expect(first.has_value() && first->empty(), "the first model evicts nothing");
  const auto second = (*models)->load_model("b", path_b);
  expect(second.has_value() && *second == std::vector<minerva::ModelId>{"a"}, "the second one evicts it");
  const auto answer = (*models)->ask("b", "/v1/completions", R"({"prompt":"Hello","max_tokens":2})");
  expect(answer.has_value() && answer->find("choices") != std::string::npos, "it answers");
  const auto missing = (*models)->load_model("c", path_a + ".nothing");
  expect(!missing && missing.error().code == minerva::ErrorCode::kModelNotFound, "a missing file is an error");
  expect((*models)->cache_stats().evictions == 1, "the eviction is counted");
}

}  // namespace

int main(int argc, char** argv) {
  expect(argc == 4, "usage: consumer ENGINE MODEL_A.gguf MODEL_B.gguf");
  decide();
  embed(argv[1], argv[2], argv[3]);
  std::puts("all is well");
  return 0;
}
