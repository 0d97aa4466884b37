#include "host/conversation_saver.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <utility>

#include "base/log.h"

namespace minerva {
namespace {

// A copy for the engine, as the store keeps its own.
io::Descriptor copy_of(const conversations::NewFile& file) {
  return io::Descriptor(::fcntl(file.descriptor(), F_DUPFD_CLOEXEC, 0));
}

}  // namespace

void ConversationSaver::add(EngineId id, const ModelId& model, const std::string& folder, EngineAgent& agent) {
  engines_.try_emplace(id, loop_, model, folder, agent);
  agent.on_conversation([this, id](const ConversationNote& note) { take_note(id, note); });
}

void ConversationSaver::stop(EngineId id) {
  const auto found = engines_.find(id);
  if (found == engines_.end()) return;
  const auto leave = std::exchange(found->second.leave, nullptr);
  engines_.erase(found);
  if (leave) leave();
}

void ConversationSaver::forget(const ModelId& model, const std::string& tenant) {
  for (auto& [id, engine] : engines_) {
    if (!model.empty() && engine.model != model) continue;
    engine.agent->forget(tenant.empty() ? protocol::kEverybody : tenant);
    engine.forgets = engine.asking;
  }
}

void ConversationSaver::answered(EngineId id) {
  const auto found = engines_.find(id);
  if (found == engines_.end()) return;
  Saving& engine = found->second;
  const TimePoint now = Clock::now();
  // After an earlier answer the time of the question is set. It does not move: an engine that always answers somebody
  // has other conversations that rest.
  const bool first = !std::exchange(engine.answered, now).has_value();
  if (first && !engine.asking && !engine.away) ask_later(id, now + kRest);
}

void ConversationSaver::ask_later(EngineId id, TimePoint when) {
  engines_.at(id).timer.arm(when + kSlack, [this, id] { ask(id); });
}

void ConversationSaver::before_leaving(EngineId id, Leave leave, std::function<void()> then) {
  const auto found = engines_.find(id);
  const bool nothing_to_save =
      found == engines_.end() || !found->second.answered || (found->second.away && !found->second.leave);
  if (nothing_to_save || store_.is_stuck()) {
    if (found != engines_.end()) found->second.away = true;
    return then();
  }
  Saving& engine = found->second;
  engine.how = leave;
  engine.leave = std::move(then);
  if (std::exchange(engine.away, true)) return;  // it is being asked for this already
  engine.timer.arm(Clock::now() + kLongest, [this, &engine] {
    if (store_.is_stuck()) store_.note_failure("the disk does not answer");
    let_go(engine);
  });
  if (!engine.asking) ask(id);
}

void ConversationSaver::stays(EngineId id) {
  const auto found = engines_.find(id);
  if (found == engines_.end()) return;
  found->second.away = false;
  if (found->second.answered && !found->second.asking) ask_later(id, Clock::now() + kRest);
}

void ConversationSaver::let_go(Saving& engine) {
  engine.timer.cancel();
  // Moved out first, since the call may remove the engine.
  const auto leave = std::exchange(engine.leave, nullptr);
  if (leave) leave();
}

void ConversationSaver::ask(EngineId id) {
  Saving& engine = engines_.at(id);
  engine.asking = true;
  store_.make_file(
      engine.folder, [this, still = std::weak_ptr(alive_), id](const conversations::Store::MadeFile& made) {
        if (still.expired() || !engines_.contains(id)) return;
        if (!made.never) return ask_with(id, made.file);
        log::info("{} keeps its conversations on disk again once it is loaded the next time", engines_.at(id).model);
        stop(id);
      });
}

void ConversationSaver::ask_with(EngineId id, const std::shared_ptr<conversations::NewFile>& file) {
  Saving& engine = engines_.at(id);
  const Asked asked{Clock::now(), engine.away ? Duration::zero() : kRest};
  io::Descriptor copy = file == nullptr ? io::Descriptor() : copy_of(*file);
  const bool left = engine.away && !engine.leave;  // the time was over
  if (!copy || left) return go_on(id, asked, /*saved=*/false, /*more=*/true);
  engine.forgets = false;  // the engine hears of that before it hears this question
  engine.agent->save(asked.rest, std::move(copy),
                     [this, still = std::weak_ptr(alive_), id, asked, file](const SaveAnswer& answer) {
                       if (!still.expired() && engines_.contains(id)) take(id, asked, file, answer);
                     });
}

void ConversationSaver::take(EngineId id, Asked asked, const std::shared_ptr<conversations::NewFile>& file,
                             const SaveAnswer& answer) {
  Saving& engine = engines_.at(id);
  if (!answer.why_not.empty()) {
    log::info({{"model", engine.model}}, "{} keeps no conversations on disk: {}", engine.model, answer.why_not);
    return stop(id);
  }
  if (!answer.refused.empty()) store_.note_failure(answer.refused);
  if (answer.saved && engine.forgets) return go_on(id, asked, /*saved=*/false, /*more=*/true);
  if (!answer.saved) return go_on(id, asked, /*saved=*/false, answer.more || !answer.refused.empty());
  const bool last = !answer.more && asked.rest == Duration::zero();
  store_.keep(engine.folder, file, answer.saved->tenant, answer.saved->name,
              [this, still = std::weak_ptr(alive_), id, asked, more = answer.more](bool kept) {
                if (still.expired() || !engines_.contains(id)) return;
                if (kept) return go_on(id, asked, /*saved=*/true, more);
                not_kept(id);
              });
  if (last && engine.how == Leave::kParks) let_go(engine);
}

void ConversationSaver::not_kept(EngineId id) {
  Saving& engine = engines_.at(id);
  engine.asking = false;
  if (engine.away) return let_go(engine);
  if (!engine.answered) engine.answered = Clock::now();
  ask_later(id, Clock::now() + kUntilMissed);
}

void ConversationSaver::go_on(EngineId id, Asked asked, bool saved, bool more) {
  Saving& engine = engines_.at(id);
  engine.asking = false;
  // What was answered after the question, or shortly before it, has not rested then.
  if (!more && engine.answered && *engine.answered <= asked.when - asked.rest) engine.answered.reset();
  if (engine.away) {
    const bool for_this = asked.rest == Duration::zero();  // and not begun before it was to leave
    if (engine.leave && (!for_this || (more && saved))) return ask(id);
    return let_go(engine);
  }
  if (more && saved) return ask(id);
  if (!engine.answered) return;
  const TimePoint rested = *engine.answered + kRest;
  ask_later(id, more && rested <= Clock::now() ? Clock::now() + kRest : rested);
}

void ConversationSaver::take_note(EngineId id, const ConversationNote& note) {
  const auto found = engines_.find(id);
  if (found == engines_.end()) return;
  const Saving& engine = found->second;
  if (!note.unusable.empty()) {
    log::warn("a file with a conversation of {} is removed: {}", engine.model, note.unusable);
    return store_.unusable(engine.folder, note.tenant, note.name.id);
  }
  const Duration saved = note.instead_of > note.took ? note.instead_of - note.took : Duration::zero();
  store_.used(engine.folder, note.tenant, note.name.id, {note.restored_tokens, saved});
  log::info({{"model", engine.model}},
            "{} goes on after {} tokens of a conversation that was on disk, restored in {:.1f} ms", engine.model,
            note.restored_tokens, std::chrono::duration<double, std::milli>(note.took).count());
}

}  // namespace minerva
