// What `minerva doctor` examines, one function each. They report each finding as it comes, in whole sentences, with
// what to do where something is wrong.
//
// Threading: one thread; they block, and run the engine as child processes. They change nothing on the machine.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "cli/http_client.h"
#include "config/config.h"

namespace minerva::cli {

struct Finding {
  enum class Level { kFine, kNote, kProblem };
  Level level = Level::kFine;
  std::string topic;  // "engine", "memory", ...
  std::string sentence;
};
using FindingSink = std::function<void(const Finding&)>;

// Whether a server could listen on these addresses now. Leaves out an address where a server already answers.
void examine_listen_address(const Config& config, const FindingSink& found);
// Whether the engine runs, its version, and whether its sandbox works on this kernel. false: no engine would start.
bool examine_engine(const Config& config, const FindingSink& found);
// The devices (GPUs) that engines see, and what is missing where there is hardware and none is seen. Asks drivers.
void examine_devices(const Config& config, const FindingSink& found);
// The budget against the memory there is, with the cgroup's limit, and against what other programs leave. `held`: what
// the models of a server that runs here have.
void examine_memory(const Config& config, Bytes held, const FindingSink& found);
// `allowed`: the limit on the files that the server may open; nothing: no limit.
void examine_descriptors(const Config& config, std::optional<std::uint64_t> allowed, const FindingSink& found);
void examine_state_folder(const Config& config, const FindingSink& found);
// Whether idle models can be parked, and how much parked models may take.
void examine_parking(const Config& config, const FindingSink& found);
// The models folders; and for each model, if the engine works, whether it can be loaded and fits the budget.
void examine_models(const Config& config, bool engine_works, const FindingSink& found);
// How fast model files are read: reads the largest for half a second.
void examine_disk(const Config& config, const FindingSink& found);
// What such a speed means for a load of `model`.
Finding judge_disk(double bytes_per_s, const ModelSpec& model);
// By the trace that the server recorded: how many of the often used models fit the budget together, and whether another
// eviction policy would have saved much.
void examine_use(const Config& config, const FindingSink& found);
// Whether the server's models evict each other all the time.
void examine_switching(const Config& config, HttpClient& client, const FindingSink& found);
// Whether the server can save conversations.
void examine_conversations(HttpClient& client, const FindingSink& found);

}  // namespace minerva::cli
