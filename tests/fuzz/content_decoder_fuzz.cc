// Encoded bodies. The split into pieces must change nothing, no step may be larger than the limit, and the output must
// never be more than the ratio allows.
#include <optional>
#include <string>

#include "api/content_decoder.h"
#include "fuzz/input.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

namespace {

struct Outcome {
  std::string text;  // up to the place where the body is broken
  std::optional<ErrorCode> error;
};

Outcome decode(std::string_view name, std::string_view body, std::size_t piece) {
  Outcome outcome;
  const auto decoder = *api::make_decoder(name);
  fuzz::in_pieces(body, piece, [&](std::string_view part) {
    if (outcome.error) return;
    decoder->feed(part);
    while (true) {
      const Result<std::string_view> step = decoder->next();
      if (!step) outcome.error = step.error().code;
      if (!step || step->empty()) return;
      check(step->size() <= api::ContentDecoder::kMaxStep, "a step is too large");
      outcome.text += *step;
      const std::size_t most = api::ContentDecoder::kFreeBytes + api::ContentDecoder::kMaxStep +
                               (body.size() + 1) * api::ContentDecoder::kMaxRatio;
      check(outcome.text.size() <= most, "more comes out than the ratio allows");
    }
  });
  if (outcome.error) return outcome;
  if (const auto end = decoder->finish(); !end) outcome.error = end.error().code;
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  constexpr std::string_view kNames[] = {"gzip", "deflate", "zstd"};
  const std::string_view name = kNames[(input.steer & 3) % 3];
  const Outcome whole = decode(name, input.text, 0);
  const Outcome pieces = decode(name, input.text, input.steer >> 2);
  // The place where a body is refused may differ, since the ratio is checked with each piece.
  check(whole.error.has_value() == pieces.error.has_value() || whole.error == ErrorCode::kTooLarge ||
            pieces.error == ErrorCode::kTooLarge,
        "the pieces of a body change whether it is broken");
  if (!whole.error && !pieces.error) check(whole.text == pieces.text, "the pieces of a body change what it says");
  return 0;
}
