// Engine: one process that serves one model over HTTP. EngineDriver: makes them, and tells ahead what they will take.
//
// llama.cpp's server (llama_engine.h) is the default; nothing here assumes it.
// Threading: the loop's thread; callbacks come there, never from inside the call that caused them.
// Ownership: destroying an Engine kills its process without calling back (it is reaped as io/process.h says).
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
#include "io/stream.h"
#include "minerva/base/clock.h"
#include "minerva/base/result.h"
#include "protocol/agent.h"

namespace minerva {

// The last lines an engine wrote, bounded in lines and bytes. Outlives its engine, so that a failure can be read later.
class EngineLog {
 public:
  void append(std::string_view line);
  // The newest `count` lines, oldest first.
  std::vector<std::string> tail(std::size_t count) const;
  // The line that most likely says why it died: the last one that reports an error, else the last one. May be empty.
  std::string last_words() const;
  // Called for each appended line until the returned object is gone.
  std::shared_ptr<void> follow(std::function<void(std::string_view)> fn);

 private:
  static constexpr std::size_t kMaxLines = 1000;
  static constexpr std::size_t kMaxLineBytes = 2000;
  std::vector<std::string> ring_;
  std::size_t next_ = 0;
  std::vector<std::weak_ptr<std::function<void(std::string_view)>>> followers_;
};

// EngineAgent: the part of an engine's process that parks it and knows what it holds.
class EngineAgent {
 public:
  struct ParkRefusal {
    Error reason;        // kConflict: it was at work, asked again it may be done
    Bytes image_wanted;  // how large the image would have been, if that was the reason; 0 otherwise
  };

  virtual ~EngineAgent() = default;
  // Why it cannot be parked; empty: it can. Known once the engine is ready.
  virtual const std::string& why_not_parkable() const = 0;
  // Moves its memory to its image, of at most `max_image`. `done` comes once, unless it dies first; refused, it is as
  // before. Requires: ready, parkable, not parked, no request under way; none is sent to it before it woke.
  virtual void park(Bytes max_image, std::function<void(tl::expected<protocol::ParkReport, ParkRefusal>)> done) = 0;
  // Gives back up to `most` of that page cache, from the end of the weights. `done` comes once with how much it was,
  // unless it dies first. Requires: parked.
  virtual void drop_pages(Bytes most, std::function<void(Bytes dropped)> done) = 0;
  // `done` comes once, unless it dies first (as it does when its image is damaged). Requires: parked.
  virtual void wake(std::function<void(const protocol::ParkReport&)> done) = 0;
  // What the engine holds at most with what it has allocated, hot: its memory now, what of its large blocks was not
  // touched yet, and what conversations outside of slots may still come to. `done` comes once, with nothing if that
  // cannot be told; not at all if it dies first. Requires: ready, not parked.
  virtual void measure(std::function<void(std::optional<Bytes>)> done) = 0;
};

class Engine {
 public:
  struct Handlers {
    std::function<void(double fraction)> on_progress;  // of the load, 0 to 1
    std::function<void()> on_ready;
    // Once, after the process was reaped. `reason`: kEngineCrashed or kInvalidModel with its last words; when it was
    // asked to stop, kCancelled. The Engine may be destroyed inside.
    std::function<void(Error reason)> on_exit;
  };

  virtual ~Engine() = default;
  // nullptr: there is none in its process, and it can be neither parked nor measured.
  virtual EngineAgent* agent() { return nullptr; }
  virtual const io::Address& address() const = 0;
  virtual pid_t pid() const = 0;
  // So many engines compute at present, this one among them: it is to leave the others their share of the cores.
  // Requires: at least 1.
  virtual void share_cores(unsigned sharers) = 0;
  // Asks it to end, and kills it when it has not after `grace`. on_exit follows, always.
  virtual void stop(Duration grace) = 0;
  // Grows whenever it does something: uses processor time or writes a line. Two equal answers: nothing in between.
  virtual std::uint64_t activity() const = 0;
  // Notes in its log what its threads are doing and kills it. on_exit follows with `reason`, unless it was asked to
  // stop.
  virtual void kill(Error reason) = 0;
};

class EngineDriver {
 public:
  virtual ~EngineDriver() = default;
  // What the answers of inspect() depend on besides the spec (the engine's version, its default arguments). An answer
  // kept for later is good as long as this stays the same.
  virtual std::string fingerprint() const { return {}; }
  // What the model is and what it will take with its spec's arguments; of a file that is no model by itself, what it is
  // (ModelMetadata::kind). Runs in a child process with limits.
  // Errors: kInvalidModel with the reason, also when the file is gone (the daemon's loop asks no disk); kInternal when
  // the child cannot run.
  virtual void inspect(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) = 0;
  // The same for nobody who waits: at idle priority. inspect() and start() end it, with kCancelled.
  // Requires: none is under way.
  virtual void inspect_idly(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) {
    inspect(spec, std::move(done));
  }
  // Errors: kIo, kInvalidArgument.
  virtual Result<std::unique_ptr<Engine>> start(const ModelSpec& spec, const ModelMetadata& metadata,
                                                std::shared_ptr<EngineLog> log, Engine::Handlers handlers) = 0;
};

}  // namespace minerva
