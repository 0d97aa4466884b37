#include "server/abilities.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace minerva {
namespace {

using api::Work;

struct Kind {
  ModelSpec spec;
  ModelMetadata known;
};

// Each kind of model, by its name, and all that it can do.
std::map<std::string, std::pair<Kind, std::set<Work>>> kinds() {
  const auto spec = [](std::vector<std::string> args = {}) {
    ModelSpec result;
    result.id = "m";
    result.args = std::move(args);
    return result;
  };
  ModelMetadata chat;
  chat.can_generate = chat.has_chat_template = true;
  ModelMetadata seeing = chat;
  seeing.multimodal = true;
  ModelMetadata coding = chat;
  coding.can_infill = true;
  ModelMetadata base;
  base.can_generate = true;
  ModelMetadata embedding;
  embedding.can_embed = true;
  ModelMetadata decoder_embedding = chat;
  decoder_embedding.can_embed = true;
  ModelMetadata reranker;
  reranker.can_rerank = true;
  return {
      {"chat", {{spec(), chat}, {Work::kChat, Work::kTemplate, Work::kComplete}}},
      {"seeing", {{spec(), seeing}, {Work::kChat, Work::kTemplate, Work::kComplete, Work::kTranscribe}}},
      {"coding", {{spec(), coding}, {Work::kChat, Work::kTemplate, Work::kComplete, Work::kInfill}}},
      {"base", {{spec(), base}, {Work::kComplete}}},
      {"base with a template of the operator's",
       {{spec({"--chat-template", "chatml"}), base}, {Work::kChat, Work::kTemplate, Work::kComplete}}},
      {"embedding", {{spec(), embedding}, {Work::kEmbed, Work::kEmbedRaw}}},
      {"embedding of a decoder", {{spec(), decoder_embedding}, {Work::kTemplate, Work::kEmbed, Work::kEmbedRaw}}},
      {"reranker", {{spec(), reranker}, {Work::kRerank}}},
      {"chat that embeds too, as the operator wants it",
       {{spec({"--embeddings"}), chat}, {Work::kChat, Work::kTemplate, Work::kComplete, Work::kEmbedRaw}}},
  };
}

TEST(Abilities, EachKindOfModelAndEachKindOfWork) {
  for (const auto& [name, row] : kinds()) {
    const auto& [model, can] = row;
    for (const Work work : {Work::kAny, Work::kChat, Work::kTemplate, Work::kComplete, Work::kInfill, Work::kEmbed,
                            Work::kEmbedRaw, Work::kRerank, Work::kTranscribe}) {
      const auto refused = refuse_work(model.spec, model.known, work);
      EXPECT_EQ(refused.has_value(), work != Work::kAny && !can.contains(work))
          << name << " " << static_cast<int>(work);
      if (!refused) continue;
      EXPECT_EQ(refused->code, ErrorCode::kUnsupported);
      EXPECT_EQ(refused->param, "model");
      EXPECT_TRUE(refused->message.starts_with("\"m\" ")) << refused->message;
    }
  }
}

TEST(Abilities, NoMoreAnswersThanSlots) {
  ModelSpec spec;
  spec.id = "m";
  spec.parallel = 2;
  EXPECT_FALSE(refuse_answers(spec, Work::kChat, 2));
  EXPECT_FALSE(refuse_answers(spec, Work::kEmbed, 3));
  const auto refused = refuse_answers(spec, Work::kChat, 3);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, ErrorCode::kUnsupported);
  EXPECT_EQ(refused->param, "n");
  spec.parallel = 0;
  EXPECT_FALSE(refuse_answers(spec, Work::kComplete, 1));
}

TEST(Abilities, ANamedSlotIsRefusedWithItsField) {
  const Error refused = refuse_named_slot();
  EXPECT_EQ(refused.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(refused.param, "id_slot");
  EXPECT_TRUE(refused.message.starts_with("\"id_slot\" ")) << refused.message;
}

TEST(Abilities, MediaNeedAProjector) {
  ModelMetadata known;
  EXPECT_TRUE(media_taken(known).empty());
  for (const Work work : {Work::kChat, Work::kTemplate, Work::kComplete, Work::kInfill, Work::kEmbed}) {
    EXPECT_TRUE(reads_parts(work));
  }
  EXPECT_FALSE(reads_parts(Work::kRerank));
  EXPECT_FALSE(reads_parts(Work::kAny));
  const Error refused = refuse_media("m", {}, {api::Media::Kind::kAudio, "input"});
  EXPECT_EQ(refused.code, ErrorCode::kUnsupported);
  EXPECT_EQ(refused.param, "input");
  EXPECT_NE(refused.message.find("takes no audio, as it has no projector"), std::string::npos);
}

TEST(Abilities, AProjectorIsForSomeKindsOfMedia) {
  using Kind = api::Media::Kind;
  ModelMetadata known;
  known.multimodal = true;
  EXPECT_EQ(media_taken(known), (api::MediaKinds{Kind::kImage, Kind::kAudio, Kind::kVideo})) << "only the engine knows";
  known.input_modalities = {"text", "image"};
  EXPECT_EQ(media_taken(known), (api::MediaKinds{Kind::kImage, Kind::kVideo}));
  const Error refused = refuse_media("m", media_taken(known), {Kind::kAudio, "messages"});
  EXPECT_NE(refused.message.find("its projector is for something else"), std::string::npos);
  known.input_modalities = {"text", "audio"};
  EXPECT_EQ(media_taken(known), api::MediaKinds{Kind::kAudio});
  known.input_modalities = {"text", "image", "audio"};
  const Error document = refuse_media("m", media_taken(known), {Kind::kDocument, "messages"});
  EXPECT_NE(document.message.find("put their text into the message"), std::string::npos);
}

}  // namespace
}  // namespace minerva
