// Long because the way of one request is one state machine, whose steps share the state of a Relay.
#include "server/proxy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "api/dialect.h"
#include "api/needs.h"
#include "api/preset.h"
#include "api/prompt_progress.h"
#include "api/props.h"
#include "api/response_format.h"
#include "api/sse.h"
#include "base/log.h"
#include "server/abilities.h"
#include "server/access.h"
#include "server/activity.h"
#include "server/incoming_body.h"
#include "server/routes.h"

namespace minerva {
namespace {

// How long the status of a waiting stream is held back, so that an early refusal can still have its own status.
constexpr auto kHoldStatus = std::chrono::seconds(2);
constexpr auto kHeartbeat = std::chrono::seconds(1);
// How much of an answer is kept for a client that reads more slowly than its engine generates. Most generations are
// smaller.
constexpr std::size_t kMostUnsent = std::size_t{1} << 20;
constexpr std::size_t kMaxErrorBody = std::size_t{1} << 20;
// How long to wait, after a broken connection, until the engine's death is known, so that the error can say why.
constexpr auto kDeathWait = std::chrono::milliseconds(500);
// How long a client gets to take the reason why its request ends.
constexpr auto kLastWords = std::chrono::seconds(5);

constexpr std::array<std::string_view, 5> kForwardedRequestHeaders = {"content-type", "accept", "anthropic-version",
                                                                      "anthropic-beta", "openai-beta"};
constexpr std::array<std::string_view, 3> kDroppedResponseHeaders = {"server", "keep-alive", "set-cookie"};
constexpr std::string_view kCorsPrefix = "access-control-";

std::string_view cache_header(CacheOutcome outcome) {
  switch (outcome) {
    case CacheOutcome::kHit:
      return "hit";
    case CacheOutcome::kParked:
      return "parked";
    case CacheOutcome::kMiss:
      break;
  }
  return "miss";
}

// While it exists, the end of any engine's process wakes `woken`.
class EngineEndWatcher {
 public:
  explicit EngineEndWatcher(Service& service) : woken(service.loop), service_(service) {
    service_.engine_end_watchers.insert(&woken);
  }
  EngineEndWatcher(const EngineEndWatcher&) = delete;
  EngineEndWatcher& operator=(const EngineEndWatcher&) = delete;
  ~EngineEndWatcher() { service_.engine_end_watchers.erase(&woken); }

  io::Signal woken;

 private:
  Service& service_;
};

// One request on its way through the proxy. Lives on the coroutine of proxy().
class Relay {
 public:
  Relay(Service& service, Exchange& exchange, std::optional<TranslatedRequest> translated)
      : service_(service),
        x_(exchange),
        deadline_(exchange.arrived + service.config.request_timeout),
        translated_(std::move(translated)),
        body_(exchange, service.config),
        next_beat_(exchange.arrived + kHoldStatus),
        wrote_(service.loop),
        note_(service.activity, exchange, exchange.route->reach != Reach::kLook, [this] { cancel(); }) {}

  io::Task<void> run() {
    io::Timer overdue_timer(service_.loop);
    overdue_timer.arm(deadline_, [this] { overdue(); });
    co_await work();
    // A client that reads slowly takes the rest now, while its engine already serves others.
    while (writes_) co_await wrote_.wait();
    if (x_.connection.unsent() > 0) co_await write_unsent();
    x_.connection.keep_unsent(false);
  }

 private:
  io::Task<void> work() {
    x_.connection.limit_reads(deadline_);
    if (auto failed = co_await read_routing()) co_return co_await refuse(is_late() ? too_late() : *failed);
    model_ = co_await service_.name_for_request(model_);
    if (auto failed = co_await take_preset()) co_return co_await refuse(is_late() ? too_late() : *failed);
    if (auto failed = co_await mend_body()) co_return co_await refuse(is_late() ? too_late() : *failed);
    note_.enter(Activity::Phase::kWaiting);
    const auto model = co_await service_.resolve_until(model_, deadline_);
    if (!model) co_return co_await refuse(too_late());
    if (!*model) co_return co_await refuse(model->error());
    x_.model = **model;
    if (auto refused = settle_reach()) co_return co_await x_.error(*refused);
    if (auto refused = co_await refuse_what_it_cannot()) co_return co_await refuse(is_late() ? too_late() : *refused);
    // The body comes first: a request takes no slot while its body arrives.
    if (slots_it_takes() > 0) {
      if (auto failed = co_await read_whole_body()) co_return co_await refuse(is_late() ? too_late() : *failed);
      if (const auto refused = refuse_late_slots()) co_return co_await refuse(*refused);
    }
    ask_for_progress();
    Result<Lease> lease = co_await wait_for_lease(std::nullopt);
    while (lease) {
      x_.waited = Clock::now() - x_.arrived;
      // Bytes that went from the client to the engine and were not kept cannot be sent again.
      may_retry_ = body_.whole();
      const std::optional<LeaseEnd> end = co_await relay(*lease);
      x_.connection.unwatch_peer();
      if (end) co_return lease->release(*end);
      // The engine died before it answered. The core decides whether the request gets another engine.
      lease = co_await wait_for_lease(std::move(*lease));
    }
    if (lease.error().code == ErrorCode::kModelNotLoaded && x_.path == "/props") co_return co_await tell_props();
    co_await refuse(lease.error());
  }

