#include "io/boot_id.h"

#include <fstream>

namespace minerva::io {

std::string boot_id() {
  std::string id;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), id);
  return id;
}

}  // namespace minerva::io
