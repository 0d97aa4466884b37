#include "io/http_probe.h"

#include <utility>

#include "io/http.h"

namespace minerva::io {
namespace {

Task<Result<int>> ask(Loop& loop, Address address, std::string target, TimePoint deadline) {
  auto stream = co_await connect(loop, std::move(address), deadline);
  if (!stream) co_return fail(stream.error());
  (*stream)->set_read_deadline(deadline);
  (*stream)->set_write_deadline(deadline);
  HttpClientConnection connection(std::move(*stream));
  RequestHead head;
  head.method = "GET";
  head.target = std::move(target);
  head.headers.add("Host", "localhost");
  head.keep_alive = false;
  co_await connection.send_request(head, "");
  const Result<ResponseHead> response = co_await connection.read_response();
  if (!response) co_return fail(response.error());
  co_return response->status;
}

Task<void> ask_and_tell(Loop& loop, Address address, std::string target, TimePoint deadline,
                        std::function<void(Result<int>)> done) {
  Result<int> status = co_await ask(loop, std::move(address), std::move(target), deadline);
  done(std::move(status));
}

}  // namespace

void probe(Loop& loop, Address address, std::string target, TimePoint deadline, std::function<void(Result<int>)> done) {
  loop.post([&loop, address = std::move(address), target = std::move(target), deadline, done = std::move(done)] {
    loop.spawn(ask_and_tell(loop, address, target, deadline, done));
  });
}

}  // namespace minerva::io
