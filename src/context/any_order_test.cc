// Whatever a confused caller sends, in whatever order, the core stays consistent: it ignores what does not fit.
#include <random>

#include "context/core_fixture.h"

namespace minerva {
namespace {

class AnyOrder : public CoreTest {
 protected:
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  ModelId any_model() { return ModelId(1, static_cast<char>('a' + pick(5))); }
  // Mostly an id that exists or existed.
  RequestId any_request() { return RequestId{next_request_ - pick(30)}; }
  EngineId any_engine() {
    return EngineId{pick(3) == 0 ? pick(400) : newest_engine_ - std::min(newest_engine_, pick(6))};
  }
  TimePoint any_time() {
    return pick(20) == 0 ? TimePoint::max() : now_ + std::chrono::milliseconds(pick(6000)) - std::chrono::seconds(1);
  }

  Event any_event() {
    switch (pick(25)) {
      case 0:
        return ModelAdded{any_model(),
                          pick(3) == 0,
                          pick(3) == 0 ? PreloadStrategy::kEager : PreloadStrategy::kLazy,
                          pick(3) == 0,
                          std::chrono::seconds(pick(3)),
                          std::chrono::seconds(pick(5)),
                          static_cast<unsigned>(pick(3))};
      case 1:
        return ModelRemoved{any_model()};
      case 2:
      case 3:
      case 4:
        return LeaseRequested{next_id(),         any_model(),  any_time(),
                              {UserId{pick(3)}}, pick(4) == 0, static_cast<unsigned>(pick(4))};
      case 5:
        return LoadRequested{next_id(), any_model(), pick(2) == 0, pick(3) == 0, any_time()};
      case 6:
        return UnloadRequested{next_id(), any_model(), pick(3) == 0, any_time()};
      case 7:
        return PinRequested{next_id(), any_model(), pick(2) == 0};
      case 8:
        return RequestCancelled{any_request()};
      case 9:
      case 10:
        return LeaseReleased{any_request(), static_cast<LeaseEnd>(pick(3))};
      case 11:
      case 12: {
        const ModelId model = any_model();
        const std::uint64_t ticket = ticket_[model] + (pick(5) == 0 ? 1 : 0);
        if (pick(5) == 0) return Inspected{model, ticket, fail(ErrorCode::kInvalidModel, "no")};
        return Inspected{model, ticket, Bytes(pick(20) == 0 ? UINT64_MAX : pick(500))};
      }
      case 13:
        return EngineReady{any_engine(), pick(4) > 0};
      case 14:
        return EngineExited{any_engine(), Error{ErrorCode::kEngineCrashed, "it died"}};
      case 15:
        return EngineStalled{any_engine()};
      case 16:
        return LeaseLost{any_request(), any_time()};
      case 17:
        return ParkRequested{next_id(), any_model(), pick(3) == 0, any_time()};
      case 18:
      case 19:
        return EngineParked{any_engine(), Bytes(pick(400)), Bytes(pick(400))};
      case 20:
        return ParkRefused{any_engine(), Error{pick(2) == 0 ? ErrorCode::kIo : ErrorCode::kConflict, "no"},
                           Bytes(pick(2) * pick(1000))};
      case 21:
      case 22:
        return EngineWoken{any_engine()};
      case 23:
        if (pick(2) == 0) return FootprintMeasured{any_engine(), Bytes(pick(600))};
        return PressureChanged{pick(3) == 0, Bytes(pick(1000))};
      default:
        if (pick(40) == 0) return DrainRequested{any_time()};
        if (pick(3) == 0) return OptionsChanged{any_options()};
        return TimerFired{};
    }
  }

  ContextOptions any_options() {
    return {.max_models = pick(4),
            .memory_budget = Bytes(pick(1200)),
            .parking = {pick(4) > 0, Bytes(pick(400)), Bytes(pick(900))},
            .prediction = {.preload = pick(2) == 0, .read_ahead = pick(2) == 0},
            .max_queue_per_model = pick(20),
            .max_queue = pick(30),
            .load_timeout = std::chrono::seconds(pick(5)),
            .min_residency = std::chrono::seconds(pick(3)),
            .head_start = std::chrono::seconds(pick(9)),
            .max_switches_per_second = pick(4)};
  }

  std::mt19937_64 random_;
  std::uint64_t newest_engine_ = 0;
};

TEST_F(AnyOrder, IsSurvived) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    random_.seed(seed);
    ContextOptions options;
    options.memory_budget = Bytes(1000);
    options.max_models = pick(4);
    options.max_queue = 20;
    options.parking = {pick(4) > 0, Bytes(pick(400)), Bytes(pick(900))};
    options.load_timeout = std::chrono::seconds(pick(5));
    options.min_residency = std::chrono::milliseconds(pick(2000));
    start(options, policy_names()[pick(3)].c_str());
    newest_engine_ = 0;
    for (int i = 0; i < 400; ++i) {
      // Now and then the caller's clock goes back.
      now_ += std::chrono::milliseconds(pick(300)) - std::chrono::milliseconds(20);
      for (const Spawn& spawn : all<Spawn>(step(any_event())))
        newest_engine_ = static_cast<std::uint64_t>(spawn.engine);
    }
  }
}

}  // namespace
}  // namespace minerva
