// The names of the folders below the folder of all conversations: one for each model and seed, MODEL.SEED.
//
// The model is in the name so that segments can be counted and removed by model. The seed is a hash of everything that
// gives a state its meaning (seed.h).
// Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "minerva/base/ids.h"

namespace minerva::conversations {

// `seed`: as seed_of() returns it.
std::string folder_name(const ModelId& model, std::string_view seed);
// The model in the name; nothing if it is no name of such a folder.
std::optional<ModelId> model_of_folder(std::string_view name);

}  // namespace minerva::conversations
