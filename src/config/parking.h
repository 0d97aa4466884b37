// What the config says of parking, as it is on this machine: how much, and where.
//
// Reads the file system; blocks for microseconds. Threading: any.
// It parks nothing, and does not know what is parked.
#pragma once

#include <string>

#include "config/config.h"
#include "minerva/base/bytes.h"
#include "minerva/base/result.h"
#include "minerva/context/types.h"

namespace minerva {

// `memory_budget`: what a share of it is of. A share of the disk is of what is free there now, and what `images` take.
ParkingLimits parking_limits(const Config& config, Bytes memory_budget, Bytes images);

// Makes the folder for the images if it is not there (mode 0700), and tries it.
// Errors: kIo when nothing can be parked there, with the reason and what to do about it.
Result<void> make_image_folder(const std::string& folder);
// The same for a folder that is there. Leaves nothing in it.
Result<void> try_image_folder(const std::string& folder);

}  // namespace minerva