  // Decides whether this is a look or a use, and refuses a route that the model's engine does not have.
  std::optional<Error> settle_reach() {
    const Reach reach = x_.route->reach;
    const ModelSpec* const spec = service_.catalog.find(x_.model);
    if (reach == Reach::kCommand && spec != nullptr && spec->command.argv.empty()) {
      return Error{ErrorCode::kUnsupported,
                   fmt::format("\"{}\" is run by llama.cpp's server, which has no {}. A model with a `command` in the "
                               "config can have it.",
                               x_.model, x_.path),
                   "model"};
    }
    // An engine's slots tell of everybody's requests.
    if (engine_path() == "/slots" && spec != nullptr && spec->command.argv.empty()) {
      if (auto refused = refuse_among_several(service_.config, x_.caller, "see the slots of all")) return refused;
    }
    if (reach != Reach::kLook) return std::nullopt;
    looking_ = true;
    if (x_.request.method == "POST") return std::nullopt;
    const Result<bool> autoload = x_.query.flag("autoload", false);
    if (!autoload) return autoload.error();
    if (!*autoload) return std::nullopt;
    if (x_.request.headers.find("sec-fetch-site") != nullptr) {
      return Error{ErrorCode::kForbidden, "A browser's GET loads nothing: POST /v1/models/{id}/load does."};
    }
    looking_ = service_.host.context().residency(x_.model, Clock::now()) == Residency::kHot;
    return std::nullopt;
  }

  // Answers GET /props as far as that is known without an engine.
  io::Task<void> tell_props() {
    const Result<FittedModel> fitted = co_await service_.inspect(x_.model);
    if (!fitted) co_return co_await x_.error(fitted.error());
    const ModelMetadata* const metadata = &fitted->metadata;
    api::PropsAnswer answer;
    answer.model = x_.model;
    answer.state = service_.host.context().residency(x_.model, Clock::now());
    answer.quantization = metadata->quantization;
    answer.chat_template = metadata->chat_template;
    answer.context = metadata->context;
    answer.input_modalities = metadata->input_modalities;
    if (const ModelSpec* const spec = service_.catalog.find(x_.model)) {
      answer.path = spec->path;
      answer.slots = fitted->reduction.parallel.value_or(slots_of(*spec));
    }
    co_await x_.json(200, api::props_json(answer));
  }

  // The whole request has taken too long. A client that does not read gets only kLastWords more.
  void overdue() {
    aborted_ = too_late();
    if (engine_) engine_->close();
    x_.connection.limit_writes(Clock::now() + kLastWords);
  }

  // An operator cancels the request, whatever it does: its wait ends now, and refuse() tells the client. A client that
  // does not read gets only kLastWords more.
  void cancel() {
    cancelled_ = true;
    aborted_ = Error{ErrorCode::kCancelled, "An operator has cancelled the request."};
    x_.connection.limit_reads(Clock::now());
    x_.connection.limit_writes(Clock::now() + kLastWords);
    if (waits_ != nullptr) waits_->notify();
    if (engine_) engine_->close();
  }

  bool is_late() const { return Clock::now() >= deadline_; }
  Error too_late() const {
    return {ErrorCode::kEngineTimeout,
            fmt::format("The answer was not complete within limits.request_timeout ({}). Ask for fewer tokens, or "
                        "raise it.",
                        in_words(deadline_ - x_.arrived))};
  }

  // Frees the body: it cannot be sent again, or need not be.
  void forget_body() {
    std::string().swap(body_.text());
    if (translated_) std::string().swap(translated_->body);
    x_.queued.release();
  }

