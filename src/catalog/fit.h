// Fitting a model into the memory budget: which settings give way, and by how much.
//
// What the user set is kept. What nobody set gives way, in the order in which it is missed least: the prompt cache, the
// context checkpoints, the repacked weights, the slots, the context (docs/adr/0027-fit.md).
// Pure: the same answers of inspections lead to the same reduction, whatever else is in memory. Any thread.
// It inspects nothing.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/concession.h"
#include "engine/model_spec.h"
#include "minerva/base/bytes.h"

namespace minerva {

// What inspecting the model with a reduction said; nullptr while that is not known.
using KnownInspections = std::function<const ModelMetadata*(const Reduction&)>;

// One of the first two is set, or neither: no reduction fits.
struct FitResult {
  std::optional<Reduction> ask;    // inspect the model with this reduction, then call fit() again
  std::optional<Reduction> found;  // this one fits
  Reduction smallest;              // if none fits: the one that takes least, which is known
};
// Finds the reduction with which `spec` takes no more than `room`. Asks about five reductions or fewer where memory
// grows evenly with the context, as it does, and about seven at most.
FitResult fit(const ModelSpec& spec, Bytes room, const KnownInspections& known);

// Whether anything of it may give way.
bool may_give_way(const ModelSpec& spec);

// The settings that gave way; the one that is missed most comes first. `trained_context`: tokens, 0: unknown.
std::vector<Concession> concessions(const ModelSpec& spec, const Reduction& reduction, unsigned trained_context);

}  // namespace minerva
