// The driver of minerva-engine: llama.cpp's server, one process per model, on a Unix socket of its own.
//
// Threading and ownership: as engine.h says. Destroying the driver ends the inspections under way without
// calling back; engines it started live on.
// It does not choose what runs, and does not speak HTTP.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/engine_arguments.h"
#include "io/loop.h"

namespace minerva {

struct LlamaDriverOptions {
  std::string engine_path;  // minerva-engine
  std::string runtime_dir;  // sockets go here; made with mode 0700. Short: a socket's path has 107 bytes
  EngineDefaults defaults;
  // "NAME=value", on top of the few variables every engine inherits (spin policy of its threads).
  std::vector<std::string> environment = {};
  // "auto", "required" or "off": what engines are kept from (docs/adr/0006-engine-sandbox.md).
  std::string sandbox = "auto";
  // Where the images of parked models go (config/parking.h): absolute. Empty: none is parked.
  std::string image_folder = {};
  unsigned max_inspections = 2;  // at once; others queue
  Duration inspect_timeout = std::chrono::seconds(60);
};

std::unique_ptr<EngineDriver> make_llama_driver(io::Loop& loop, LlamaDriverOptions options);

}  // namespace minerva
