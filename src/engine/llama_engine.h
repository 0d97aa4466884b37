// The driver of minerva-engine: llama.cpp's server, one process per model, each on its own Unix socket.
//
// Threading and ownership: as engine.h says. When the driver is destroyed, it ends the inspections under way and calls
// nobody back; engines that it started live on.
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
  // the folder for sockets, made with mode 0700. Short, since a socket's path has at most 107 bytes
  std::string runtime_dir;
  EngineDefaults defaults;
  // "NAME=value", beside the few variables that every engine inherits (the spin policy of its threads).
  std::vector<std::string> environment = {};
  // "auto", "required" or "off": how engines are isolated (docs/adr/0006-engine-sandbox.md).
  std::string sandbox = "auto";
  // The folder for the images of parked models (config/parking.h): absolute. Empty: no model is parked.
  std::string image_folder = {};
  // minerva-engine's variant for devices (engine/devices.h), for models that are placed there; empty: there is none.
  std::string device_engine_path = {};
  std::vector<std::string> devices = {};  // that it sees
  unsigned max_inspections = 2;           // at once; others wait
  Duration inspect_timeout = std::chrono::seconds(60);
  Duration device_look_timeout = std::chrono::seconds(3);
};

std::unique_ptr<EngineDriver> make_llama_driver(io::Loop& loop, LlamaDriverOptions options);

}  // namespace minerva
