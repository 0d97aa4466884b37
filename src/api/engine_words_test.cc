#include "api/engine_words.h"

#include <gtest/gtest.h>

#include <string>

#include "golden/golden.h"

namespace minerva::api {
namespace {

TEST(EngineWords, FlagsAndExceptionsBecomeMinervasTerms) {
  const char* const messages[] = {
      "This server does not support embeddings. Start it with `--embeddings`",
      "This server does not support reranking. Start it with `--reranking`",
      "Pooling type 'none' is not OAI compatible. Please use a different pooling type",
      "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
      "audio input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
      "The current model does not support audio input.",
      "Multimodal data provided, but model does not support multimodal requests.",
      "Infill is not supported by this model: prefix token is missing. suffix token is missing. ",
      "This server does not support slots action. Start it with `--slot-save-path`",
      "file:// URLs are not allowed unless --media-path is specified",
      "tools param requires --jinja flag",
      "llama.cpp does not support 'previous_response_id'.",
      "unsupported content[].type",
      // The parentheses make one text of two lines: no comma is missing.
      (R"([json.exception.parse_error.101] parse error at line 1, column 60: syntax error while parsing value - invalid )"
       R"(string: surrogate U+D800..U+DBFF must be followed by U+DC00..U+DFFF; last read: '"\ud800"')"),
      "input (1502 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
      "[json.exception.parse_error.101] parse error",
      "[json.exception.type_error.302] type must be string, but is number",
      "[json.exception.type_error.316] invalid UTF-8 byte at index 0: 0xFF",
      "[json.exception.out_of_range.403] key 'content' not found",
      "[json.exception.",
      "Failed to parse messages: [json.exception.type_error.302] type must be string, but is number",
      "Failed to parse messages: Missing 'role' in message",
      "Failed to parse tools: [json.exception.out_of_range.403] key 'function' not found; tools = [\n  {}\n]",
      ("Failed to parse tool call arguments as JSON: [json.exception.parse_error.101] parse error at line 1, column 1: "
       "syntax error while parsing value - unexpected end of input; expected '[', '{', or a literal"),
      "Field 'stop': [json.exception.type_error.302] type must be string, but is number",
      "Field 'n_cmpl': Value must be between 1 <= value <= 2, but got 3",
      "Field 'temperature': type must be number, but is string",
      "\"prompt\" must not be empty",
      "Failed to load image or audio file",
      "Unsupported param: echo",
      "the request exceeds the available context size",
  };
  std::string text;
  for (const char* message : messages) {
    const auto error = in_own_words(message);
    text += error ? std::string(error_info(error->code).name) + " " + error->param + " " + error->message : "as it is";
    text += "\n";
  }
  expect_golden("engine_words.txt", text);
  EXPECT_EQ(text.find("Start it with"), std::string::npos);
  EXPECT_EQ(text.find("exception"), std::string::npos);
}

}  // namespace
}  // namespace minerva::api
