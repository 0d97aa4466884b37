// The file of a segment of a conversation, as an engine may find it on disk: the preamble and the header.
#include "fuzz/input.h"
#include "segment_file.h"
#include "segment_tree.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A copy, so that the sanitizer sees a read past the end. A fuzzer does not guess hashes: what it says is also tried
  // as a header with the right ones.
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const std::string& bytes : {text, engine::sealed(text)}) {
    const auto header = engine::decode(bytes);
    if (!header) continue;
    check(engine::encode(*header) == bytes, "a header that is not what was written");
    check(header->tokens.size() == header->rows(), "rows without tokens");
    check(header->hashes.size() == (header->payload_bytes() + engine::kChunk - 1) / engine::kChunk,
          "bytes without a hash");
    engine::SegmentTree tree;
    tree.add("0", engine::summary(*header, 1));
    const auto match = tree.find("0", header->tokens);
    check(match.path.size() <= 1, "a way through one segment");
  }
  return 0;
}
