// A file of the state folder: damage must be noticed, and a file that is accepted must be one that would be written.
#include "fuzz/input.h"
#include "io/state_file.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr io::StateFile::Format kFormat{"things", 3, "nothing is lost"};
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<std::string> content = io::StateFile::unwrap(kFormat, text);
  if (content) check(io::StateFile::wrap(kFormat, *content) == text, "a file is taken that would be written otherwise");
  check(io::StateFile::unwrap(kFormat, io::StateFile::wrap(kFormat, text)) == std::string(text), "content is lost");
  return 0;
}
