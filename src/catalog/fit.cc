#include "catalog/fit.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "engine/engine_arguments.h"

namespace minerva {
namespace {

constexpr unsigned kStep = 256;      // tokens: llama.cpp rounds contexts up to multiples
constexpr unsigned kFloor = 2048;    // tokens: an unset context does not go below this
constexpr unsigned kSmallest = 512;  // tokens: a context that may shrink does not go below this
constexpr unsigned kContextQuestions = 2;
// 0 would also switch off the place where llama.cpp finds a conversation again that has lost its slot.
constexpr Bytes kLeastCache = Bytes::mib(1);
// By so much two inspections of one shape may differ: each counts what the inspecting process holds.
constexpr Bytes kSpread = Bytes::mib(2);
// A model that has to give way leaves this part of the budget to parked models, if it can. If it took everything, each
// parked model would be stopped, and its conversations would be lost.
constexpr std::uint64_t kPartForParked = 8;

bool names_one_of(const std::vector<std::string>& args, std::initializer_list<std::string_view> names) {
  return std::any_of(args.begin(), args.end(), [&](const std::string& argument) {
    return std::find(names.begin(), names.end(), argument) != names.end();
  });
}

// The settings that may give way, since nobody set them.
struct Adjustable {
  explicit Adjustable(const ModelSpec& spec)
      : prompt_cache(spec.fit && !names_one_of(spec.args, {"-cram", "--cache-ram"})),
        checkpoints(spec.fit && !names_one_of(spec.args, {"-ctxcp", "--ctx-checkpoints", "--swa-checkpoints"})),
        weights(spec.fit && spec.weights == WeightsMode::kAuto),
        slots(spec.fit && !spec.parallel),
        context((spec.fit && !spec.context) || spec.context_may_shrink) {}

  bool prompt_cache;
  bool checkpoints;
  bool weights;
  bool slots;
  bool context;
};

// The memory that a model takes, in bytes, by its parts.
struct Parts {
  Bytes fixed;         // everything but the following two
  Bytes checkpoint;    // for each conversation; 0: there is none, or checkpoints may not give way
  Bytes prompt_cache;  // at most; 0: there is none, or it may not give way
};

class Search {
 public:
  Search(const ModelSpec& spec, const KnownInspections& known, const ModelMetadata& whole, Bytes room)
      : spec_(spec), known_(known), may_(spec), whole_(whole), room_(room) {}

  FitResult run() {
    const bool over = give_way_in_caches_and_weights() || give_way_in_slots() || give_way_in_context();
    if (!over) result_.smallest = bare(tried_);
    return result_;
  }

 private:
  // What is known about `reduction`. nullptr: nothing is; then the result is to ask about it.
  const ModelMetadata* ask(const Reduction& reduction) {
    const ModelMetadata* const answer = known_(reduction);
    if (answer == nullptr) result_.ask = reduction;
    return answer;
  }

  Parts parts_of(const ModelMetadata& answer, const Reduction& reduction) const {
    Parts parts;
    Bytes rest = std::max(answer.predicted, answer.footprint());
    if (may_.checkpoints && answer.checkpoints > Bytes()) {
      parts.checkpoint =
          Bytes(answer.checkpoints.count() / reduction.checkpoints.value_or(defaults_.context_checkpoints));
      rest = rest - answer.checkpoints;
    }
    if (may_.prompt_cache && answer.prompt_cache > Bytes()) {
      parts.prompt_cache = whole_.prompt_cache;
      rest = rest - answer.prompt_cache;
    }
    parts.fixed = rest;
    return parts;
  }

  static Bytes least_cache(const Parts& parts) { return std::min(parts.prompt_cache, kLeastCache); }
  static Bytes least(const Parts& parts) { return parts.fixed + parts.checkpoint + least_cache(parts); }

  // `reduction` with the least checkpoints and the least prompt cache.
  Reduction bare(Reduction reduction) const {
    if (may_.checkpoints && whole_.checkpoints > Bytes()) reduction.checkpoints = 1;
    if (may_.prompt_cache && whole_.prompt_cache > kLeastCache) reduction.prompt_cache = kLeastCache;
    return reduction;
  }

