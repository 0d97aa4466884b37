#include "conversations/folder_name.h"

#include <algorithm>

#include "conversations/seed.h"

namespace minerva::conversations {
namespace {

// No id of a model has this character.
constexpr char kSlash = '%';

}  // namespace

std::string folder_name(const ModelId& model, std::string_view seed) {
  std::string name = model;
  std::replace(name.begin(), name.end(), '/', kSlash);
  return name.append(".").append(seed);
}

std::optional<ModelId> model_of_folder(std::string_view name) {
  if (name.size() <= kSeedDigits + 1) return std::nullopt;
  const std::string_view seed = name.substr(name.size() - kSeedDigits);
  ModelId model(name.substr(0, name.size() - kSeedDigits - 1));
  const bool is_seed = seed.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (!is_seed || name[model.size()] != '.' || model.find('/') != std::string::npos) return std::nullopt;
  std::replace(model.begin(), model.end(), kSlash, '/');
  return is_model_id(model) ? std::optional<ModelId>(std::move(model)) : std::nullopt;
}

}  // namespace minerva::conversations
