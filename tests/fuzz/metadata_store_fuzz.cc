// The file of inspections, whose checksum may match by chance: what makes no sense must be ignored, and must never stop
// the daemon.
#include "base/log.h"
#include "catalog/metadata_store.h"
#include "fuzz/input.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  log::configure(log::Level::kError, log::Format::kText);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const fuzz::MemoryFile file(io::StateFile::wrap(MetadataStore::kFormat, text));
  const MetadataStore store(file.path());
  store.find("k");
  return 0;
}
