// Engine: one process that serves one model over HTTP. EngineDriver: makes engines, and inspects models ahead.
//
// llama.cpp's server (llama_engine.h) is the default; nothing here assumes it.
// Threading: the loop's thread. Callbacks come on that thread, never inside the call that caused them.
// Ownership: when an Engine is destroyed, it kills its process and calls nobody back (the process is reaped as
// io/process.h says).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/model_spec.h"
#include "io/descriptor.h"
#include "io/stream.h"
#include "minerva/base/clock.h"
#include "minerva/base/result.h"
#include "protocol/agent.h"
#include "protocol/conversations.h"

namespace minerva {

// The last lines that an engine wrote, bounded in lines and bytes. Outlives its engine, so that a failure can be read
// later.
class EngineLog {
 public:
  void append(std::string_view line);
  // The newest `count` lines, the oldest first.
  std::vector<std::string> tail(std::size_t count) const;
  // The line that most likely says why the engine died: the last one that reports an error, else the last one. May be
  // empty.
  std::string last_words() const;
  // Calls `fn` for each new line until the returned object is gone.
  std::shared_ptr<void> follow(std::function<void(std::string_view)> fn);

 private:
  static constexpr std::size_t kMaxLines = 1000;
  static constexpr std::size_t kMaxLineBytes = 2000;
  std::vector<std::string> ring_;
  std::size_t next_ = 0;
  std::vector<std::weak_ptr<std::function<void(std::string_view)>>> followers_;
};

// What an engine says of the conversations that it keeps in files (protocol/conversations.h).
struct SavedSegment {
  std::string tenant;
  protocol::SegmentName name;
};
struct SaveAnswer {
  std::optional<SavedSegment> saved;  // the file has it
  bool more = false;                  // there is more to save: at once if this call has saved something, or later
  std::string refused;                // why the file could not be written; empty: it was not refused
  std::string why_not;                // why this engine never saves; empty: it does
};
struct ConversationNote {
  std::string tenant;
  protocol::SegmentName name;
  // A request goes on after so many tokens of that segment and its parents, which took `took` to restore. Reading the
  // tokens would have taken `instead_of`, as far as the engine knows.
  std::uint64_t restored_tokens = 0;
  Duration took{};
  Duration instead_of{};
  std::string unusable;  // why the file has to be removed; empty: it was restored
};

// What an engine holds at most: of the host's memory, and of devices' by their names.
struct Measurement {
  Bytes host;
  DeviceBytes devices = {};
};

// EngineAgent: the part of an engine's process that parks the engine, saves its conversations and measures it.
class EngineAgent {
 public:
  struct ParkRefusal {
    Error reason;        // kConflict: the engine was at work, so a later try may succeed
    Bytes image_wanted;  // how large the image would have been, if it was refused for that; 0 otherwise
  };

  virtual ~EngineAgent() = default;
  // Why the engine cannot be parked; empty: it can. Known once the engine is ready.
  virtual const std::string& why_not_parkable() const = 0;
  // Moves the engine's memory to its image, of at most `max_image`. Calls `done` once, unless the engine dies first.
  // After a refusal the engine is as before. Requires: ready, parkable, not parked, no request under way. The engine
  // gets no request before it is woken.
  virtual void park(Bytes max_image, std::function<void(tl::expected<protocol::ParkReport, ParkRefusal>)> done) = 0;
  // Gives back up to `most` bytes of page cache, from the end of the weights on. Calls `done` once with how much it
  // was, unless the engine dies first. Requires: parked.
  virtual void drop_pages(Bytes most, std::function<void(Bytes dropped)> done) = 0;
  // Calls `done` once, unless the engine dies first (as it does if its image is damaged). kNoCapacity: a device has no
  // room for it, and it is parked as before. Requires: parked.
  virtual void wake(std::function<void(Result<protocol::ParkReport>)> done) = 0;
  // Finds the most memory that the engine may hold, while hot, with what it has allocated: its memory now, the
  // untouched part of its large blocks, and what conversations outside of slots may still take. Calls `done` once, with
  // nothing if that cannot be found out; not at all if the engine dies first. Requires: ready, not parked.
  virtual void measure(std::function<void(std::optional<Measurement>)> done) = 0;
  // Writes what is new of one conversation that nobody has used for `rest` into `file`, which is empty. Calls `done`
  // once, unless the engine dies first. Requires: ready, not parked, and the engine was started with a folder of
  // conversations (ModelSpec::conversations).
  virtual void save(Duration rest, io::Descriptor file, std::function<void(SaveAnswer)> done) = 0;
  // The files of this tenant's conversations are removed (protocol::kEverybody: of all). What the engine has read so
  // far is not saved any more, unless somebody goes on with it.
  virtual void forget(const std::string& tenant) = 0;
  // `fn` is called whenever the engine has restored a conversation, or has found a file that it cannot use.
  virtual void on_conversation(std::function<void(const ConversationNote&)> fn) = 0;
};

class Engine {
 public:
  struct Handlers {
    std::function<void(double fraction)> on_progress;  // of the load, 0 to 1
    std::function<void()> on_ready;
    // Called once, after the process was reaped. `reason`: kEngineCrashed or kInvalidModel with the engine's last
    // words; kCancelled if it was asked to stop. The handler may destroy the Engine.
    std::function<void(Error reason)> on_exit;
  };

  virtual ~Engine() = default;
  // nullptr: the process has no agent, and can be neither parked nor measured.
  virtual EngineAgent* agent() { return nullptr; }
  virtual const io::Address& address() const = 0;
  virtual pid_t pid() const = 0;
  // `sharers` engines compute now, this one among them: the engine should leave the others their share of the cores.
  // Requires: at least 1.
  virtual void share_cores(unsigned sharers) = 0;
  // Asks the engine to end, and kills it if it has not ended after `grace`. on_exit always follows.
  virtual void stop(Duration grace) = 0;
  // A number that grows whenever the engine does something: uses processor time or writes a line. Two equal results
  // mean that it did nothing in between.
  virtual std::uint64_t activity() const = 0;
  // Notes in the log what the engine's threads are doing, and kills it. on_exit follows with `reason`, unless the
  // engine was asked to stop.
  virtual void kill(Error reason) = 0;
};

class EngineDriver {
 public:
  virtual ~EngineDriver() = default;
  // What the results of inspect() depend on besides the spec (the engine's version, its default arguments). A kept
  // result is valid as long as this stays the same.
  virtual std::string fingerprint() const { return {}; }
  // The devices that a model can be placed on (ModelSpec::placement).
  virtual std::vector<std::string> devices() const { return {}; }
  // What the model is, and how much memory it will take with its spec's arguments. For a file that is no model by
  // itself: what it is (ModelMetadata::kind). Runs in a child process with limits.
  // Errors: kInvalidModel with the reason, also when the file is gone (the daemon's loop reads no disk); kInternal when
  // the child cannot run.
  virtual void inspect(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) = 0;
  // The same at idle priority, for no request. inspect() and start() end it, with kCancelled.
  // Requires: no other one is under way.
  virtual void inspect_idly(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) {
    inspect(spec, std::move(done));
  }
  // Errors: kIo, kInvalidArgument.
  virtual Result<std::unique_ptr<Engine>> start(const ModelSpec& spec, const ModelMetadata& metadata,
                                                std::shared_ptr<EngineLog> log, Engine::Handlers handlers) = 0;
};

}  // namespace minerva
