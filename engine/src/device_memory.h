// The part of parking that is about memory of devices (GPUs). Parking (parking.h) does the rest, and knows no device.
//
// Purpose: parking is tested without llama.cpp, and most engines have no device.
// Threading: the agent's thread, while the main loop is held.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "image.h"
#include "mapped_files.h"
#include "protocol/agent.h"

namespace minerva::engine {

class DeviceMemory {
  public:
    virtual ~DeviceMemory() = default;
    // Why nothing can be parked; empty: it can. Asks no device.
    virtual std::string why_not() const = 0;

    // Brings the image up to date with what the devices hold and no file has. If the image would come to more than
    // `max_image_bytes`, it writes nothing more, and report.image_wanted_bytes says what it would take. If a write
    // fails, report.refused says why. Either way the devices are as before.
    virtual void store(Image & image, std::uint64_t max_image_bytes, protocol::ParkReport & report) = 0;
    // Frees the memory. Requires: store() was not refused.
    virtual void release() = 0;
    // Bytes that this process has of each device now, by its name, as far as is known.
    virtual std::map<std::string, std::uint64_t> taken() const = 0;
    // While it is freed: the files that restore() reads, mapped. In the order in which they are read.
    virtual const std::vector<MappedPart> & files() const = 0;
    // Makes and fills the memory again, and unmaps the files. False: a device has no room, as `refused` says; nothing
    // is taken then, and a later try may succeed. If a file has changed, it ends the process with a line in the log:
    // then the model is loaded anew.
    virtual bool restore(const Image & image, std::string & refused) = 0;
};

}  // namespace minerva::engine
