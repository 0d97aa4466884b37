// fake_engine: speaks the engine's protocol without a model, so that a campaign measures only the daemon.
//
// The "model" is a text file: SERVICE_MS FOOTPRINT_MIB. Each request takes one of `-np` slots for SERVICE_MS, and gets
// a small JSON object as its answer. A request with "stream": true in its body gets one event, and then nothing until
// its client goes away. `inspect FILE` prints the footprint. It ends with its stdin, as the engine does.
//
// As a variant for devices it has one, "Fake0" (device.h): FILE may have a third number, which is DEVICE_MIB.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "io/http.h"
#include "io/loop.h"
#include "io/stream.h"

namespace {

using namespace minerva;  // NOLINT(google-build-using-namespace)

struct Model {
  unsigned service_ms = 0;
  unsigned footprint_mib = 0;
};

Model read_model(const std::string& file) {
  Model model;
  std::ifstream(file) >> model.service_ms >> model.footprint_mib;
  return model;
}

int inspect(const std::string& file) {
  const Model model = read_model(file);
  fmt::print(
      "{{\"architecture\":\"fake\",\"quantization\":\"F32\",\"parameters\":1,\"trained_context\":4096,"
      "\"can_generate\":true,\"has_chat_template\":true,\"memory\":{{\"total_bytes\":{}}}}}\n",
      std::uint64_t{model.footprint_mib} << 20);
  return 0;
}

class FakeEngine {
 public:
  FakeEngine(io::Loop& loop, Model model, unsigned slots) : loop_(loop), model_(model), free_slots_(slots) {}

  io::Task<void> serve(std::unique_ptr<io::Stream> stream) {
    io::HttpServerConnection connection(std::move(stream), {});
    while (true) {
      const auto request = co_await connection.read_request();
      if (!request || !*request) co_return;
      std::string body;
      while (true) {
        const auto piece = co_await connection.read_body();
        if (!piece) co_return;
        if (piece->empty()) break;
        body += *piece;
      }
      if (body.find("\"stream\": true") != std::string::npos) co_return co_await idle_stream(connection);
      co_await take_slot();
      co_await io::sleep_until(loop_, Clock::now() + std::chrono::milliseconds(model_.service_ms));
      give_slot();
      io::ResponseHead head;
      head.headers.add("Content-Type", "application/json");
      if (!co_await connection.respond(std::move(head), "{\"object\":\"fake\"}")) co_return;
    }
  }

 private:
  io::Task<void> idle_stream(io::HttpServerConnection& connection) {
    io::ResponseHead head;
    head.headers.add("Content-Type", "text/event-stream");
    co_await connection.start_with(std::move(head), "data: {\"object\":\"fake\"}\n\n");
    io::Signal gone(loop_);
    connection.watch_peer([&] { gone.notify(); });
    co_await gone.wait();
    connection.unwatch_peer();
  }

  io::Task<void> take_slot() {
    if (free_slots_ > 0) {
      --free_slots_;
      co_return;
    }
    io::Signal turn(loop_);
    waiting_.push_back(&turn);
    co_await turn.wait();
  }

  void give_slot() {
    if (waiting_.empty()) {
      ++free_slots_;
      return;
    }
    waiting_.front()->notify();
    waiting_.pop_front();
  }

  io::Loop& loop_;
  Model model_;
  unsigned free_slots_;
  std::deque<io::Signal*> waiting_;  // the signals of coroutines, which live until they are notified
};

void end_with_parent() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::thread([] {
    char buffer[256];
    while (::read(STDIN_FILENO, buffer, sizeof buffer) > 0) {
    }
    std::_Exit(0);
  }).detach();
}

std::string_view option(int argc, char** argv, std::string_view name) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (argv[i] == name) return argv[i + 1];
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2 && std::string_view(argv[1]) == "inspect") return inspect(argv[2]);
  end_with_parent();
  const std::string slots(option(argc, argv, "-np"));
  io::Address address;
  address.unix_path = option(argc, argv, "--host");
  if (address.unix_path.empty() || slots.empty()) {
    fmt::print(stderr, "usage: fake_engine inspect FILE | fake_engine --host SOCKET -m FILE -np SLOTS\n");
    return 2;
  }
  io::Loop loop;
  FakeEngine engine(loop, read_model(std::string(option(argc, argv, "-m"))),
                    static_cast<unsigned>(std::strtoul(slots.c_str(), nullptr, 10)));
  const auto listener = io::Listener::open(
      loop, address, [&](std::unique_ptr<io::Stream> stream) { loop.spawn(engine.serve(std::move(stream))); });
  if (!listener) {
    fmt::print(stderr, "fake_engine: {}\n", listener.error().message);
    return 1;
  }
  fmt::print("cmd_child_to_router:state:{{\"state\":\"ready\",\"payload\":{{}}}}\n");
  std::fflush(stdout);
  loop.run();
  return 0;
}
