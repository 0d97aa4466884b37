// The config's settings for parking, applied to this machine: how much memory and disk parked models may have, and
// where.
//
// Reads the file system; blocks for microseconds. Threading: any thread.
// It parks nothing, and does not know what is parked.
#pragma once

#include <string>

#include "config/config.h"
#include "minerva/base/bytes.h"
#include "minerva/base/result.h"
#include "minerva/context/types.h"

namespace minerva {

// `memory_budget`: the whole of which park.memory is a share. A share of the disk is one of what is free there now plus
// what `images` take.
ParkingLimits parking_limits(const Config& config, Bytes memory_budget, Bytes images);

// Makes the folder for the images if it does not exist (mode 0700), and tries it.
// Errors: kIo when nothing can be parked there, with the reason and what to do.
Result<void> make_image_folder(const std::string& folder);
// Tries a folder that exists. Leaves nothing in it.
Result<void> try_image_folder(const std::string& folder);

}  // namespace minerva
