// The targets of requests: paths, parameters and model ids.
#include "api/query.h"
#include "fuzz/input.h"
#include "io/stream.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  const api::Target target = api::split_target(text);
  constexpr std::string_view kActions[] = {"load", "preload", "unload", "park", "pin", "unpin", "logs"};
  if (const auto path = api::parse_model_path(target.path, kActions); path) {
    const ModelId& id = path->id;
    check(id.size() <= 800 && ("/" + id + "/").find("/../") == std::string::npos, "a model id could leave its folder");
    const auto again = api::parse_model_path(api::percent_encode(id), kActions);
    check(again && again->id == id && again->action.empty(), "an escaped id means something else");
  }
  if (const auto query = api::Query::parse(target.query); query) {
    query->find("model");
    if (const auto number = query->number("tail", 1, 100); number) check(*number <= 100, "a number beyond its limit");
  }
  if (const auto decoded = api::percent_decode(text); decoded) {
    check(decoded->size() <= text.size() && (decoded->find('\0') == std::string::npos || text.find('\0') != text.npos),
          "decoding makes more of it");
  }
  check(api::percent_decode(api::percent_encode(text)) == std::string(text) || text.find('\0') != text.npos,
        "an escaped text does not come back");
  if (const auto address = io::parse_address(text); address) {
    const auto again = io::parse_address(address->text());
    check(again && again->text() == address->text(), "an address does not survive being printed");
  }
  return 0;
}