  // Reads the body as far as the model is known, and finds the model.
  io::Task<std::optional<Error>> read_routing() {
    if (translated_) {
      model_ = translated_->model;
      stream_ = translated_->stream;
      note_.set_stream(stream_);
      co_return std::nullopt;
    }
    if (const std::string* model = x_.query.find("model")) model_ = *model;
    if (x_.request.has_body()) {
      const Result<api::Routing> routing = co_await body_.read_routing();
      if (!routing) co_return routing.error();
      if (routing->model) model_ = *routing->model;
      take(*routing);
    }
    if (!x_.path_model.empty()) model_ = x_.path_model;
    if (model_.empty()) model_ = service_.default_for(x_.path);
    co_return std::nullopt;
  }

  void take(const api::Routing& routing) {
    stream_ = routing.stream;
    note_.set_stream(stream_);
    take_slots(routing);
    has_response_format_ = routing.response_format;
  }

  void take_slots(const api::Routing& routing) {
    slots_ = routing.slots;
    names_slot_ = routing.names_slot;
    is_private_ = routing.is_private;
  }

  // Reads the rest of the body. A model that is named there does not count any more.
  io::Task<std::optional<Error>> read_whole_body() {
    if (translated_ || !x_.request.has_body() || body_.whole()) co_return std::nullopt;
    const Result<api::Routing> routing = co_await body_.read_rest();
    if (!routing) co_return routing.error();
    take(*routing);
    co_return std::nullopt;
  }

  // The path and the body that the engine gets.
  std::string_view engine_path() const { return translated_ ? translated_->path : x_.path; }
  std::string& engine_body() { return translated_ ? translated_->body : body_.text(); }

  // Replaces the body. Requires: it was read as a whole.
  std::optional<Error> replace_body(std::string body) {
    std::string& text = engine_body();
    if (body.size() > service_.config.max_body.count()) return body_too_large(service_.config.max_body);
    if (body.size() > text.size() && !x_.queued.add(body.size() - text.size())) return too_many_bodies();
    text = std::move(body);
    replaced_ = true;
    return std::nullopt;
  }

  // If the request names a preset: reads the whole body, since the members that the preset changes may come last, and
  // changes it.
  io::Task<std::optional<Error>> take_preset() {
    if (service_.find_preset(model_) == nullptr) co_return std::nullopt;
    if (auto failed = co_await read_whole_body()) co_return failed;
    co_return apply_preset();
  }

  // Applies the preset to the body, if the request names one. Requires: the body was read as a whole.
  std::optional<Error> apply_preset() {
    const api::Preset* const preset = service_.find_preset(model_);
    if (preset == nullptr) return std::nullopt;
    preset_ = preset->id;
    api::RoutingScan scan(/*note_members=*/true);
    if (translated_) scan.feed(translated_->body);
    if (scan.failed()) return std::nullopt;  // the body is no object: the engine refuses it
    const std::vector<api::MemberSpan>* const members = translated_ ? scan.members() : body_.members();
    if (members == nullptr) return std::nullopt;
    Result<std::string> rewritten = api::rewrite(*preset, api::prompt_form(engine_path()), engine_body(), *members);
    if (!rewritten) return rewritten.error();
    api::RoutingScan of_rewritten;
    of_rewritten.feed(*rewritten);
    take_slots(of_rewritten.seen());
    return replace_body(*std::move(rewritten));
  }

  // Asks llama.cpp to report how far it has read the prompt, if these reports can be taken out of the stream again. A
  // body that is too large to be kept stays unchanged.
  void ask_for_progress() {
    const ModelSpec* const spec = service_.catalog.find(x_.model);
    if (!stream_ || !body_.whole() || spec == nullptr || !spec->command.argv.empty()) return;
    const std::vector<api::MemberSpan>* members = body_.members();
    api::RoutingScan scan(/*note_members=*/true);
    if (translated_ || replaced_) {
      scan.feed(engine_body());
      members = scan.failed() ? nullptr : scan.members();
    }
    if (members != nullptr && api::ask_for_progress(engine_path(), engine_body(), *members)) progress_.emplace();
  }

  // Turns a response_format of other servers into the engine's.
  io::Task<std::optional<Error>> mend_body() {
    if (!has_response_format_) co_return std::nullopt;
    if (auto failed = co_await read_whole_body()) co_return failed;
    std::optional<std::string> mended = api::mend_response_format(body_.text());
    co_return mended ? replace_body(*std::move(mended)) : std::nullopt;
  }

