// Minerva as a library: loads two models where only one fits, switches between them, and prints the statistics.
//
//   embed ENGINE MODEL_A.gguf MODEL_B.gguf
#include <cstdio>
#include <filesystem>
#include <string>

#include "minerva/host/embedded.h"

namespace {

int report(const minerva::Error& error) {
  std::fprintf(stderr, "embed: %s\n", error.message.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: embed ENGINE MODEL_A.gguf MODEL_B.gguf\n");
    return 2;
  }
  const std::string path_a = argv[2];
  const std::string path_b = argv[3];
  minerva::EmbeddedModels::Options options;
  options.engine = argv[1];
  options.models_dirs = {std::filesystem::path(path_a).parent_path(), std::filesystem::path(path_b).parent_path()};
  options.max_models = 1;  // so that the second model evicts the first
  auto models = minerva::EmbeddedModels::open(options);
  if (!models) return report(models.error());

  if (auto loaded = (*models)->load_model("a", path_a); !loaded) return report(loaded.error());
  std::printf("loaded a, %llu MiB\n", static_cast<unsigned long long>((*models)->estimated_memory_mb()));
  const auto evicted = (*models)->load_model("b", path_b);
  if (!evicted) return report(evicted.error());
  for (const std::string& id : *evicted) std::printf("loaded b, evicted %s\n", id.c_str());

  for (const char* id : {"b", "a"}) {  // asking for "a" again switches back
    const auto answer = (*models)->ask(id, "/v1/completions", R"({"prompt":"Once upon a time","max_tokens":8})");
    if (!answer) return report(answer.error());
    std::printf("%s answered %zu bytes\n", id, answer->size());
  }

  const minerva::CacheStats stats = (*models)->cache_stats();
  std::printf("hits %llu, misses %llu, evictions %llu, hit rate %.1f %%\n", static_cast<unsigned long long>(stats.hits),
              static_cast<unsigned long long>(stats.misses), static_cast<unsigned long long>(stats.evictions),
              stats.hit_rate());
  std::printf("memory pressure: %s\n", (*models)->has_memory_pressure() ? "yes" : "no");
  return 0;
}
