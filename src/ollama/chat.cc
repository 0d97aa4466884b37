#include "ollama/chat.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "ollama/chat_answer.h"
#include "ollama/messages.h"
#include "ollama/options.h"

namespace minerva::ollama {
namespace {

// The texts of /api/generate.
struct Prompt {
  std::string text;
  std::string suffix;
  std::string system;
  bool raw = false;
};

Result<Prompt> prompt_of(const Json& body) {
  const Result<std::string> text = text_member(body, "prompt");
  const Result<std::string> suffix = text_member(body, "suffix");
  const Result<std::string> system = text_member(body, "system");
  const Result<std::string> own_template = text_member(body, "template");
  for (const Result<std::string>* member : {&text, &suffix, &system, &own_template}) {
    if (!*member) return fail(member->error());
  }
  if (!own_template->empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "\"template\" is not supported: a model's prompt is made by its own chat template. Send the whole "
                "prompt with \"raw\": true.",
                "template");
  }
  if (const Json* context = find_member(body, "context"); context != nullptr && !context->empty()) {
    return fail(ErrorCode::kInvalidArgument, "\"context\" is not supported. Send the conversation to /api/chat.",
                "context");
  }
  const Result<bool> raw = flag_member(body, "raw", false);
  if (!raw) return fail(raw.error());
  return Prompt{*text, *suffix, *system, *raw};
}

// The prompt as the messages of a chat.
Result<Json> prompt_messages(const Prompt& prompt, const Json& body) {
  Json messages = Json::array();
  if (!prompt.system.empty()) messages.push_back({{"role", "system"}, {"content", prompt.system}});
  Result<Json> content = content_of(prompt.text, find_member(body, "images"), "images");
  if (!content) return content;
  messages.push_back({{"role", "user"}, {"content", *std::move(content)}});
  return messages;
}

// The engine's body for a chat.
Result<Json> chat_body(const Request& request, Json messages) {
  Json engine = {{"messages", std::move(messages)}};
  if (const Json* tools = find_member(request.body, "tools"); tools != nullptr && !tools->empty()) {
    if (!tools->is_array()) return fail(wrong_type("tools", "a list"));
    engine["tools"] = *tools;
  }
  Result<Json> schema = schema_of(request.body);
  if (!schema) return schema;
  if (schema->is_object() && schema->empty()) {
    engine["response_format"] = {{"type", "json_object"}};
  } else if (schema->is_object()) {
    engine["response_format"] = {{"type", "json_schema"}, {"json_schema", {{"name", "format"}, {"schema", *schema}}}};
  }
  if (auto refused = add_thinking(request.body, engine)) return fail(*std::move(refused));
  return engine;
}

// The engine's body for a prompt.
Result<Json> raw_body(const Request& request, const Prompt& prompt) {
  Result<Json> schema = schema_of(request.body);
  if (!schema) return schema;
  if (const Json* images = find_member(request.body, "images"); images != nullptr && !images->empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "A raw prompt, and a model without a chat template, takes no images. Send them to /api/chat.",
                "images");
  }
  Json engine = Json::object();
  if (!prompt.suffix.empty()) {
    engine = {{"input_prefix", prompt.text}, {"input_suffix", prompt.suffix}};
  } else {
    engine["prompt"] = prompt.system.empty() ? prompt.text : prompt.system + "\n\n" + prompt.text;
  }
  if (schema->is_object()) engine["json_schema"] = *schema;
  return engine;
}

bool has_tools(const Request& request) {
  const Json* const tools = find_member(request.body, "tools");
  return tools != nullptr && !tools->empty();
}

bool wants_thinking(const Request& request) {
  const Json* const think = find_member(request.body, "think");
  return think != nullptr && (*think == true || (think->is_string() && !is_empty_text(*think)));
}

// In the words of Ollama, which clients look for.
std::optional<Error> refuse_what_it_cannot(Verb verb, const Request& request, const ModelFacts& model) {
  if (verb == Verb::kChat && has_tools(request) && !model.supports_tools) {
    return Error{ErrorCode::kUnsupported, fmt::format("\"{}\" does not support tools", request.model), "tools"};
  }
  if (wants_thinking(request) && !model.supports_thinking) {
    return Error{ErrorCode::kUnsupported, fmt::format("\"{}\" does not support thinking", request.model), "think"};
  }
  return std::nullopt;
}

}  // namespace

bool needs_facts(Verb verb, const Request& request) {
  return verb == Verb::kGenerate || has_tools(request) || wants_thinking(request);
}

bool only_loads(Verb verb, const Request& request) {
  const auto is_empty = [&](const char* name) {
    const Json* const value = find_member(request.body, name);
    return value == nullptr || value->empty() || is_empty_text(*value);
  };
  if (verb == Verb::kChat) return is_empty("messages");
  return is_empty("prompt") && is_empty("suffix") && is_empty("images");
}

std::string loaded_answer(Verb verb, const Request& request, const Answer& answer) {
  Json json = answer_head(answer);
  if (verb == Verb::kChat) {
    json["message"] = {{"role", "assistant"}, {"content", ""}};
  } else {
    json["response"] = "";
  }
  json["done"] = true;
  json["done_reason"] = request.keep_alive && request.keep_alive->leaves_at_once() ? "unload" : "load";
  return api::dump(json);
}

Result<EngineRequest> translate(Verb verb, const Request& request, const ModelFacts& model, Answer answer) {
  if (auto refused = refuse_what_it_cannot(verb, request, model)) return fail(*std::move(refused));
  EngineRequest result;
  result.path = "/v1/chat/completions";
  Result<Json> engine = Json();
  if (verb == Verb::kChat) {
    const Json* const messages = find_member(request.body, "messages");
    engine = openai_messages(messages == nullptr ? Json::array() : *messages).and_then([&](Json translated) {
      return chat_body(request, std::move(translated));
    });
  } else {
    const Result<Prompt> prompt = prompt_of(request.body);
    if (!prompt) return fail(prompt.error());
    if (prompt->raw || !prompt->suffix.empty() || !model.has_chat_template) {
      result.path = prompt->suffix.empty() ? "/completion" : "/infill";
      engine = raw_body(request, *prompt);
    } else {
      engine = prompt_messages(*prompt, request.body).and_then([&](Json messages) {
        return chat_body(request, std::move(messages));
      });
    }
  }
  if (!engine) return fail(engine.error());
  if (auto refused = add_options(request.body, model.context, *engine)) return fail(*std::move(refused));
  (*engine)["model"] = request.model;
  (*engine)["stream"] = request.stream;
  if (request.stream) (*engine)["stream_options"] = {{"include_usage", true}};
  result.body = api::dump(*engine);
  if (auto refused = over_limits(result.body)) return fail(*std::move(refused));
  // A second copy is kept only if there is a turn that could be left out.
  const bool shortens = request.truncate && engine->contains("messages") && turns((*engine)["messages"]) > 1;
  result.answer =
      std::make_unique<ChatAnswer>(verb, request.stream, std::move(answer), shortens ? result.body : std::string());
  return result;
}

}  // namespace minerva::ollama