  // Refuses what the model cannot do, before anything is loaded, woken or evicted for the request. A model that is not
  // known yet is inspected first. If that fails, the core refuses the request.
  io::Task<std::optional<Error>> refuse_what_it_cannot() {
    const api::Work work = api::work_of(engine_path());
    const ModelSpec* spec = service_.catalog.find(x_.model);
    if (work == api::Work::kAny || spec == nullptr || !spec->command.argv.empty()) co_return std::nullopt;
    if (names_slot()) co_return refuse_named_slot();
    const ModelMetadata* known = service_.host.metadata(x_.model);
    if (known == nullptr) {
      const auto inspection = service_.begin_inspection(x_.model);
      if (!co_await wait_for(inspection->woken, deadline_, [&] { return inspection->answer.has_value(); }))
        co_return gone_error();
      spec = service_.catalog.find(x_.model);
      known = service_.host.metadata(x_.model);
    }
    if (spec == nullptr || known == nullptr) co_return std::nullopt;
    if (auto refused = refuse_work(*spec, *known, work)) co_return refused;
    if (auto refused = refuse_many_answers(*spec, work)) co_return refused;
    const api::MediaKinds taken = media_taken(*known);
    if (!reads_parts(work)) co_return std::nullopt;
    if (auto failed = co_await read_whole_body()) co_return failed;
    if (const auto media = api::find_media(engine_body(), taken)) co_return refuse_media(x_.model, taken, *media);
    co_return std::nullopt;
  }

  // The host is asked what gave way only for a request that wants several answers.
  std::optional<Error> refuse_many_answers(const ModelSpec& spec, api::Work work) const {
    if (slots_ <= 1) return std::nullopt;
    return refuse_answers(service_.host.as_run(spec), work, slots_);
  }

  // Judges the slots that the whole body asks for: the members that ask for slots may come last.
  std::optional<Error> refuse_late_slots() const {
    const api::Work work = api::work_of(engine_path());
    const ModelSpec* const spec = service_.catalog.find(x_.model);
    if (work == api::Work::kAny || spec == nullptr || !spec->command.argv.empty()) return std::nullopt;
    if (names_slot()) return refuse_named_slot();
    return refuse_many_answers(*spec, work);
  }

  unsigned slots_it_takes() const {
    switch (takes_of(x_.request.method, engine_path())) {
      case Takes::kNoSlot:
        return 0;
      case Takes::kOneSlot:
        return 1;
      case Takes::kSlots:
        break;
    }
    return std::max(1U, slots_);
  }

  bool names_slot() const { return names_slot_ && takes_of(x_.request.method, engine_path()) != Takes::kNoSlot; }

  static Error gone_error() { return {ErrorCode::kCancelled, "the client went away"}; }

  // Waits until `done()` is true or `end` has come. A stream gets heartbeats meanwhile. false: the client went away, or
  // the request was cancelled.
  template <typename Done>
  io::Task<bool> wait_for(io::Signal& woken, TimePoint end, Done done) {
    bool gone = false;
    waits_ = &woken;
    if (!done() && body_.whole()) {
      x_.connection.watch_peer([&] {
        gone = true;
        woken.notify();
      });
    }
    while (!done() && !gone && !cancelled_ && Clock::now() < end) {
      const bool notified = co_await woken.wait_until(stream_ ? std::min(next_beat_, end) : end);
      if (notified || done() || gone || cancelled_ || Clock::now() >= end) continue;
      gone = !co_await heartbeat(service_.progress(x_.model), nullptr);
    }
    waits_ = nullptr;
    x_.connection.unwatch_peer();
    co_return !gone && !cancelled_;
  }

  // Waits for a lease. A stream gets heartbeats meanwhile. `lost`: the lease whose engine died.
  io::Task<Result<Lease>> wait_for_lease(std::optional<Lease> lost) {
    if (cancelled_) co_return fail(gone_error());
    note_.enter(Activity::Phase::kWaiting);
    io::Signal woken(service_.loop);
    std::optional<Result<Lease>> answer;
    const auto take_answer = [&](Result<Lease> result) {
      answer = std::move(result);
      woken.notify();
    };
    const bool again = lost.has_value();
    if (!again) outcome_ = outcome_now();
    const TimePoint deadline = std::min((again ? Clock::now() : x_.arrived) + service_.config.max_wait, deadline_);
    const RequestId request =
        again ? service_.host.retry(std::move(*lost), deadline, take_answer)
              : service_.host.acquire(x_.model, deadline, take_answer, x_.caller, looking_, slots_it_takes());
    // If the model is hot and has a free slot, the answer is there already.
    if (!co_await wait_for(woken, TimePoint::max(), [&] { return answer.has_value(); })) {
      // If the client went away just when the answer came, the lease is dropped: nothing starts for a client that is
      // gone.
      if (!answer) service_.host.cancel(request);
      co_return fail(gone_error());
    }
    const bool died_again = again && !*answer && is_death(answer->error().code);
    if (died_again) co_return fail(broke_off(answer->error()));
    if (*answer) note_.granted();
    co_return std::move(*answer);
  }