  // `reduction` with as many checkpoints as there is room for, and then as much prompt cache.
  Reduction filled(Reduction reduction, const Parts& parts) const {
    Bytes left = room_ - least(parts);
    left = left - std::min(left, kSpread);
    if (parts.checkpoint > Bytes()) {
      const std::uint64_t more = left.count() / parts.checkpoint.count();
      const auto count = static_cast<unsigned>(std::min<std::uint64_t>(defaults_.context_checkpoints, 1 + more));
      if (count < defaults_.context_checkpoints) reduction.checkpoints = count;
      left = left - Bytes(parts.checkpoint.count() * (count - 1));
    }
    const Bytes cache = Bytes::mib((left + least_cache(parts)).count() >> 20U);
    if (cache < parts.prompt_cache) reduction.prompt_cache = std::max(cache, kLeastCache);
    return reduction;
  }

  // Whether the search can end with `reduction`, which takes `parts`.
  bool settle(const Reduction& reduction, const Parts& parts) {
    if (least(parts) > room_) return false;
    const Reduction candidate = filled(reduction, parts);
    const ModelMetadata* const answer = ask(candidate);
    if (answer == nullptr) return true;
    if (answer->footprint() > room_) return false;
    result_.found = candidate;
    return true;
  }

  // One inspection shows what each of the three takes.
  bool give_way_in_caches_and_weights() {
    Parts parts = parts_of(whole_, {});
    if (settle(tried_, parts)) return true;
    if (!may_.weights || whole_.repacked == Bytes()) return false;
    tried_.mapped = true;
    parts.fixed = parts.fixed - std::min(parts.fixed, whole_.repacked);
    return settle(tried_, parts);
  }

  bool give_way_in_slots() {
    if (!may_.slots || slots_of(spec_) <= 1) return false;
    tried_.parallel = 1;
    const ModelMetadata* const answer = ask(bare(tried_));
    return answer == nullptr || settle(tried_, parts_of(*answer, bare(tried_)));
  }

  Reduction with_context(unsigned context) const {
    Reduction reduction = tried_;
    reduction.context = context;
    return reduction;
  }

  bool give_way_in_context() {
    const unsigned whole = whole_.context;
    const unsigned floor = std::min(whole, spec_.context_may_shrink ? kSmallest : kFloor);
    if (!may_.context || floor >= whole) return false;
    const ModelMetadata* answer = ask(bare(tried_));
    if (answer == nullptr) return true;
    std::pair<unsigned, Bytes> too_large = {whole, least(parts_of(*answer, bare(tried_)))};
    answer = ask(bare(with_context(floor)));
    if (answer == nullptr) return true;
    std::pair<unsigned, Bytes> fits = {floor, least(parts_of(*answer, bare(with_context(floor))))};
    if (fits.second > room_) {
      tried_.context = floor;
      return false;
    }
    for (unsigned question = 0; question < kContextQuestions; ++question) {
      const unsigned next = between(fits, too_large);
      if (next <= fits.first) break;
      answer = ask(bare(with_context(next)));
      if (answer == nullptr) return true;
      const Bytes needs = least(parts_of(*answer, bare(with_context(next))));
      (needs <= room_ ? fits : too_large) = {next, needs};
    }
    tried_.context = fits.first;
    answer = ask(bare(tried_));
    return answer == nullptr || settle(tried_, parts_of(*answer, bare(tried_)));
  }

  // The context at which a straight line through both points meets the room, in whole steps: memory grows about so.
  unsigned between(std::pair<unsigned, Bytes> fits, std::pair<unsigned, Bytes> too_large) const {
    const auto number = [](Bytes bytes) { return static_cast<double>(bytes.count()); };
    if (too_large.second <= fits.second) return fits.first;
    const double share = number(room_ - fits.second) / number(too_large.second - fits.second);
    const double meets = fits.first + std::min(share, 1.0) * (too_large.first - fits.first);
    const unsigned steps = static_cast<unsigned>(meets) / kStep * kStep;
    return steps >= too_large.first ? (too_large.first - 1) / kStep * kStep : steps;
  }

