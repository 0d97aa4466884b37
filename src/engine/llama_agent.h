// The daemon's side of the talk with minerva-engine's parking agent: says what is wanted, and tells whose answer came.
//
// The engine answers in the order in which it was asked. An answer that makes no sense is noted in the engine's log and
// passed over. A measurement that it should have answered is called back, with nothing, once a later one is answered:
// nobody else would miss it. A park, wake or drop is not, as if the engine were silent: the watchdog ends that.
// Threading and ownership: as engine.h says; calls are forgotten with the object.
// It does not choose what is parked, nor when.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "engine/agent_answer.h"
#include "engine/engine.h"
#include "io/loop.h"

namespace minerva {

class LlamaAgent final : public EngineAgent {
 public:
  // `send` takes whole lines for the engine's stdin. `conversations`: what those outside of slots may come to.
  LlamaAgent(io::Loop& loop, std::function<void(std::string_view text)> send, std::shared_ptr<EngineLog> log,
             Bytes conversations);

  // What the engine wrote on its stdin.
  void take_line(std::string_view line);

  const std::string& why_not_parkable() const override { return why_not_; }
  void park(Bytes max_image, std::function<void(tl::expected<Parked, ParkRefusal>)> done) override;
  void drop_pages(Bytes most, std::function<void(Bytes dropped)> done) override;
  void wake(std::function<void(Woken)> done) override;
  void measure(std::function<void(std::optional<Bytes>)> done) override;

 private:
  struct ParkCall {
    Bytes max_image;
    std::function<void(tl::expected<Parked, ParkRefusal>)> done;
  };
  struct DropCall {
    std::function<void(Bytes dropped)> done;
  };
  struct WakeCall {
    std::function<void(Woken)> done;
  };
  struct MeasureCall {
    std::function<void(std::optional<Bytes>)> done;
  };
  using Call = std::variant<ParkCall, DropCall, WakeCall, MeasureCall>;

  void ask(std::string_view command, Call call);
  // Takes the call that an answer is to; nothing: there is none. Those before it were not answered, and never will be.
  std::optional<Call> take_call(bool measurement);
  // false: it does not fit what was asked.
  bool answer(AgentHello hello);
  bool answer(AgentParking parking);
  bool answer(AgentMeasurement measurement);

  io::Loop& loop_;
  std::function<void(std::string_view)> send_;
  std::shared_ptr<EngineLog> log_;  // shared: it outlives the engine, see engine.h
  Bytes conversations_;
  bool said_hello_ = false;
  bool speaks_ = false;  // the protocol
  std::string why_not_ = "the engine has not said that it can be parked";
  std::deque<Call> calls_;  // not answered yet, in their order
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace minerva
