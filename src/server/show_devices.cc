#include "server/show_devices.h"

#include <algorithm>

#include "api/json.h"

namespace minerva {

io::Task<void> show_devices(Service& service, Exchange& x) {
  const std::vector<PoolView> pools = service.host.context().pools();
  const std::vector<ModelView> models = service.host.context().models(Clock::now());
  api::Json data = api::Json::array();
  for (const EngineDevice& device : service.devices.devices) {
    api::Json entry = {{"id", device.name},
                       {"description", device.description},
                       {"backend", service.devices.backend},
                       {"shares_host_memory", device.shares_host_memory},
                       {"total_bytes", device.total.count()},
                       {"free_at_start_bytes", device.free.count()},
                       {"free_bytes", nullptr},
                       {"memory_budget_bytes", nullptr},
                       {"available_bytes", nullptr},
                       {"reserved_bytes", 0},
                       {"models", api::Json::array()}};
    const auto pool = std::ranges::find(pools, device.name, &PoolView::id);
    if (pool != pools.end()) {
      const auto number = static_cast<std::size_t>(pool - pools.begin());
      if (const auto free = service.host.free_on_device(device.name)) entry["free_bytes"] = free->count();
      entry["memory_budget_bytes"] = pool->budget.count();
      entry["available_bytes"] = pool->available.count();
      entry["reserved_bytes"] = pool->reserved.count();
      for (const ModelView& model : models) {
        if (model.by_pool.of(number) > Bytes()) entry["models"].push_back(model.id);
      }
    }
    data.push_back(std::move(entry));
  }
  co_await x.json(200, api::dump({{"object", "list"}, {"data", data}, {"problems", service.devices.problems}}));
}

}  // namespace minerva
