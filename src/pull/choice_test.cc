#include "pull/choice.h"

#include <gtest/gtest.h>

#include <utility>

namespace minerva::pull {
namespace {

constexpr std::uint64_t kMib = 1U << 20U;

RemoteFile file(std::string path, std::uint64_t mib) { return {std::move(path), Bytes(mib * kMib), {}}; }

Asked quant_wanted(std::string quant = {}, std::string in_file = {}) {
  Asked asked;
  asked.repo = "o/m";
  asked.quant = std::move(quant);
  asked.file = std::move(in_file);
  return asked;
}

std::vector<std::string> paths(const Choice& choice) {
  std::vector<std::string> list;
  for (const RemoteFile& each : choice.files) list.push_back(each.path);
  return list;
}

const std::vector<RemoteFile> kRepo = {
    file("m-Q2_K.gguf", 3000), file("m-Q4_K_M.gguf", 5000), file("m-Q4_K_S.gguf", 4700), file("m-Q8_0.gguf", 8500),
    file("m-F16.gguf", 16000), file("README.md", 0),        file("imatrix.gguf", 5),     file("mtp-m-Q8_0.gguf", 20)};

std::string chosen_tag(Bytes budget, const Asked& asked = quant_wanted()) {
  const auto chosen = choose(asked, choices_of("o/m", kRepo, budget), budget);
  return chosen ? chosen->choice.tag : std::string(error_info(chosen.error().code).name);
}

TEST(Choice, TheModelsOfARepository) {
  const auto choices = choices_of("o/m", kRepo, Bytes::gib(8));
  ASSERT_EQ(choices.size(), 5U);
  EXPECT_EQ(choices[0].name, "o/m:F16");
  EXPECT_EQ(choices[4].name, "o/m:Q2_K");
  EXPECT_EQ(choices[0].fit, Fit::kDoesNotFit);
  EXPECT_EQ(choices[2].fit, Fit::kFits);
}

TEST(Choice, TheLargestThatFits) {
  EXPECT_EQ(chosen_tag(Bytes::gib(64)), "F16");
  EXPECT_EQ(chosen_tag(Bytes::gib(12)), "Q8_0");
  EXPECT_EQ(chosen_tag(Bytes::mib(8600)), "Q4_K_M");  // Q8_0 would leave no room for the context
  EXPECT_EQ(chosen_tag(Bytes::mib(5800)), "Q4_K_S");
  EXPECT_EQ(chosen_tag(Bytes::mib(4000)), "Q2_K");
  EXPECT_EQ(chosen_tag(Bytes::mib(3100)), "Q2_K");  // with less than usual
  EXPECT_EQ(chosen_tag(Bytes::mib(2000)), "memory_budget_exceeded");
}

TEST(Choice, SaysWhy) {
  const auto why = [](Bytes budget) {
    return choose(quant_wanted(), choices_of("o/m", kRepo, budget), budget).value().why;
  };
  EXPECT_NE(why(Bytes::gib(12)).find("largest of 5 that fits"), std::string::npos) << why(Bytes::gib(12));
  EXPECT_NE(why(Bytes::mib(4000)).find("none that is at least Q4_K_M"), std::string::npos);
  EXPECT_NE(why(Bytes::mib(3100)).find("less than the usual context"), std::string::npos);
}

TEST(Choice, WhatWasAskedForCountsWhateverFits) {
  const Bytes small = Bytes::mib(10);
  EXPECT_EQ(chosen_tag(small, quant_wanted("q8_0")), "Q8_0");
  EXPECT_EQ(chosen_tag(small, quant_wanted("", "m-F16.gguf")), "F16");
  EXPECT_EQ(chosen_tag(small, quant_wanted("Q5_K_M")), "model_not_found");
  const auto refused = choose(quant_wanted("Q5_K_M"), choices_of("o/m", kRepo, small), small);
  EXPECT_NE(refused.error().message.find("Q4_K_M"), std::string::npos) << "it says what there is";
  EXPECT_EQ(choose(quant_wanted(), {}, small).error().code, ErrorCode::kInvalidModel);
}

TEST(Choice, PartsComeTogetherOrNotAtAll) {
  const auto choices = choices_of("o/m",
                                  {file("big/m-Q8_0-00002-of-00002.gguf", 10),
                                   file("big/m-Q8_0-00001-of-00002.gguf", 20), file("m-Q4_0-00001-of-00002.gguf", 10)},
                                  Bytes::gib(1));
  ASSERT_EQ(choices.size(), 1U);
  EXPECT_EQ(paths(choices[0]),
            (std::vector<std::string>{"big/m-Q8_0-00001-of-00002.gguf", "big/m-Q8_0-00002-of-00002.gguf"}));
  EXPECT_EQ(choices[0].size, Bytes::mib(30));
}

TEST(Choice, TheProjectorComesAlong) {
  const auto choices = choices_of("o/m",
                                  {file("m-Q4_0.gguf", 10), file("mmproj-m-F32.gguf", 4), file("mmproj-m-F16.gguf", 2),
                                   file("mmproj-m-Q8_0.gguf", 1), file("other/mmproj-F16.gguf", 9)},
                                  Bytes::gib(1));
  ASSERT_EQ(choices.size(), 1U);
  EXPECT_EQ(paths(choices[0]), (std::vector<std::string>{"m-Q4_0.gguf", "mmproj-m-F16.gguf"}));
  EXPECT_EQ(choices[0].size, Bytes::mib(12));
}

TEST(Choice, DraftsComeAlongOnRequest) {
  const std::vector<RemoteFile> files = {file("m-Q8_0.gguf", 20),        file("m-Q4_0.gguf", 10),
                                         file("mtp-m-Q8_0.gguf", 2),     file("mtp-m-F16.gguf", 4),
                                         file("sub/mtp-m-Q4_0.gguf", 1), file("eagle3-m-F16.gguf", 3),
                                         file("dflash-m-F32.gguf", 6)};
  const auto plain = choices_of("o/m", files, Bytes::gib(1));
  ASSERT_EQ(plain.size(), 2U);
  EXPECT_EQ(paths(plain[0]), std::vector<std::string>{"m-Q8_0.gguf"});
  ASSERT_EQ(plain[0].companions.size(), 2U);
  EXPECT_EQ(plain[0].companions[0].kind, "draft");
  EXPECT_EQ(plain[0].companions[0].file.path, "eagle3-m-F16.gguf") << "the smallest";
  EXPECT_EQ(plain[0].companions[1].kind, "mtp");
  const auto with = choices_of("o/m", files, Bytes::gib(1), {.mtp = true});
  EXPECT_EQ(paths(with[0]), (std::vector<std::string>{"m-Q8_0.gguf", "mtp-m-Q8_0.gguf"}));
  EXPECT_EQ(with[0].size, Bytes::mib(22));
  EXPECT_EQ(paths(with[1]), (std::vector<std::string>{"m-Q4_0.gguf", "sub/mtp-m-Q4_0.gguf"})) << "of its precision";
  const auto both = choices_of("o/m", files, Bytes::gib(1), {.draft = true, .mtp = true});
  EXPECT_EQ(paths(both[0]), (std::vector<std::string>{"m-Q8_0.gguf", "eagle3-m-F16.gguf", "mtp-m-Q8_0.gguf"}));
}

TEST(Choice, ADraftThatIsNotThereIsRefused) {
  Asked asked = quant_wanted("Q8_0");
  asked.with.draft = true;
  const auto refused = choose(asked, choices_of("o/m", kRepo, Bytes::gib(64), asked.with), Bytes::gib(64));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kModelNotFound);
  EXPECT_EQ(refused.error().param, "with");
  asked.with = {.mtp = true};
  EXPECT_TRUE(choose(asked, choices_of("o/m", kRepo, Bytes::gib(64), asked.with), Bytes::gib(64)));
  // The companion of another model does not count.
  const auto choices = choices_of("o/m", {file("a-Q8_0.gguf", 20), file("b-Q8_0.gguf", 10), file("mtp-b.gguf", 1)},
                                  Bytes::gib(1), {.mtp = true});
  ASSERT_EQ(choices.size(), 2U);
  EXPECT_TRUE(choices[0].companions.empty());
  EXPECT_EQ(paths(choices[1]), (std::vector<std::string>{"b-Q8_0.gguf", "mtp-b.gguf"}));
}

}  // namespace
}  // namespace minerva::pull
