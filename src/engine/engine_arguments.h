// The arguments a model's engine gets: the same for inspecting it and for running it, so that what was predicted is
// what runs.
//
// Pure.
#pragma once

#include <string>
#include <vector>

#include "engine/model_spec.h"
#include "minerva/base/bytes.h"

namespace minerva {

// What every engine gets unless its spec's own `args` say otherwise (docs/adr/0005-engine-defaults.md).
struct EngineDefaults {
  // Tokens per prefill batch: a dropped client is noticed between batches.
  unsigned batch = 256;
  // Bounds llama.cpp's store of conversations that gave up their slot.
  Bytes prompt_cache = Bytes::mib(256);
  // Per conversation; models with sliding windows or recurrent state need them to go back in a conversation.
  unsigned context_checkpoints = 4;
  // 0: llama.cpp's own choice.
  unsigned threads = 0;
  // What WeightsMode::kAuto means.
  WeightsMode weights = WeightsMode::kRepacked;
};

// Tokens per conversation: what they were reduced to, else the spec's, else the smaller of trained (0: unknown) and
// 8192.
unsigned conversation_context(const ModelSpec& spec, unsigned trained_context);

// Everything but the program, the model's path, the address and the alias. `metadata`: nullptr while unknown.
std::vector<std::string> engine_arguments(const ModelSpec& spec, const ModelMetadata* metadata,
                                          const EngineDefaults& defaults);

}  // namespace minerva
