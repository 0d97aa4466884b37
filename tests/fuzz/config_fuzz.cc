// A config file. A config that is accepted must mean the same after it was printed (`serve --check`) and read again.
#include "config/config.h"
#include "fuzz/input.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const fuzz::MemoryFile file(text);
  const auto config = load_config(file.path(), {}, {});
  if (!config) {
    check(!config.error().message.empty(), "a refusal without words");
    return 0;
  }
  const std::string printed = describe_config(*config);
  const fuzz::MemoryFile copy(printed);
  const auto again = load_config(copy.path(), {}, {});
  check(again.has_value(), "what --check prints is refused");
  check(describe_config(*again) == printed, "what --check prints means something else");
  return 0;
}
