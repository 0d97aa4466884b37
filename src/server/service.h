// Service: what the handlers share. Made by serve(), one per process.
#pragma once

#include <map>
#include <string>

#include "catalog/catalog.h"
#include "config/config.h"
#include "host/model_host.h"
#include "io/loop.h"
#include "server/engine_pool.h"

namespace minerva {

struct Service {
  Service(io::Loop& event_loop, const Config& settings, Catalog& models, CatalogOptions scan_options,
          ModelHost& model_host)
      : loop(event_loop),
        config(settings),
        catalog(models),
        catalog_options(std::move(scan_options)),
        host(model_host),
        pool(event_loop) {}

  io::Loop& loop;
  const Config& config;
  Catalog& catalog;
  CatalogOptions catalog_options;
  ModelHost& host;
  EnginePool pool;
  bool draining = false;
  TimePoint last_scan{};
  std::uint64_t queued_bytes = 0;        // of request bodies held in memory
  std::map<int, std::uint64_t> answers;  // by status
  std::size_t connections = 0;
  TimePoint started = Clock::now();

  // Reads the models folders again, unless that was done in the last second.
  io::Task<void> refresh_catalog();
  // By id or alias, reading the folders again if it is unknown. Errors: kModelNotFound, with what to do.
  io::Task<Result<ModelId>> resolve(std::string name);
};

}  // namespace minerva
