// The arguments of a model's engine. They are the same for its inspection and for its run, so that the prediction is
// for what runs.
//
// Pure.
#pragma once

#include <string>
#include <vector>

#include "engine/model_spec.h"
#include "minerva/base/bytes.h"

namespace minerva {

// Arguments for every engine, unless its spec's own `args` say otherwise (docs/adr/0005-engine-defaults.md).
struct EngineDefaults {
  // Tokens per prefill batch: a dropped client is noticed between batches.
  unsigned batch = 256;
  // Bounds llama.cpp's store of conversations that have lost their slot.
  Bytes prompt_cache = Bytes::mib(256);
  // Per conversation. Models with sliding windows or recurrent state need checkpoints to go back in a conversation.
  unsigned context_checkpoints = 4;
  // 0: llama.cpp's own choice.
  unsigned threads = 0;
  // The meaning of WeightsMode::kAuto.
  WeightsMode weights = WeightsMode::kRepacked;
};

// Tokens per conversation: the reduced number, else the spec's, else the smaller of 8192 and `trained_context` (0:
// unknown).
unsigned conversation_context(const ModelSpec& spec, unsigned trained_context);

// Whether the model's own arguments say what is on devices. Then they say all of it, and no placement is chosen.
bool chooses_devices(const ModelSpec& spec);

// All arguments but the program, the model's path, the address and the alias. `metadata`: nullptr while unknown.
std::vector<std::string> engine_arguments(const ModelSpec& spec, const ModelMetadata* metadata,
                                          const EngineDefaults& defaults);

}  // namespace minerva
