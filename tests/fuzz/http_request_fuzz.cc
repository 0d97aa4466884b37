// What a client sends over one connection: heads, bodies in every framing, several requests one after another.
#include "fuzz/input.h"
#include "fuzz/memory_stream.h"
#include "io/http.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::size_t kMaxRequests = 100;

io::Task<void> serve(fuzz::Input input) {
  io::HttpLimits limits;
  limits.max_head = 4096;
  limits.max_headers = 20;
  io::HttpServerConnection connection(std::make_unique<fuzz::MemoryStream>(input.text, input.steer), limits);
  std::size_t body_bytes = 0;
  for (std::size_t i = 0; i < kMaxRequests; ++i) {
    auto request = co_await connection.read_request();
    if (!request || !*request) co_return;
    const io::RequestHead& head = **request;
    check(!head.method.empty() && !head.target.empty(), "a request without a method or a target");
    check(!head.chunked || !head.content_length, "a body framed twice");
    std::size_t count = 0;
    for (const io::HeaderField& field : head.headers) {
      ++count;
      check(field.name.find_first_of("\r\n: ") == std::string::npos, "a header's name holds what ends one");
      check(field.value.find_first_of("\r\n") == std::string::npos, "a header's value holds a line end");
    }
    check(count <= limits.max_headers, "more header fields than allowed");
    check(head.headers.find("content-length") == nullptr && head.headers.find("transfer-encoding") == nullptr,
          "framing is passed on");
    std::size_t mine = 0;
    while (true) {
      const auto piece = co_await connection.read_body();
      if (!piece) co_return;
      if (piece->empty()) break;
      mine += piece->size();
    }
    body_bytes += mine;
    check(!head.content_length || *head.content_length == mine, "a body of another length than announced");
    check(body_bytes <= input.text.size(), "a body out of nothing");
    check(connection.body_done(), "a body that ended is not done");
    co_await connection.respond({}, "ok");
    if (!connection.reusable()) co_return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static io::Loop loop;
  loop.spawn(serve(fuzz::Input(data, size)));
  return 0;
}
