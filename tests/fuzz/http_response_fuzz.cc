// The answers of an engine: it reads untrusted files and prompts, so its answers are untrusted too.
#include "fuzz/input.h"
#include "fuzz/memory_stream.h"
#include "io/http.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int kMaxAnswers = 100;

io::Task<void> ask(fuzz::Input input) {
  io::HttpClientConnection connection(std::make_unique<fuzz::MemoryStream>(input.text, input.steer >> 1));
  io::RequestHead head;
  head.method = (input.steer & 1) != 0 ? "HEAD" : "POST";
  head.target = "/";
  for (int i = 0; i < kMaxAnswers; ++i) {
    co_await connection.send_request(head, "");
    const auto answer = co_await connection.read_response();
    if (!answer) co_return;
    check(answer->status >= 200 || answer->status < 100, "an interim answer is handed on");
    std::size_t bytes = 0;
    while (true) {
      const auto piece = co_await connection.read_body();
      if (!piece) co_return;
      if (piece->empty()) break;
      bytes += piece->size();
    }
    check(bytes <= input.text.size(), "a body out of nothing");
    if (!connection.reusable()) co_return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static io::Loop loop;
  loop.spawn(ask(fuzz::Input(data, size)));
  return 0;
}
