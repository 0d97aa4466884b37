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
#include "minerva/base/result.h"

namespace minerva {

// The result of an inspection of the model with a reduction; nullptr while that is not known.
using KnownInspections = std::function<const ModelMetadata*(const Reduction&)>;

// At most one of the first two is set. If neither is: no reduction fits.
struct FitResult {
  std::optional<Reduction> ask;    // inspect the model with this reduction, then call fit() again
  std::optional<Reduction> found;  // this one fits
  Reduction smallest;              // if none fits: the known reduction that takes least
};
// Finds the reduction with which `spec` takes no more than `room`. Asks about at most five reductions if memory grows
// evenly with the context, as it normally does, and about seven otherwise.
FitResult fit(const ModelSpec& spec, Bytes room, const KnownInspections& known);

// A model with the settings that it would run with.
struct FittedModel {
  ModelMetadata metadata;    // with the reduction
  Reduction reduction;       // what gives way so that the model fits
  bool fits = true;          // false: no reduction fits, and `metadata` is about the one that takes least
  Placement placement = {};  // where it is; inspect_to_fit() leaves it as the spec has it
};

using InspectModel = std::function<void(const ModelSpec&, std::function<void(Result<ModelMetadata>)>)>;
// Inspects `spec` with one reduction after the other, as fit() asks, and calls `done` with the result. If no reduction
// fits, the result says so, and has no reduction. A file that is no model is the result as it
// is. `inspect` may call back before it returns. Errors: the first one of `inspect`.
void inspect_to_fit(ModelSpec spec, Bytes room, InspectModel inspect, std::function<void(Result<FittedModel>)> done);

// Whether any setting of it may give way.
bool may_give_way(const ModelSpec& spec);
// Whether it can run in `room`, as far as is known. `metadata`: what inspecting it said; nullptr: nothing is known.
bool may_fit(const ModelSpec& spec, const ModelMetadata* metadata, Bytes room);

// The settings that gave way; the one that is missed most comes first. `trained_context`: tokens, 0: unknown.
std::vector<Concession> concessions(const ModelSpec& spec, const Reduction& reduction, unsigned trained_context);

}  // namespace minerva