  // How the core will count the request if it comes now.
  CacheOutcome outcome_now() const {
    switch (service_.host.context().residency(x_.model, Clock::now())) {
      case Residency::kHot:
        return CacheOutcome::kHit;
      case Residency::kParking:
      case Residency::kParked:
      case Residency::kWaking:
        return CacheOutcome::kParked;
      default:
        return CacheOutcome::kMiss;
    }
  }

  static bool is_death(ErrorCode code) {
    return code == ErrorCode::kEngineCrashed || code == ErrorCode::kEngineTimeout;
  }

  // false: the client is gone. `lease`: nullptr while there is none.
  io::Task<bool> heartbeat(std::string progress, const Lease* lease) {
    next_beat_ = Clock::now() + kHeartbeat;
    const std::string beat = api::heartbeat(x_.dialect, progress);
    if (beat.empty()) co_return true;
    stream_began_ = true;
    if (x_.connection.started()) co_return co_await x_.connection.send(beat);
    co_return co_await x_.connection.start_with(stream_head(lease), beat);
  }

  io::ResponseHead stream_head(const Lease* lease) {
    x_.status = 200;
    io::ResponseHead head;
    head.headers.add("Content-Type", std::string(api::stream_type(x_.dialect)));
    head.headers.add("Cache-Control", "no-cache");
    add_own_headers(head, lease);
    return head;
  }

  // `lease`: nullptr while there is none.
  void add_own_headers(io::ResponseHead& head, const Lease* lease) {
    head.headers.add("x-request-id", x_.request_id);
    head.headers.add("x-minerva-model", x_.model);
    if (!preset_.empty()) head.headers.add("x-minerva-preset", preset_);
    head.headers.add("x-minerva-cache", std::string(cache_header(lease == nullptr ? outcome_ : lease->outcome())));
    if (lease == nullptr) return;
    const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(lease->waited());
    head.headers.add("x-minerva-wait-ms", std::to_string(waited.count()));
  }

  // Answers with an error, in whatever form the answer still allows.
  io::Task<void> refuse(const Error& error) {
    if (cancelled_) co_return co_await tell_cancelled();
    if (error.code == ErrorCode::kCancelled) {
      x_.status = error_info(error.code).http_status;
      co_return x_.connection.abort();
    }
    if (!x_.connection.started()) co_return co_await x_.error(error);
    x_.status = error_info(error.code).http_status;
    if (stream_began_) co_return co_await end_stream(api::error_body(x_.dialect, error));
    x_.connection.abort();  // so that the client does not take the part for the whole
  }

  io::Task<void> tell_cancelled() {
    const int status = error_info(ErrorCode::kCancelled).http_status;
    std::string body = api::error_body(x_.dialect, *aborted_);
    if (!x_.connection.started()) co_return co_await x_.respond(status, "application/json", std::move(body));
    x_.status = status;
    if (stream_began_) co_return co_await end_stream(body);
    x_.connection.abort();  // as in refuse()
  }

  io::Task<void> end_stream(const std::string& error_body) {
    const std::string last = api::stream_error(x_.dialect, error_body);
    co_await x_.connection.send(last);
    co_await x_.connection.finish();
  }

  // Relays the request and the answer. Returns how the lease ends; nothing when the engine died before it answered, so
  // that the request may be tried again.
  io::Task<std::optional<LeaseEnd>> relay(Lease& lease) {
    lease.on_abort([this](Error error) {
      aborted_ = std::move(error);
      if (engine_) engine_->close();
    });
    x_.connection.keep_unsent(true);
    // The engine may close a kept connection at any moment, and a body that is not kept could not be sent again. So
    // such a body gets a fresh connection.
    for (bool fresh = !body_.whole();; fresh = true) {
      auto taken = co_await service_.pool.take(lease.engine(), lease.address(), fresh);
      if (!taken) co_return co_await broken(lease);
      engine_ = std::move(taken->connection);
      if (aborted_) engine_->close();  // it was aborted while it connected
      // Even if the engine did not take the whole request, what it answers counts.
      co_await send_request(lease);
      if (!may_retry_) forget_body();
      if (body_.whole()) watch_client();
      Result<io::ResponseHead> response = co_await read_response(lease);
      if (!response || gone_) {
        // The engine may have closed a kept connection just now, and has seen nothing of the request.
        if (taken->reused && !gone_ && !aborted_) {
          x_.connection.unwatch_peer();
          continue;
        }
        co_return co_await broken(lease);
      }
      // An engine that is used by itself (upstream.h) may redirect.
      const bool good = response->status >= 200 && response->status < (x_.path_model.empty() ? 300 : 400);
      bool again = false;
      const auto end = good ? co_await relay_answer(lease, *response) : co_await relay_error(lease, *response, again);
      if (again) {
        x_.connection.unwatch_peer();
        service_.pool.give(lease.engine(), std::move(engine_));
        continue;
      }
      if (end == LeaseEnd::kCompleted) service_.pool.give(lease.engine(), std::move(engine_));
      co_return end;
    }
  }

