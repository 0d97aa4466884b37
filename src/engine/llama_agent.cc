#include "engine/llama_agent.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>
#include <vector>

#include "minerva/base/check.h"

namespace minerva {
namespace {

constexpr std::size_t kMostEarlyNotes = 10'000;

}  // namespace

LlamaAgent::LlamaAgent(io::Loop& loop, Send send, std::shared_ptr<EngineLog> log, Bytes conversations)
    : loop_(loop), send_(std::move(send)), log_(std::move(log)), conversations_(conversations) {}

void LlamaAgent::take_line(std::string_view line) {
  auto parsed = parse_agent_answer(line);
  const bool fits = parsed && std::visit([this](auto& what) { return answer(std::move(what)); }, *parsed);
  if (!fits) log_->append(fmt::format("minerva: the engine's agent said what nobody asked for: {}", line));
}

void LlamaAgent::park(Bytes max_image, std::function<void(tl::expected<protocol::ParkReport, ParkRefusal>)> done) {
  check(why_not_.empty(), "only an engine that can be parked is");
  ask(protocol::kPark, max_image.count(), ParkCall{max_image, std::move(done)});
}

void LlamaAgent::drop_pages(Bytes most, std::function<void(Bytes dropped)> done) {
  ask(protocol::kDrop, most.count(), DropCall{std::move(done)});
}

void LlamaAgent::wake(std::function<void(Result<protocol::ParkReport>)> done) {
  ask(protocol::kWake, std::nullopt, WakeCall{std::move(done)});
}

void LlamaAgent::measure(std::function<void(std::optional<Measurement>)> done) {
  if (speaks_) return ask(protocol::kMeasure, conversations_.count(), MeasureCall{std::move(done)});
  // The engine does not speak the protocol: nobody would answer.
  loop_.post([alive = std::weak_ptr(alive_), done = std::move(done)] {
    if (!alive.expired()) done(std::nullopt);
  });
}

void LlamaAgent::look_at_devices(std::function<void(const DeviceMemories&)> done) {
  if (!speaks_) return done({});
  ask(protocol::kRoom, std::nullopt, RoomCall{std::move(done)});
}

void LlamaAgent::save(Duration rest, io::Descriptor file, std::function<void(SaveAnswer)> done) {
  if (speaks_) {
    const auto rest_ms = std::chrono::duration_cast<std::chrono::milliseconds>(rest).count();
    return ask(protocol::kSave, static_cast<std::uint64_t>(rest_ms), SaveCall{std::move(done)}, std::move(file));
  }
  loop_.post([alive = std::weak_ptr(alive_), done = std::move(done)] {
    SaveAnswer answer;
    answer.why_not = "the engine does not speak the protocol";
    if (!alive.expired()) done(std::move(answer));
  });
}

void LlamaAgent::forget(const std::string& tenant) {
  if (speaks_) send_(fmt::format("{} {}\n", protocol::kForget, tenant), io::Descriptor());
}

void LlamaAgent::ask(std::string_view word, std::optional<std::uint64_t> number, Call call, io::Descriptor file) {
  calls_.emplace(++last_id_, std::move(call));
  send_(number ? fmt::format("{} {} {}\n", word, last_id_, *number) : fmt::format("{} {}\n", word, last_id_),
        std::move(file));
}

template <typename... Kinds>
std::optional<LlamaAgent::Call> LlamaAgent::take_call(std::uint64_t id) {
  const auto it = calls_.find(id);
  if (it == calls_.end() || !(std::holds_alternative<Kinds>(it->second) || ...)) return std::nullopt;
  Call call = std::move(it->second);
  std::vector<Call> lost;
  for (auto before = calls_.begin(); before != it; ++before) lost.push_back(std::move(before->second));
  calls_.erase(calls_.begin(), std::next(it));
  for (Call& other : lost) {
    if (const auto* const measure = std::get_if<MeasureCall>(&other)) measure->done(std::nullopt);
    if (const auto* const look = std::get_if<RoomCall>(&other)) look->done({});
    if (const auto* const save = std::get_if<SaveCall>(&other)) save->done({});
  }
  return call;
}

bool LlamaAgent::answer(AgentHello hello) {
  if (std::exchange(said_hello_, true)) return false;
  speaks_ = hello.is_ours;
  why_not_ = std::move(hello.why_not);
  return true;
}

bool LlamaAgent::answer(AgentParking parking) {
  std::optional<Call> call = take_call<ParkCall, DropCall, WakeCall>(parking.id);
  if (!call) return false;
  protocol::ParkReport& report = parking.report;
  if (const auto* const park = std::get_if<ParkCall>(&*call)) {
    const Bytes wanted(report.image_wanted_bytes);
    if (report.parked) {
      if (!report.refused.empty()) return false;
      park->done(std::move(report));
    } else if (wanted > Bytes(0)) {
      const Error reason{ErrorCode::kNoCapacity, fmt::format("its image would take {} of disk, and there are {} for it",
                                                             format_bytes(wanted), format_bytes(park->max_image))};
      park->done(tl::unexpected(ParkRefusal{reason, wanted}));
    } else if (!report.refused.empty()) {
      const ErrorCode code = report.busy ? ErrorCode::kConflict : ErrorCode::kIo;
      park->done(tl::unexpected(ParkRefusal{{code, std::move(report.refused)}, Bytes(0)}));
    } else {
      return false;
    }
    return true;
  }
  if (const auto* const drop = std::get_if<DropCall>(&*call)) {
    drop->done(Bytes(report.dropped_bytes));
  } else if (const auto* const wake = std::get_if<WakeCall>(&*call)) {
    const bool refused = !report.refused.empty();
    if (report.parked != refused) return false;
    if (refused) {
      wake->done(fail(ErrorCode::kNoCapacity, std::move(report.refused)));
    } else {
      wake->done(std::move(report));
    }
  }
  return true;
}

bool LlamaAgent::answer(AgentMeasurement measurement) {
  const std::optional<Call> call = take_call<MeasureCall>(measurement.id);
  if (!call) return false;
  std::get<MeasureCall>(*call).done(std::move(measurement.measured));
  return true;
}

bool LlamaAgent::answer(AgentRoom room) {
  const std::optional<Call> call = take_call<RoomCall>(room.id);
  if (!call) return false;
  std::get<RoomCall>(*call).done(room.devices);
  return true;
}

bool LlamaAgent::answer(AgentSaving saving) {
  const std::optional<Call> call = take_call<SaveCall>(saving.id);
  if (!call) return false;
  std::get<SaveCall>(*call).done(std::move(saving.answer));
  return true;
}

void LlamaAgent::on_conversation(std::function<void(const ConversationNote&)> fn) {
  noted_ = std::move(fn);
  for (const ConversationNote& note : std::exchange(early_notes_, {})) noted_(note);
}

bool LlamaAgent::answer(ConversationNote note) {
  if (noted_) {
    noted_(note);
  } else if (early_notes_.size() < kMostEarlyNotes) {
    early_notes_.push_back(std::move(note));
  }
  return true;
}

}  // namespace minerva
