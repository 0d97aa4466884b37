#include "engine/llama_agent.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "minerva/base/check.h"

namespace minerva {

LlamaAgent::LlamaAgent(io::Loop& loop, std::function<void(std::string_view)> send, std::shared_ptr<EngineLog> log,
                       Bytes conversations)
    : loop_(loop), send_(std::move(send)), log_(std::move(log)), conversations_(conversations) {}

void LlamaAgent::take_line(std::string_view line) {
  auto parsed = parse_agent_answer(line);
  const bool fits = parsed && std::visit([this](auto& what) { return answer(std::move(what)); }, *parsed);
  if (!fits) log_->append(fmt::format("minerva: the engine's agent said what nobody asked for: {}", line));
}

void LlamaAgent::park(Bytes max_image, std::function<void(tl::expected<Parked, ParkRefusal>)> done) {
  check(why_not_.empty(), "only an engine that can be parked is");
  ask(fmt::format("park {}\n", max_image.count()), ParkCall{max_image, std::move(done)});
}

void LlamaAgent::drop_pages(Bytes most, std::function<void(Bytes dropped)> done) {
  ask(fmt::format("drop {}\n", most.count()), DropCall{std::move(done)});
}

void LlamaAgent::wake(std::function<void(Woken)> done) { ask("wake\n", WakeCall{std::move(done)}); }

void LlamaAgent::measure(std::function<void(std::optional<Bytes>)> done) {
  if (speaks_) return ask(fmt::format("measure {}\n", conversations_.count()), MeasureCall{std::move(done)});
  // Nobody would answer.
  loop_.post([alive = std::weak_ptr(alive_), done = std::move(done)] {
    if (!alive.expired()) done(std::nullopt);
  });
}

void LlamaAgent::ask(std::string_view command, Call call) {
  calls_.push_back(std::move(call));
  send_(command);
}

std::optional<LlamaAgent::Call> LlamaAgent::take_call(bool measurement) {
  const auto fits = [measurement](const Call& call) {
    return std::holds_alternative<MeasureCall>(call) == measurement;
  };
  const auto it = std::find_if(calls_.begin(), calls_.end(), fits);
  if (it == calls_.end()) return std::nullopt;
  Call call = std::move(*it);
  std::vector<Call> passed_over(std::make_move_iterator(calls_.begin()), std::make_move_iterator(it));
  calls_.erase(calls_.begin(), std::next(it));
  for (Call& other : passed_over) {
    if (const auto* const measure = std::get_if<MeasureCall>(&other)) measure->done(std::nullopt);
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
  std::optional<Call> call = take_call(false);
  if (!call) return false;
  if (const auto* const park = std::get_if<ParkCall>(&*call)) {
    if (parking.parked) {
      park->done(Parked{parking.residue, parking.image, parking.written, parking.cached});
    } else if (parking.image_wanted > Bytes(0)) {
      const Error reason{ErrorCode::kNoCapacity,
                         fmt::format("its image would take {} of disk, and there are {} for it",
                                     format_bytes(parking.image_wanted), format_bytes(park->max_image))};
      park->done(tl::unexpected(ParkRefusal{reason, parking.image_wanted}));
    } else if (!parking.refused.empty()) {
      const ErrorCode code = parking.busy ? ErrorCode::kConflict : ErrorCode::kIo;
      park->done(tl::unexpected(ParkRefusal{{code, std::move(parking.refused)}, Bytes(0)}));
    } else {
      return false;
    }
    return true;
  }
  if (const auto* const wake = std::get_if<WakeCall>(&*call)) {
    if (parking.parked) return false;
    wake->done({parking.cached, parking.missing});
  }
  if (const auto* const drop = std::get_if<DropCall>(&*call)) drop->done(parking.dropped);
  return true;
}

bool LlamaAgent::answer(AgentMeasurement measurement) {
  const std::optional<Call> call = take_call(true);
  if (!call) return false;
  std::get<MeasureCall>(*call).done(measurement.footprint);
  return true;
}

}  // namespace minerva