  const ModelSpec& spec_;
  const KnownInspections& known_;
  const Adjustable may_;
  const EngineDefaults defaults_;
  const ModelMetadata& whole_;
  const Bytes room_;
  Reduction tried_;  // everything that has given way so far, except for checkpoints and prompt cache
  FitResult result_;
};

}  // namespace

bool may_give_way(const ModelSpec& spec) { return spec.command.argv.empty() && (spec.fit || spec.context_may_shrink); }

bool may_fit(const ModelSpec& spec, const ModelMetadata* metadata, Bytes room) {
  if (metadata != nullptr && metadata->footprint() <= room) return true;
  return (metadata == nullptr || may_give_way(spec)) && spec.size <= room;
}

FitResult fit(const ModelSpec& spec, Bytes room, const KnownInspections& known) {
  FitResult result;
  const ModelMetadata* const whole = known({});
  if (whole == nullptr) {
    result.ask = Reduction{};
  } else if (whole->footprint() <= room) {
    result.found = Reduction{};
  } else if (may_give_way(spec)) {
    result = Search(spec, known, *whole, room - Bytes(room.count() / kPartForParked)).run();
    if (!result.ask && !result.found) result = Search(spec, known, *whole, room).run();
    if (result.ask || result.found) return result;
    const ModelMetadata* const smallest = known(result.smallest);
    if (smallest == nullptr) {
      result.ask = result.smallest;
    } else if (smallest->footprint() <= room) {
      result.found = result.smallest;  // what was larger by a little did not fit
    }
  }
  return result;
}

namespace {

struct Answer {
  Reduction reduction;
  ModelMetadata metadata;
};

void inspect_next(ModelSpec spec, Bytes room, InspectModel inspect, std::vector<Answer> answers,
                  std::function<void(Result<FittedModel>)> done) {
  const auto find = [&answers](const Reduction& reduction) -> const ModelMetadata* {
    const auto it = std::ranges::find(answers, reduction, &Answer::reduction);
    return it == answers.end() ? nullptr : &it->metadata;
  };
  const FitResult result = fit(spec, room, find);
  if (!result.ask) {
    return done(FittedModel{*find(result.found.value_or(result.smallest)), result.found.value_or(Reduction{}),
                            result.found.has_value(), spec.placement});
  }
  ModelSpec asked = spec;
  asked.reduction = *result.ask;
  inspect(asked, [spec = std::move(spec), room, inspect, answers = std::move(answers), reduction = *result.ask,
                  done = std::move(done)](Result<ModelMetadata> answer) mutable {
    if (!answer) return done(fail(Error(answer.error())));
    if (answer->kind != FileKind::kModel) return done(FittedModel{*std::move(answer), {}});
    answers.push_back({reduction, *std::move(answer)});
    inspect_next(std::move(spec), room, inspect, std::move(answers), std::move(done));
  });
}

}  // namespace

void inspect_to_fit(ModelSpec spec, Bytes room, InspectModel inspect, std::function<void(Result<FittedModel>)> done) {
  inspect_next(std::move(spec), room, std::move(inspect), {}, std::move(done));
}

std::vector<Concession> concessions(const ModelSpec& spec, const Reduction& reduction, unsigned trained_context) {
  if (reduction == Reduction{}) return {};
  const EngineDefaults defaults;
  ModelSpec whole = spec;
  whole.reduction = {};
  std::vector<Concession> list;
  const auto add = [&list](std::string_view setting, Concession::Value from, Concession::Value to) {
    list.push_back({setting, from, to});
  };
  const auto number = [](unsigned value) { return std::uint64_t{value}; };
  if (reduction.context) {
    add("context", number(conversation_context(whole, trained_context)), number(*reduction.context));
  }
  if (reduction.parallel) add("parallel", number(slots_of(whole)), number(*reduction.parallel));
  if (reduction.mapped) add("weights", "repacked", "mapped");
  if (reduction.checkpoints) {
    add("context_checkpoints", number(defaults.context_checkpoints), number(*reduction.checkpoints));
  }
  if (reduction.prompt_cache) {
    add("prompt_cache_mib", defaults.prompt_cache.rounded_mib(), reduction.prompt_cache->rounded_mib());
  }
  return list;
}

}  // namespace minerva
