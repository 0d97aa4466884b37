// Requests of Ollama's API and the engine's answers to them: the translation reads both, what a client sent and what a
// model was brought to say. The first line of an input is the request; the rest is the engine's answer.
#include "fuzz/input.h"
#include "ollama/chat.h"
#include "ollama/embed.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

namespace {

ollama::Answer answer_to(const ollama::Request& request) {
  return {request.model, TimePoint(), [] { return ollama::Moment{TimePoint() + std::chrono::seconds(1), {}}; }};
}

void check_lines(std::string_view text, bool stream) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    check(stream || end == text.size(), "an answer that is no stream has lines");
    check(api::Json::parse(text.substr(0, end), nullptr, /*allow_exceptions=*/false).is_object(),
          "a line of an answer is no JSON object");
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// What the client gets; for an error "!" and the error.
std::string told(api::AnswerTranslation& answer, std::string_view text, std::size_t piece) {
  std::string out;
  std::optional<Error> error;
  fuzz::in_pieces(text, piece, [&](std::string_view part) {
    if (error) return;
    const Result<std::string> more = answer.take(part);
    if (more) {
      out += *more;
    } else {
      error = more.error();
    }
  });
  if (!error) {
    const Result<std::string> rest = answer.finish();
    if (rest) return out + *rest;
    error = rest.error();
  }
  check(!error->message.empty(), "an error without words");
  return "!" + error->message;
}

template <typename Translate>
void try_out(const ollama::Request& request, std::string_view engine, std::size_t piece, Translate translate) {
  const Result<ollama::EngineRequest> once = translate();
  if (!once) {
    check(!once.error().message.empty(), "a refusal without words");
    return;
  }
  check(api::Json::parse(once->body, nullptr, /*allow_exceptions=*/false).is_object(), "a request that is no object");
  check(!ollama::over_limits(once->body), "a request over the limits");
  const std::string whole = told(*once->answer, engine, 0);
  check(whole == told(*translate()->answer, engine, piece), "the pieces of an answer change what it says");
  const bool stream = once->answer->content_type() == "application/x-ndjson";
  check(stream || request.stream || whole.find('\n') == std::string::npos || whole.starts_with('!'),
        "an answer that is no stream has lines");
  if (!whole.starts_with('!')) check_lines(whole, stream);
  // The engine refuses: each body is smaller than the last one, so that this ends.
  const Result<ollama::EngineRequest> refused = translate();
  std::size_t size = refused->body.size();
  while (const auto smaller = refused->answer->smaller_body(400, engine)) {
    check(smaller->size() < size, "a body that is not smaller");
    size = smaller->size();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  const std::size_t end = std::min(input.text.find('\n'), input.text.size());
  const std::string_view engine = input.text.substr(std::min(end + 1, input.text.size()));
  const Result<ollama::Request> request = ollama::parse_request(input.text.substr(0, end));
  if (!request) {
    check(!request.error().message.empty(), "a refusal without words");
    return 0;
  }
  const std::size_t piece = 1 + (input.steer >> 3);
  const ollama::ModelFacts model{.has_chat_template = (input.steer & 4) != 0, .context = 4096};
  switch (input.steer & 3) {
    case 0:
    case 1: {
      const ollama::Verb verb = (input.steer & 1) == 0 ? ollama::Verb::kChat : ollama::Verb::kGenerate;
      check_lines(ollama::loaded_answer(verb, *request, answer_to(*request)), false);
      try_out(*request, engine, piece, [&] { return translate(verb, *request, model, answer_to(*request)); });
      break;
    }
    default: {
      const auto verb = (input.steer & 1) == 0 ? ollama::EmbedVerb::kEmbed : ollama::EmbedVerb::kEmbedding;
      try_out(*request, engine, piece, [&] { return translate(verb, *request, answer_to(*request)); });
    }
  }
  return 0;
}
