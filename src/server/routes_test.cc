#include "server/routes.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "api/needs.h"

namespace minerva {
namespace {

std::string_view engine_path(const Route& route) { return route.engine_path.empty() ? route.path : route.engine_path; }

// Whether the route is one of llama.cpp's server.
bool is_relayed(const Route& route) { return route.reach == Reach::kUse || route.reach == Reach::kLook; }

TEST(Routes, WhatTakesSlotsOfLlamaCppAndWhatIsAVisit) {
  std::set<std::string_view> visits;
  std::set<std::string_view> one;
  std::set<std::string_view> one_for_each_answer;
  for (const Route& route : routes()) {
    if (!is_relayed(route)) continue;
    (route.takes == Takes::kNoSlot    ? visits
     : route.takes == Takes::kOneSlot ? one
                                      : one_for_each_answer)
        .insert(engine_path(route));
  }
  EXPECT_EQ(one_for_each_answer,
            (std::set<std::string_view>{"/v1/chat/completions", "/chat/completions", "/v1/completions", "/completions",
                                        "/completion", "/v1/responses", "/responses", "/infill"}));
  EXPECT_EQ(one, (std::set<std::string_view>{"/v1/embeddings", "/embeddings", "/embedding", "/v1/rerank",
                                             "/v1/reranking", "/rerank", "/reranking", "/v1/messages",
                                             "/v1/audio/transcriptions", "/audio/transcriptions"}));
  EXPECT_EQ(visits,
            (std::set<std::string_view>{
                "/v1/chat/completions/input_tokens", "/chat/completions/input_tokens", "/v1/chat/completions/control",
                "/v1/responses/input_tokens", "/responses/input_tokens", "/v1/messages/count_tokens", "/tokenize",
                "/detokenize", "/apply-template", "/lora-adapters", "/props", "/slots", "/metrics"}));
}

TEST(Routes, WorkThatGeneratesTakesASlot) {
  for (const Route& route : routes()) {
    if (!is_relayed(route)) continue;
    const api::Work work = api::work_of(engine_path(route));
    if (work == api::Work::kAny || work == api::Work::kTemplate) {
      EXPECT_EQ(route.takes, Takes::kNoSlot) << route.path;
    } else {
      EXPECT_NE(route.takes, Takes::kNoSlot) << route.path;
    }
  }
}

TEST(Routes, NamesOfOneRouteTakeTheSame) {
  for (const Route& route : routes()) {
    for (const Route& other : routes()) {
      if (route.same_as == other.path && route.method == other.method) {
        EXPECT_EQ(route.takes, other.takes) << route.path;
      }
    }
  }
}

TEST(Routes, WhatAnEngineIsAskedForSaysWhatIsTaken) {
  for (const Route& route : routes()) {
    if (route.reach == Reach::kNone || route.reach == Reach::kEngine) continue;
    EXPECT_EQ(takes_of(route.method, engine_path(route)), route.takes) << route.method << " " << route.path;
  }
  // Ollama's requests, after their translation.
  EXPECT_EQ(takes_of("POST", "/v1/chat/completions"), Takes::kSlots);
  EXPECT_EQ(takes_of("POST", "/v1/embeddings"), Takes::kOneSlot);
  // Routes that only command engines have.
  for (const std::string_view method : {"POST", "PUT", "PATCH"}) {
    EXPECT_EQ(takes_of(method, "/sdapi/v1/txt2img"), Takes::kOneSlot) << method;
  }
  for (const std::string_view method : {"GET", "HEAD", "DELETE"}) {
    EXPECT_EQ(takes_of(method, "/sdapi/v1/sd-models"), Takes::kNoSlot) << method;
    EXPECT_EQ(takes_of(method, "/v1/chat/completions"), Takes::kNoSlot) << method;
  }
}

}  // namespace
}  // namespace minerva