  io::Task<Result<io::ResponseHead>> read_response(Lease& lease) {
    const Lease::EngineWait wait(lease);
    co_return co_await engine_->read_response();
  }

  // The engine sends nothing more. Answers with the reason, unless the request may be tried again.
  io::Task<std::optional<LeaseEnd>> broken(Lease& lease) {
    std::optional<Error> error;
    if (!gone_ && !aborted_) error = co_await engine_error(lease);
    if (gone_) {
      co_await refuse(gone_error());
      co_return LeaseEnd::kCancelled;
    }
    if (aborted_) {
      co_await refuse(*aborted_);
      co_return cancelled_ ? LeaseEnd::kCancelled : LeaseEnd::kFailed;
    }
    if (may_retry_ && !answered_ && !service_.host.engine_alive(lease.engine())) co_return std::nullopt;
    co_await refuse(*error);
    co_return LeaseEnd::kFailed;
  }

  void watch_client() {
    x_.connection.watch_peer([this] {
      gone_ = true;
      engine_->close();  // the engine ends the generation when its client is gone
    });
  }

  // "?a=b", or nothing; without the parameter "model".
  std::string query_without_model() const {
    if (!x_.path_model.empty()) return x_.raw_query.empty() ? std::string() : "?" + x_.raw_query;
    std::string result;
    std::string_view rest = x_.raw_query;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('&'), rest.size());
      const std::string_view parameter = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (parameter.empty() || parameter == "model" || parameter.starts_with("model=")) continue;
      result += result.empty() ? '?' : '&';
      result += parameter;
    }
    return result;
  }

  // Says to minerva-engine whose conversations the request may find, and whether it is to be forgotten. A client's own
  // headers of these names go to no engine.
  void add_tenant(io::RequestHead& head) const {
    const ModelSpec* const spec = service_.catalog.find(x_.model);
    if (spec == nullptr || !spec->command.argv.empty()) return;
    const std::optional<std::string> tenant = service_.conversations.tenant_of(x_.caller);
    if (tenant) head.headers.add(protocol::kTenantHeader, *tenant);
    if (is_private_) head.headers.add(protocol::kPrivateHeader, "1");
  }

  io::Task<void> send_request(Lease& lease) {
    io::RequestHead head;
    head.method = x_.request.method == "HEAD" ? "GET" : x_.request.method;  // the connection drops the body
    head.target = std::string(engine_path()) + (translated_ ? std::string() : query_without_model());
    head.headers.add("Host", "localhost");
    for (const io::HeaderField& field : x_.request.headers) {
      const auto matches = [&](std::string_view name) { return io::equal_ignoring_case(name, field.name); };
      if (std::any_of(kForwardedRequestHeaders.begin(), kForwardedRequestHeaders.end(), matches)) {
        head.headers.add(field.name, field.value);
      }
    }
    if (translated_) head.headers.set("Content-Type", "application/json");
    add_tenant(head);
    const std::string& body = engine_body();
    if (!body_.whole()) {
      head.content_length = x_.request.content_length;
    } else if (x_.request.has_body()) {
      head.content_length = body.size();
    }
    bool sent = false;
    {
      const Lease::EngineWait wait(lease);
      sent = co_await engine_->send_request(head, body);
    }
    while (sent && !body_.whole()) {
      // The rest of a large body is scanned on its way. That is in time: the engine begins only once it has the whole
      // body.
      const Result<std::string_view> piece = co_await body_.next();
      if (!piece) {
        if (!cancelled_) aborted_ = is_late() ? too_late() : body_.refusal();
        gone_ = !aborted_;
        engine_->close();
        co_return;
      }
      const Lease::EngineWait wait(lease);
      sent = co_await engine_->send_body(*piece);
    }
  }

  // The next piece of the engine's answer; empty at its end; nothing when it broke off.
  io::Task<std::optional<std::string_view>> next_piece(Lease& lease) {
    const Lease::EngineWait wait(lease);
    const Result<std::string_view> piece = co_await engine_->read_body();
    if (piece && !gone_) co_return *piece;
    co_return std::nullopt;
  }

