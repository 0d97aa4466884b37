// What `minerva doctor` looks at, one function each. They tell what they find as it comes, in whole sentences that say
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

// Whether a server could listen there now. Not for an address that one already answers on.
void examine_listen_address(const Config& config, const FindingSink& found);
// That it runs, its version, and its sandbox on this kernel. false: no engine would start.
bool examine_engine(const Config& config, const FindingSink& found);
// The budget against what there is, the cgroup's limit included, and against what other programs leave of it. `held`:
// what the models of a server that runs here have.
void examine_memory(const Config& config, Bytes held, const FindingSink& found);
// `allowed`: files that the server may have open, by its limit; nothing: there is none.
void examine_descriptors(const Config& config, std::optional<std::uint64_t> allowed, const FindingSink& found);
void examine_state_folder(const Config& config, const FindingSink& found);
// Whether idle models can be parked, and what that may take.
void examine_parking(const Config& config, const FindingSink& found);
// The folders, and where the engine works, each model: whether it can be loaded and fits the budget.
void examine_models(const Config& config, bool engine_works, const FindingSink& found);
// How fast model files are read: reads the largest for half a second.
void examine_disk(const Config& config, const FindingSink& found);
// What such a speed means for a load of `model`.
Finding judge_disk(double bytes_per_s, const ModelSpec& model);
// What the server recorded of requests: how many of the often used models fit the budget together, and whether another
// eviction policy would have saved much.
void examine_use(const Config& config, const FindingSink& found);
// Whether models of the server there take each other's place all the time.
void examine_switching(const Config& config, HttpClient& client, const FindingSink& found);

}  // namespace minerva::cli
