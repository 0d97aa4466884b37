// The history of an earlier process, whose checksum may match by chance: the core must be able to go on with whatever
// was read.
#include "fuzz/input.h"
#include "host/history_file.h"
#include "minerva/context/context_manager.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

namespace {

void go_on(const History& history, const std::string& policy) {
  TimePoint now(std::chrono::hours(1));
  ContextManager core({.memory_budget = Bytes::mib(2)}, make_policy(policy).value());
  std::vector<Action> actions;
  const auto step = [&](const Event& event) {
    for (Action& action : core.step(now, event)) actions.push_back(std::move(action));
    core.check_invariants();
  };
  for (const char* id : {"a", "b", "c"}) step(ModelAdded{.model = id});
  step(HistoryRestored{history});
  // As many models come back as fit; then a request wants one that does not fit.
  step(LeaseRequested{RequestId{1}, "c", TimePoint::max()});
  for (std::size_t i = 0; i < actions.size() && i < 100; ++i) {
    now += std::chrono::seconds(1);
    const Action action = actions[i];
    if (const auto* inspect = std::get_if<Inspect>(&action)) {
      step(Inspected{inspect->model, inspect->ticket, Bytes::mib(1)});
    } else if (const auto* spawn = std::get_if<Spawn>(&action)) {
      step(EngineReady{spawn->engine, true});
    } else if (const auto* stop = std::get_if<Stop>(&action)) {
      step(EngineExited{stop->engine, Error{ErrorCode::kCancelled, "stopped"}});
    }
  }
  const History again = core.history();
  const Moment moment{now, std::chrono::system_clock::time_point(std::chrono::hours(500'000))};
  check(parse_history(history_text(again, moment), moment).has_value(), "a history that was written cannot be read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  const Moment moment{TimePoint(std::chrono::hours(1)),
                      std::chrono::system_clock::time_point(std::chrono::hours(500'000))};
  const auto history = parse_history(input.text, moment);
  if (!history) return 0;
  const std::vector<std::string> policies = policy_names();
  go_on(*history, policies[input.steer % policies.size()]);
  return 0;
}