  io::Task<std::optional<LeaseEnd>> relay_answer(Lease& lease, io::ResponseHead& response) {
    const std::string* type = response.headers.find("content-type");
    const bool is_stream = translated_ ? stream_ : type != nullptr && type->starts_with("text/event-stream");
    stream_began_ = stream_began_ || is_stream;
    const bool may_have_comments = is_stream && !translated_ && !response.content_length;
    api::SseComments comments;
    if (progress_) progress_.emplace();  // an earlier engine may have begun to read
    x_.status = response.status;
    while (true) {
      std::optional<std::string_view> piece = co_await next_piece(lease);
      if (!piece) co_return co_await broken(lease);
      const bool ends = piece->empty() || engine_->body_done();
      std::string rest;  // of the piece, without the reports of progress
      if (is_stream && progress_ && !progress_->done()) {
        rest = without_progress(*piece, ends);
        piece = rest;
        if (rest.empty() && !ends) {
          if (Clock::now() >= next_beat_ && !co_await heartbeat(reading_, &lease)) co_return client_gone();
          continue;
        }
      }
      note_.take(*piece);
      if (!std::exchange(answered_, true)) forget_body();
      std::optional<std::string> translation;  // what is sent in place of the piece, if that differs
      if (translated_) {
        Result<std::string> text = translate(*piece, ends);
        if (!text) {
          co_await refuse(text.error());
          co_return LeaseEnd::kFailed;
        }
        translation = *std::move(text);
        if (translation->empty() && !ends) continue;
      } else if (may_have_comments) {
        translation = comments.without_blank_lines(*piece);
      }
      const std::string_view out = translation ? std::string_view(*translation) : *piece;
      note_.answering();
      bool taken = false;
      if (x_.connection.started()) {
        taken = co_await x_.connection.send(out);
      } else {
        io::ResponseHead head = answer_head(lease, response);
        if (translated_ && ends) head.content_length = out.size();
        taken = co_await x_.connection.start_with(std::move(head), out);
      }
      if (!co_await keep_up(taken)) co_return client_gone();
      if (ends) break;
    }
    co_await x_.connection.finish();
    co_return LeaseEnd::kCompleted;
  }

  // Takes the reports of progress out of the piece, and notes them.
  std::string without_progress(std::string_view piece, bool ends) {
    std::string rest = progress_->take(piece);
    if (ends) rest += progress_->finish();
    if (const auto& so_far = progress_->so_far()) {
      note_.reading(*so_far);
      reading_ = api::reading_text(*so_far);
    }
    return rest;
  }

  // To be called after each piece of the answer. What the client does not take at once is kept and sent later, while
  // the engine goes on, as long as there is room for it. false: the client is gone.
  io::Task<bool> keep_up(bool sent) {
    if (!sent || x_.connection.unsent() == 0) co_return sent;
    if (!writes_) {
      writes_ = true;
      service_.loop.spawn(write_unsent());
    }
    if (most_unsent_ == 0 && x_.queued.add(kMostUnsent)) most_unsent_ = kMostUnsent;
    while (writes_ && x_.connection.unsent() > most_unsent_) co_await wrote_.wait();
    co_return taken_;
  }

  io::Task<void> write_unsent() {
    taken_ = co_await x_.connection.flush([this] { wrote_.notify(); });
    writes_ = false;
    wrote_.notify();
  }

  LeaseEnd client_gone() {
    gone_ = true;
    engine_->close();
    x_.status = error_info(ErrorCode::kCancelled).http_status;
    return LeaseEnd::kCancelled;
  }

  Result<std::string> translate(std::string_view piece, bool ends) {
    Result<std::string> text = translated_->answer->take(piece);
    if (!text || !ends) return text;
    Result<std::string> rest = translated_->answer->finish();
    if (!rest) return rest;
    return *text + *rest;
  }

  io::ResponseHead answer_head(const Lease& lease, io::ResponseHead& response) {
    io::ResponseHead head;
    head.status = response.status;
    head.content_length = response.content_length;
    head.headers = std::move(response.headers);
    head.headers.remove_if([](std::string_view name) {
      const auto matches = [&](std::string_view dropped) { return io::equal_ignoring_case(dropped, name); };
      return io::equal_ignoring_case(name.substr(0, kCorsPrefix.size()), kCorsPrefix) ||
             std::any_of(kDroppedResponseHeaders.begin(), kDroppedResponseHeaders.end(), matches);
    });
    if (translated_) {
      head.headers.set("Content-Type", std::string(translated_->answer->content_type()));
      head.content_length.reset();
    }
    add_own_headers(head, &lease);
    return head;
  }

