#include "catalog/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <utility>

#include "engine/engine_arguments.h"

namespace minerva {
namespace {

// How many numbers of layers are tried, each smaller than the one before.
constexpr unsigned kMostPartial = 5;

std::vector<std::string> device_names_in(const std::string& list) {
  std::vector<std::string> names;
  std::istringstream in(list);
  for (std::string name; std::getline(in, name, ',');) names.push_back(std::move(name));
  return names;
}

Bytes sum_on_devices(const DeviceBytes& bytes) {
  Bytes sum;
  for (const auto& [name, on_it] : bytes) sum += on_it;
  return sum;
}

// One search. It lives until its last callback.
class PlacementSearch : public std::enable_shared_from_this<PlacementSearch> {
 public:
  PlacementSearch(ModelSpec spec, ModelRoom room, std::vector<DeviceRoom> devices, bool may_use_host,
                  InspectModel inspect, std::function<void(Result<FittedModel>)> done)
      : spec_(std::move(spec)),
        room_(std::move(room)),
        devices_(std::move(devices)),
        may_use_host_(may_use_host),
        inspect_(std::move(inspect)),
        done_(std::move(done)) {
    for (const DeviceRoom& device : devices_) next_.push_back({{device.name}});
    if (devices_.size() > 1) next_.push_back(all());
  }

  void go_on() {
    if (!next_.empty()) {
      const Placement placement = next_.front();
      next_.erase(next_.begin());
      return attempt(placement);
    }
    if (const unsigned layers = fewer_layers(); layers > 0) {
      Placement placement = all();
      placement.layers = layers;
      return attempt(placement);
    }
    if (may_use_host_) return inspect_to_fit(spec_, room_.host, inspect_, done_);
    done_(FittedModel{*std::move(whole_), {}, /*fits=*/false});
  }

 private:
  Placement all() const {
    Placement placement;
    for (const DeviceRoom& device : devices_) placement.devices.push_back(device.name);
    if (devices_.size() > 1) {
      for (const DeviceRoom& device : devices_) {
        placement.split.push_back(static_cast<unsigned>(device.budget.rounded_mib()));
      }
    }
    return placement;
  }

  void attempt(const Placement& placement) {
    ModelSpec asked = spec_;
    asked.placement = placement;
    inspect_(asked, [self = shared_from_this(), asked](Result<ModelMetadata> answer) {
      if (!answer) return self->done_(fail(Error(answer.error())));
      if (answer->kind != FileKind::kModel) return self->done_(FittedModel{*std::move(answer), {}});
      self->judge(asked, *std::move(answer));
    });
  }

  void judge(const ModelSpec& asked, ModelMetadata answer) {
    const bool fits = std::all_of(answer.on_devices().begin(), answer.on_devices().end(), [this](const auto& on_it) {
      const auto device = std::ranges::find(devices_, on_it.first, &DeviceRoom::name);
      return device != devices_.end() && on_it.second <= device->budget;
    });
    if (!asked.placement.layers) whole_ = std::move(answer);
    if (!fits) return go_on();
    // What gives way on the host takes nothing more on the devices.
    inspect_to_fit(asked, room_.host, inspect_,
                   [self = shared_from_this(), placement = asked.placement](Result<FittedModel> fitted) {
                     if (!fitted) return self->done_(std::move(fitted));
                     if (!fitted->fits) return self->go_on();
                     fitted->placement = placement;
                     self->done_(std::move(fitted));
                   });
  }

  // How many layers to try next; 0: no more. Memory grows about evenly with them.
  unsigned fewer_layers() {
    if (!whole_ || tried_partial_ == kMostPartial) return 0;
    if (tried_partial_++ > 0) {
      constexpr unsigned kFew = 4;
      const unsigned step = tried_partial_ == 2 ? 1 : std::max(1U, layers_ / kFew);
      return layers_ -= std::min(layers_, step);
    }
    Bytes budget;
    for (const DeviceRoom& device : devices_) budget += device.budget;
    const double share = static_cast<double>(budget.count()) /
                         static_cast<double>(std::max<std::uint64_t>(sum_on_devices(whole_->on_devices()).count(), 1));
    return layers_ = static_cast<unsigned>(whole_->layers * std::min(share, 1.0));
  }

  const ModelSpec spec_;
  const ModelRoom room_;
  const std::vector<DeviceRoom> devices_;  // the one with most room first
  const bool may_use_host_;
  const InspectModel inspect_;
  const std::function<void(Result<FittedModel>)> done_;
  std::vector<Placement> next_;         // of the whole model
  std::optional<ModelMetadata> whole_;  // the latest answer about the whole model
  unsigned tried_partial_ = 0;
  unsigned layers_ = 0;
};

}  // namespace

void inspect_to_place(const ModelSpec& spec, ModelRoom room, InspectModel inspect,
                      std::function<void(Result<FittedModel>)> done) {
  std::vector<DeviceRoom> devices = room.devices;
  const bool is_chosen = !spec.device.empty() && spec.device != kHostPool;
  if (is_chosen) {
    devices.clear();
    for (const std::string& name : device_names_in(spec.device)) {
      const auto found = std::ranges::find(room.devices, name, &DeviceRoom::name);
      if (found == room.devices.end()) {
        return done(
            fail(ErrorCode::kInvalidArgument,
                 fmt::format("model \"{}\" is to run on the device \"{}\" (device in its entry), and there is no "
                             "such device: `minerva devices` lists those there are",
                             spec.id, name)));
      }
      devices.push_back(*found);
    }
  }
  if (devices.empty() || spec.device == kHostPool || chooses_devices(spec) || !spec.command.argv.empty()) {
    return inspect_to_fit(spec, room.host, std::move(inspect), std::move(done));
  }
  std::ranges::sort(devices, [](const DeviceRoom& a, const DeviceRoom& b) {
    return a.free != b.free ? a.free > b.free : a.name < b.name;
  });
  std::make_shared<PlacementSearch>(spec, std::move(room), std::move(devices), !is_chosen, std::move(inspect),
                                    std::move(done))
      ->go_on();
}

}  // namespace minerva
