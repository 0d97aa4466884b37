#include "server/service.h"

#include <fmt/format.h>

#include "base/log.h"

namespace minerva {

io::Task<void> Service::refresh_catalog() {
  constexpr auto kPause = std::chrono::seconds(1);
  if (Clock::now() - last_scan < kPause) co_return;
  last_scan = Clock::now();
  io::Signal scanned(loop);
  ScanResult result;
  loop.offload([&] { result = Catalog::scan(catalog_options); }, [&] { scanned.notify(); });
  co_await scanned.wait();
  host.apply(catalog.apply(std::move(result)));
}

io::Task<Result<ModelId>> Service::resolve(std::string name) {
  if (const ModelSpec* spec = catalog.find(name)) co_return spec->id;
  co_await refresh_catalog();
  if (const ModelSpec* spec = catalog.find(name)) co_return spec->id;
  co_return fail(ErrorCode::kModelNotFound,
                 fmt::format("There is no model \"{}\". GET /v1/models (or `minerva models`) lists what there is.",
                             name.substr(0, 200)),
                 "model");
}

}  // namespace minerva