  // Relays the engine's refusal, in the dialect's shape. `again`: set if there is a smaller body to send; the exchange
  // is not answered then.
  io::Task<std::optional<LeaseEnd>> relay_error(Lease& lease, const io::ResponseHead& response, bool& again) {
    std::string body;
    while (true) {
      const std::optional<std::string_view> piece = co_await next_piece(lease);
      if (!piece) co_return co_await broken(lease);
      if (piece->empty()) break;
      if (body.size() < kMaxErrorBody) body += *piece;
    }
    if (auto smaller = translated_ ? translated_->answer->smaller_body(response.status, body) : std::nullopt) {
      translated_->body = *std::move(smaller);
      again = !apply_preset();
      if (again) co_return std::nullopt;
    }
    const api::EngineError refusal = api::engine_error(x_.dialect, response.status, body);
    x_.status = refusal.status;
    if (x_.connection.started()) {
      co_await end_stream(refusal.body);
      co_return LeaseEnd::kCompleted;
    }
    io::ResponseHead head;
    head.status = refusal.status;
    head.headers.add("Content-Type", "application/json");
    add_own_headers(head, &lease);
    co_await x_.connection.respond(std::move(head), refusal.body);
    co_return LeaseEnd::kCompleted;
  }

  // The reason why the engine did not answer. Waits a moment for the engine's death to be known.
  io::Task<Error> engine_error(const Lease& lease) {
    const TimePoint give_up = Clock::now() + kDeathWait;
    EngineEndWatcher engine_end(service_);
    bool in_time = true;
    while (in_time && service_.host.engine_alive(lease.engine()))
      in_time = co_await engine_end.woken.wait_until(give_up);
    if (const auto death = service_.host.cause_of_death(lease.engine())) co_return broke_off(*death);
    const std::string last = service_.host.log(x_.model)->last_words();
    co_return broke_off(
        {ErrorCode::kEngineCrashed, "it broke off the answer" + (last.empty() ? "" : "; its last log line: " + last)});
  }

  // Puts the reason into a sentence that says what to do next.
  Error broke_off(const Error& reason) const {
    const ErrorCode code = is_death(reason.code) ? reason.code : ErrorCode::kEngineCrashed;
    return {
        code,
        fmt::format("The engine of \"{}\" did not answer to the end: {}. Send the request again; the model is loaded "
                    "anew for it. `minerva logs {}` shows what it wrote.",
                    x_.model, reason.message, x_.model),
        "", reason.retry_after_s};
  }

  Service& service_;
  Exchange& x_;
  const TimePoint deadline_;  // of the whole request
  std::optional<TranslatedRequest> translated_;
  std::string model_;   // the name that the request has
  std::string preset_;  // the preset's id, if the request names one
  bool stream_ = false;
  unsigned slots_ = 1;       // how many slots the request takes, if its route takes slots
  bool names_slot_ = false;  // the body picks a slot
  bool is_private_ = false;  // nothing of the request is kept
  bool has_response_format_ = false;
  bool looking_ = false;
  CacheOutcome outcome_ = CacheOutcome::kMiss;  // what is expected, until there is a lease
  IncomingBody body_;
  std::unique_ptr<io::HttpClientConnection> engine_;
  bool stream_began_ = false;                    // from now on an error is the last piece of the stream
  bool replaced_ = false;                        // the body was replaced
  std::optional<api::PromptProgress> progress_;  // set if the engine was asked to report it
  std::string reading_ = "reading";              // for heartbeats
  TimePoint next_beat_;                          // the time of the next heartbeat, if this is a stream
  io::Signal wrote_;                             // notified when bytes that the connection keeps went out
  bool writes_ = false;                          // write_unsent() is under way
  bool taken_ = true;                            // whether the client was still there when write_unsent() ended
  std::size_t most_unsent_ = 0;                  // the most bytes that may be kept
  bool may_retry_ = false;
  bool answered_ = false;  // part of the engine's answer went to the client
  bool gone_ = false;
  bool cancelled_ = false;       // by an operator
  io::Signal* waits_ = nullptr;  // the signal to notify, while the request waits
  std::optional<Error> aborted_;
  Activity::Entry note_;
};

}  // namespace

io::Task<void> proxy(Service& service, Exchange& exchange) {
  Relay relay(service, exchange, std::nullopt);
  co_await relay.run();
}

io::Task<void> proxy(Service& service, Exchange& exchange, TranslatedRequest request) {
  Relay relay(service, exchange, std::move(request));
  co_await relay.run();
}

}  // namespace minerva
