#include "server/ollama_routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "ollama/chat.h"
#include "ollama/embed.h"
#include "ollama/listing.h"
#include "server/access.h"
#include "server/page.h"
#include "server/proxy.h"
#include "server/pull_routes.h"
#include "server/removal.h"
#include "server/waiting.h"

namespace minerva {
namespace {

using std::chrono::system_clock;

// The expiry of a model that has none: clients need some time.
constexpr auto kLongTime = std::chrono::years(100);

// ---- what all of them do ----

// Reads the request. Nothing if it is refused; the exchange is answered then.
io::Task<std::optional<ollama::Request>> read_request(Exchange& x, Bytes limit) {
  const Result<std::string> body = co_await x.body(limit);
  if (!body) {
    co_await x.error(body.error());
    co_return std::nullopt;
  }
  Result<ollama::Request> request = ollama::parse_request(*body);
  if (!request) {
    co_await x.error(request.error());
    co_return std::nullopt;
  }
  co_return *std::move(request);
}

// Finds the model that `name` means. Changes `name` into the id of the model or preset.
// Errors: as Service::resolve().
io::Task<Result<ModelId>> find_model(Service& service, std::string& name) {
  // The catalog knows what a tag of a model means; for a preset the tag is cut off here.
  const auto untagged = ollama::untagged_name(name);
  if (untagged && service.find_preset(*untagged) != nullptr) name = *untagged;
  Result<ModelId> model = co_await service.resolve(name);
  if (model && service.find_preset(name) == nullptr) name = *model;
  co_return model;
}

// Sets the exchange's model; `name` as in find_model(). false: there is no such model, and the exchange is answered.
io::Task<bool> resolve_name(Service& service, Exchange& x, std::string& name) {
  Result<ModelId> model = co_await find_model(service, name);
  if (!model) {
    co_await x.error(model.error());
    co_return false;
  }
  x.model = *std::move(model);
  co_return true;
}

ollama::Answer answer_to(const Exchange& x, const ollama::Request& request) {
  return {request.model, x.arrived, [&x] { return ollama::Moment{Clock::now(), system_clock::now(), x.waited}; }};
}

// ---- requests without a prompt: the model is loaded or unloaded ----

io::Task<Result<Done>> moved(Service& service, Exchange& x, bool goes) {
  Waiting waiting(service.loop);
  const TimePoint unload_by = x.arrived + service.config.unload_timeout;
  const TimePoint load_by = x.arrived + service.config.max_wait + service.config.load_timeout;
  const RequestId request =
      goes ? service.host.unload(x.model, /*force=*/false, unload_by, waiting.callback())
           : service.host.load(x.model, /*preload=*/false, /*force=*/false, load_by, waiting.callback());
  co_return co_await wait_for_answer(service.host, x.connection, waiting, request);
}

// Loads or unloads the model, and then answers with `done`.
io::Task<void> load_only(Service& service, Exchange& x, const ollama::Request& request, std::string done) {
  const bool goes = request.keep_alive && request.keep_alive->leaves_at_once();
  const Result<Done> result = co_await moved(service, x, goes);
  if (!result) co_return co_await x.error(result.error());
  if (!goes) service.keep_alive.forget(x.model);
  if (request.keep_alive && request.keep_alive->time && !goes) {
    service.keep_alive.set(x.model, *request.keep_alive->time);
  }
  co_await x.json(200, std::move(done));
}

// ---- inference ----

io::Task<void> relay(Service& service, Exchange& x, ollama::Request request, ollama::EngineRequest translated) {
  request.body = {};  // its content was moved into the translated request
  co_await proxy(service, x,
                 {std::move(request.model), std::move(translated.path), std::move(translated.body), request.stream,
                  std::move(translated.answer)});
  if (request.keep_alive && request.keep_alive->time) service.keep_alive.set(x.model, *request.keep_alive->time);
}

ollama::ModelFacts facts_in(const ModelMetadata& metadata) {
  return {metadata.has_chat_template, metadata.context, metadata.supports_tools, metadata.supports_thinking};
}

io::Task<ollama::ModelFacts> facts_of(Service& service, const ModelId& id, bool needed) {
  ollama::ModelFacts facts;
  const ModelSpec* const spec = service.catalog.find(id);
  // Nothing is known of a command engine, except that it speaks OpenAI's API.
  if (spec == nullptr || !spec->command.argv.empty()) co_return facts;
  if (const ModelMetadata* known = service.host.metadata(id)) {
    co_return facts_in(*known);
  }
  if (!needed) co_return facts;
  // An error of the inspection is no error here: the load will report it.
  if (const Result<FittedModel> model = co_await service.inspect(id)) {
    facts = facts_in(model->metadata);
  }
  co_return facts;
}

template <ollama::Verb kVerb>
io::Task<void> chat(Service& service, Exchange& x, ModelId /*id*/) {
  std::optional<ollama::Request> request = co_await read_request(x, service.config.max_body);
  if (!request) co_return;
  const ollama::Answer answer = answer_to(x, *request);
  request->model = co_await service.name_for_request(std::move(request->model));
  if (!co_await resolve_name(service, x, request->model)) co_return;
  if (ollama::only_loads(kVerb, *request)) {
    co_return co_await load_only(service, x, *request, ollama::loaded_answer(kVerb, *request, answer));
  }
  const ollama::ModelFacts facts = co_await facts_of(service, x.model, ollama::needs_facts(kVerb, *request));
  Result<ollama::EngineRequest> translated = ollama::translate(kVerb, *request, facts, answer);
  if (!translated) co_return co_await x.error(translated.error());
  co_await relay(service, x, *std::move(request), *std::move(translated));
}

template <ollama::EmbedVerb kVerb>
io::Task<void> embed(Service& service, Exchange& x, ModelId /*id*/) {
  std::optional<ollama::Request> request = co_await read_request(x, service.config.max_body);
  if (!request) co_return;
  request->stream = false;
  const ollama::Answer answer = answer_to(x, *request);
  request->model = co_await service.name_for_request(std::move(request->model));
  if (!co_await resolve_name(service, x, request->model)) co_return;
  const Result<bool> nothing = ollama::embeds_nothing(kVerb, *request);
  if (!nothing) co_return co_await x.error(nothing.error());
  if (*nothing) {
    co_return co_await load_only(service, x, *request, ollama::empty_embedding(kVerb, answer));
  }
  Result<ollama::EngineRequest> translated = ollama::translate(kVerb, *request, answer);
  if (!translated) co_return co_await x.error(translated.error());
  co_await relay(service, x, *std::move(request), *std::move(translated));
}

// ---- listings ----

ollama::TagAnswer tag_answer(const Service& service, const ModelSpec& spec) {
  ollama::TagAnswer tag;
  tag.id = spec.id;
  tag.identity = spec.identity;
  tag.modified = system_clock::time_point(
      std::chrono::duration_cast<system_clock::duration>(std::chrono::nanoseconds(spec.modified_ns)));
  tag.size = spec.size;
  const ModelMetadata* const metadata = service.host.metadata(spec.id);
  if (metadata == nullptr || !spec.command.argv.empty()) return tag;
  tag.details = {metadata->architecture, metadata->parameters, metadata->quantization};
  return tag;
}

io::Task<void> tags(Service& service, Exchange& x, ModelId /*id*/) {
  co_await service.catalog_watch.refresh_if_changed();
  std::vector<ollama::TagAnswer> answers;
  for (const ModelSpec* const spec : service.catalog.list()) {
    if (service.find_preset(spec->id) == nullptr) answers.push_back(tag_answer(service, *spec));
  }
  for (const api::Preset& preset : service.config.presets) {
    const ModelSpec* const spec = service.catalog.find(preset.model);
    if (spec == nullptr) continue;
    answers.push_back(tag_answer(service, *spec));
    answers.back().id = preset.id;
  }
  std::sort(answers.begin(), answers.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  co_await x.json(200, ollama::tags_json(answers));
}

// When the model leaves by itself if it stays idle.
system_clock::time_point expires(const Service& service, const ModelSpec& spec, const ModelView& view) {
  const auto now = system_clock::now();
  const auto in = [&](Duration time) { return now + std::chrono::duration_cast<system_clock::duration>(time); };
  if (const auto at = service.keep_alive.leaves_at(spec.id)) return in(*at - Clock::now());
  const Duration ttl = spec.ttl > Duration::zero() ? spec.ttl : spec.unload_ttl;
  if (ttl <= Duration::zero() || view.pinned) return now + kLongTime;
  return in(std::max(ttl - view.since_last_use.value_or(Duration::zero()), Duration::zero()));
}

io::Task<void> running(Service& service, Exchange& x, ModelId /*id*/) {
  std::vector<ollama::RunningAnswer> answers;
  for (const ModelSpec* const spec : service.catalog.list()) {
    const auto view = service.host.context().model(spec->id, Clock::now());
    if (!view || view->residency != Residency::kHot) continue;
    ollama::RunningAnswer answer;
    answer.model = tag_answer(service, *spec);
    answer.memory = view->memory;
    answer.gpu_memory = view->memory - view->by_pool.host();
    answer.expires = expires(service, *spec, *view);
    if (const ModelMetadata* metadata = service.host.metadata(spec->id)) answer.context = metadata->context;
    answers.push_back(std::move(answer));
  }
  co_await x.json(200, ollama::ps_json(answers));
}

io::Task<void> show(Service& service, Exchange& x, ModelId /*id*/) {
  const std::optional<ollama::Request> request = co_await read_request(x, kMaxSmallBody);
  if (!request) co_return;
  std::string name = request->model;
  if (!co_await resolve_name(service, x, name)) co_return;
  ollama::ShowAnswer answer;
  const ModelSpec* spec = service.catalog.find(x.model);
  const bool is_command = !spec->command.argv.empty();
  answer.can_generate = is_command;
  if (!is_command) {
    const Result<FittedModel> fitted = co_await service.inspect(x.model);
    if (!fitted) co_return co_await x.error(fitted.error());
    const ModelMetadata* const metadata = &fitted->metadata;
    spec = service.catalog.find(x.model);
    if (spec == nullptr) {
      co_return co_await x.error({ErrorCode::kModelNotFound, "The model's file was removed meanwhile.", "model"});
    }
    answer.trained_context = metadata->trained_context;
    answer.context = metadata->context;
    answer.chat_template = metadata->chat_template;
    answer.can_generate = metadata->can_generate;
    answer.can_embed = metadata->can_embed;
    answer.can_infill = metadata->can_infill;
    answer.supports_tools = metadata->supports_tools;
    answer.supports_thinking = metadata->supports_thinking;
    answer.sees = metadata->multimodal;
    answer.values = metadata->file_values;
  }
  answer.model = tag_answer(service, *spec);
  answer.model.id = name;
  co_await x.json(200, ollama::show_json(answer));
}

// ---- models' files ----

std::string status_line(std::string_view status) { return fmt::format("{{\"status\":\"{}\"}}\n", status); }

// The state of a download, as one line.
std::string pull_line(const pull::Job& job) {
  const pull::Progress& progress = job.progress;
  if (job.state == pull::JobState::kDone) return status_line("success");
  if (job.state == pull::JobState::kPaused) {
    const Error paused{ErrorCode::kConflict,
                       fmt::format("The download is paused. POST /v1/downloads/{}/resume goes on.", job.id)};
    return api::error_body(api::Dialect::kOllama, paused) + "\n";
  }
  if (job.ended()) {
    const Error cancelled{ErrorCode::kCancelled, "The download was cancelled."};
    return api::error_body(api::Dialect::kOllama, job.error.value_or(cancelled)) + "\n";
  }
  if (progress.doing.starts_with("checking")) return status_line("verifying sha256 digest");
  if (progress.size == Bytes()) return status_line("pulling manifest");
  return ollama::pull_json(progress.file, progress.commit, progress.size, progress.done) + "\n";
}

// Pulls a model that is not here.
io::Task<void> pull_missing(Service& service, Exchange& x, const std::string& name, bool stream) {
  if (name.find('/') == std::string::npos) {
    co_return co_await x.error(
        {ErrorCode::kModelNotFound,
         fmt::format("There is no model \"{}\" here. Pull one by its repository, as org/repo or hf.co/org/repo:Q4_K_M; "
                     "or put its GGUF file into one of the models folders: it is found at once.",
                     name.substr(0, 200)),
         "model"});
  }
  if (const auto refused = refuse_unless_admin(service.config, x.caller, "pull models"))
    co_return co_await x.error(*refused);
  const Result<const pull::Job*> job = service.downloads.pull(name);
  if (!job) co_return co_await x.error(job.error());
  const std::string id = (*job)->id;
  if (!stream) co_return co_await answer_ended_download(service, x, id, R"({"status":"success"})");
  co_await follow_download(service, x, id, std::string(api::stream_type(api::Dialect::kOllama)), pull_line);
}

io::Task<void> pull_model(Service& service, Exchange& x, ModelId /*id*/) {
  const std::optional<ollama::Request> request = co_await read_request(x, kMaxSmallBody);
  if (!request) co_return;
  std::string name = request->model;
  const Result<ModelId> model = co_await find_model(service, name);
  if (!model && model.error().code == ErrorCode::kModelNotFound) {
    co_return co_await pull_missing(service, x, request->model, request->stream);
  }
  if (!model) co_return co_await x.error(model.error());
  const std::string success = R"({"status":"success"})";
  if (!request->stream) co_return co_await x.json(200, success);
  co_await x.respond(200, std::string(api::stream_type(api::Dialect::kOllama)), success + "\n");
}

// Removes the model's files, as `minerva rm` does. It asks no question: Ollama's clients have done that.
io::Task<void> delete_model(Service& service, Exchange& x, ModelId /*id*/) {
  const std::optional<ollama::Request> request = co_await read_request(x, kMaxSmallBody);
  if (!request) co_return;
  const auto removed = co_await remove_model(service, x, {.name = request->model});
  if (!removed) co_return co_await x.error(removed.error());
  co_await x.respond(200, "application/json", "");
}

io::Task<void> no_create(Service& /*service*/, Exchange& x, ModelId /*id*/) {
  co_await x.error(
      {ErrorCode::kNotSupported,
       "Models are not made over HTTP. Put a GGUF file into one of the models folders; what a Modelfile sets "
       "is a [model] or a [preset] of the config file."});
}

io::Task<void> no_copy(Service& /*service*/, Exchange& x, ModelId /*id*/) {
  co_await x.error(
      {ErrorCode::kNotSupported,
       "Models are not copied over HTTP. Another name for one is an alias of its [model] in the config file, "
       "or a [preset]."});
}

io::Task<void> no_push(Service& /*service*/, Exchange& x, ModelId /*id*/) {
  co_await x.error(
      {ErrorCode::kNotSupported, "Models are not uploaded to a registry from here. Publish the GGUF file itself."});
}

io::Task<void> version(Service& /*service*/, Exchange& x, ModelId /*id*/) {
  co_await x.json(200, ollama::version_json());
}

// Ollama's clients ask here whether the server is there; a browser gets the page.
io::Task<void> root(Service& /*service*/, Exchange& x, ModelId /*id*/) {
  if (wants_page(x.request)) co_return co_await answer_page(x, "index.html");
  x.connection.add_to_answer("Vary", "Accept");
  co_await x.respond(200, "text/plain; charset=utf-8", "Minerva is running");
}

}  // namespace

void add_ollama_routes(std::vector<Route>& table) {
  using ollama::EmbedVerb;
  using ollama::Verb;
  std::vector<Route> rows = {
      {"GET", "/", "the page; for Ollama's clients: it is there", root, /*open=*/true},
      {"GET", "/api/version", "Ollama: which version of its API is spoken", version},
      {"GET", "/api/tags", "Ollama: the catalog", tags},
      {"GET", "/api/ps", "Ollama: the models in memory", running},
      {"POST", "/api/show", "Ollama: one model", show},
      {"POST", "/api/chat", "Ollama: a chat", chat<Verb::kChat>},
      {"POST", "/api/generate", "Ollama: a prompt", chat<Verb::kGenerate>},
      {"POST", "/api/embed", "Ollama: embeddings", embed<EmbedVerb::kEmbed>},
      {"POST", "/api/embeddings", "Ollama: one embedding", embed<EmbedVerb::kEmbedding>},
      {"POST", "/api/pull", "Ollama: pull a model", pull_model},
      {"DELETE", "/api/delete", "Ollama: remove a model's files", delete_model},
      {"POST", "/api/create", "Ollama: models are files and config", no_create},
      {"POST", "/api/copy", "Ollama: another name is an alias or a preset", no_copy},
      {"POST", "/api/push", "Ollama: nothing is uploaded", no_push},
      {"POST", "/api/blobs/{path}", "Ollama: models are files and config", no_create},
      {"GET", "/api/blobs/{path}", "Ollama: models are files and config", no_create},
  };
  for (Route& row : rows) {
    row.dialect = api::Dialect::kOllama;
    table.push_back(row);
  }
}

}  // namespace minerva
