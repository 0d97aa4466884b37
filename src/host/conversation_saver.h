// ConversationSaver: has engines save their conversations while these rest, and before an engine leaves.
//
// An engine is asked a few seconds after an answer, segment by segment, until it has nothing more to save; then not
// again before its next answer. One segment is asked for at a time, and the next one once the file of the one before
// has its name, or never will have it: so an engine that looks for that file knows where it stands.
// Threading: the loop's thread. Ownership: the Loop, the Store and the agents outlive it; see remove().
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "conversations/store.h"
#include "engine/engine.h"
#include "io/loop.h"

namespace minerva {

class ConversationSaver {
 public:
  ConversationSaver(io::Loop& loop, conversations::Store& store) : loop_(loop), store_(store) {}
  ConversationSaver(const ConversationSaver&) = delete;
  ConversationSaver& operator=(const ConversationSaver&) = delete;

  // The engine is ready, and its conversations are in `folder`.
  void add(EngineId id, const ModelId& model, const std::string& folder, EngineAgent& agent);
  // The engine is gone.
  void remove(EngineId id) { engines_.erase(id); }
  // The engine lives, but must not save any more. If it was to leave, it does so now.
  void stop(EngineId id);
  // Files are removed: an empty model or tenant stands for all. Engines must not write them again.
  void forget(const ModelId& model, const std::string& tenant);
  // The engine has answered a request.
  void answered(EngineId id);

  enum class Leave {
    kParks,  // the engine's process stays: the last file may get its name later
    kEnds,   // another engine may look for the files at once
  };
  // Saves what the engine has, and then calls `then`, or after kLongest; inside this call if there is nothing to save.
  // If it is called again meanwhile, only the latest `then` is called. After remove() none is.
  void before_leaving(EngineId id, Leave leave, std::function<void()> then);
  // The engine serves after all, or again.
  void stays(EngineId id);

  // Within this time a user who reads and types, or a program that works on the answer, has often not gone on.
  static constexpr Duration kRest = std::chrono::seconds(3);
  // An engine sends the end of an answer a moment before its slot is idle. What had not rested then is asked for again.
  static constexpr Duration kSlack = std::chrono::milliseconds(100);
  // After this time an engine sees that the file of what it has saved is missing (engine/src/conversation_store.cc).
  static constexpr Duration kUntilMissed = std::chrono::seconds(12);
  // What has rested was saved before, so there is hardly more than one segment to save. A slow disk needs this long for
  // the 32 MiB that a segment has at most, beside its end state. Somebody may wait for the model's memory meanwhile.
  static constexpr Duration kLongest = std::chrono::seconds(2);

 private:
  struct Saving {
    Saving(io::Loop& loop, ModelId its_model, std::string its_folder, EngineAgent& its_agent)
        : model(std::move(its_model)), folder(std::move(its_folder)), agent(&its_agent), timer(loop) {}
    ModelId model;
    std::string folder;
    EngineAgent* agent;
    std::optional<TimePoint> answered;  // the last answer, if the engine may have something to save
    bool asking = false;                // a segment is on its way
    bool forgets = false;               // and may be of those that were to be forgotten
    bool away = false;                  // it leaves, or has left
    Leave how = Leave::kEnds;
    std::function<void()> leave;  // set while it is asked before it leaves
    io::Timer timer;
  };
  struct Asked {
    TimePoint when;
    Duration rest;
  };

  void ask_later(EngineId id, TimePoint when);
  void ask(EngineId id);
  void ask_with(EngineId id, const std::shared_ptr<conversations::NewFile>& file);
  void take(EngineId id, Asked asked, const std::shared_ptr<conversations::NewFile>& file, const SaveAnswer& answer);
  // What the engine has saved got no name.
  void not_kept(EngineId id);
  void go_on(EngineId id, Asked asked, bool saved, bool more);
  static void let_go(Saving& engine);
  void take_note(EngineId id, const ConversationNote& note);

  io::Loop& loop_;
  conversations::Store& store_;
  std::map<EngineId, Saving> engines_;
  // Shows to callbacks that outlive this that it is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace minerva
