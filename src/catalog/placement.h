// Placing a model: on one device whole if it fits there, else split over the devices, else as many layers on them as
// fit and the rest on the host, else on the host (docs/adr/0029-devices.md).
//
// What fits is decided against the budgets, never against what happens to be free: a model that fits two devices goes
// to the one with more room at the moment, and stays there while its engine lives. Pure, like fit.h, which fits what is
// on the host. Any thread. It inspects nothing itself.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "catalog/fit.h"
#include "engine/model_spec.h"
#include "minerva/base/bytes.h"
#include "minerva/base/result.h"

namespace minerva {

struct DeviceRoom {
  std::string name;
  Bytes budget;  // of all models together
  Bytes free;    // of the budget, now
};

struct ModelRoom {
  Bytes host;
  std::vector<DeviceRoom> devices = {};
};

// As inspect_to_fit(), with the placement in the result. A model whose arguments choose devices themselves, or that a
// command serves, is not placed. Errors: also kInvalidArgument if `spec.device` names a device that there is not.
void inspect_to_place(const ModelSpec& spec, ModelRoom room, InspectModel inspect,
                      std::function<void(Result<FittedModel>)> done);

}  // namespace minerva
