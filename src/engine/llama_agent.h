// The daemon's side of the talk with minerva-engine's parking agent: sends requests, and matches the answers to them.
//
// Each request has an id, which its answer repeats (protocol/agent.h). An answer that makes no sense, or that nobody
// waits for, goes into the engine's log and is ignored. The engine answers in the order of the requests. So if an
// answer comes, all earlier requests without an answer are lost. A lost measurement or save is called back with
// nothing, since nobody else would notice. A lost park, wake or drop is not called back, as if the engine were silent:
// the watchdog ends that. Threading and ownership: as engine.h says; calls are forgotten when the object is destroyed.
// It does not choose what is parked, nor when.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/agent_answer.h"
#include "engine/engine.h"
#include "io/loop.h"

namespace minerva {

class LlamaAgent final : public EngineAgent {
 public:
  // Takes whole lines for the engine's stdin, and a file that goes with a line.
  using Send = std::function<void(std::string_view text, io::Descriptor file)>;
  // `conversations`: the most that those outside of slots may take.
  LlamaAgent(io::Loop& loop, Send send, std::shared_ptr<EngineLog> log, Bytes conversations);

  // Takes a line that the engine wrote on its stdin.
  void take_line(std::string_view line);

  const std::string& why_not_parkable() const override { return why_not_; }
  void park(Bytes max_image, std::function<void(tl::expected<protocol::ParkReport, ParkRefusal>)> done) override;
  void drop_pages(Bytes most, std::function<void(Bytes dropped)> done) override;
  void wake(std::function<void(Result<protocol::ParkReport>)> done) override;
  void measure(std::function<void(std::optional<Measurement>)> done) override;
  void save(Duration rest, io::Descriptor file, std::function<void(SaveAnswer)> done) override;
  void forget(const std::string& tenant) override;
  void on_conversation(std::function<void(const ConversationNote&)> fn) override;

 private:
  struct ParkCall {
    Bytes max_image;
    std::function<void(tl::expected<protocol::ParkReport, ParkRefusal>)> done;
  };
  struct DropCall {
    std::function<void(Bytes dropped)> done;
  };
  struct WakeCall {
    std::function<void(Result<protocol::ParkReport>)> done;
  };
  struct MeasureCall {
    std::function<void(std::optional<Measurement>)> done;
  };
  struct SaveCall {
    std::function<void(SaveAnswer)> done;
  };
  using Call = std::variant<ParkCall, DropCall, WakeCall, MeasureCall, SaveCall>;

  // `number`: follows the id. `file`: goes with the line.
  void ask(std::string_view word, std::optional<std::uint64_t> number, Call call,
           io::Descriptor file = io::Descriptor());
  // Removes and returns the call that the answer belongs to, if the call is one of these kinds; nothing: there is none.
  // Earlier calls were not answered, and never will be.
  template <typename... Kinds>
  std::optional<Call> take_call(std::uint64_t id);
  // false: the answer does not fit the request.
  bool answer(AgentHello hello);
  bool answer(AgentParking parking);
  bool answer(AgentMeasurement measurement);
  bool answer(AgentSaving saving);
  bool answer(ConversationNote note);

  io::Loop& loop_;
  Send send_;
  std::shared_ptr<EngineLog> log_;  // shared, since it outlives the engine; see engine.h
  Bytes conversations_;
  bool said_hello_ = false;
  bool speaks_ = false;  // the engine speaks the protocol
  std::string why_not_ = "the engine has not said that it can be parked";
  std::function<void(const ConversationNote&)> noted_;
  std::vector<ConversationNote> early_notes_;  // an engine sees files that it cannot use while it loads
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Call> calls_;  // calls without an answer yet, by id
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace minerva
