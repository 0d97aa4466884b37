#include "minerva/base/ids.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

TEST(ModelIdRule, AcceptsAndRefuses) {
  for (std::string_view good :
       {"a", "7b", "llama-7b.Q4_K_M", "org/model:tag@1", "a..b", "a/..b", "a/b../c", "org/load", "loads"}) {
    EXPECT_TRUE(is_model_id(good)) << good;
  }
  for (std::string_view bad : {"", ".a", "-a", "/a", "a/../b", "a/..", "a b", "a\n", "a%2Fb", "\xc3\xa9", "a\\b"}) {
    EXPECT_FALSE(is_model_id(bad)) << bad;
  }
  EXPECT_TRUE(is_model_id(std::string(200, 'a')));
  EXPECT_FALSE(is_model_id(std::string(201, 'a')));
  EXPECT_FALSE(is_model_id(std::string_view("a\0b", 3)));
}

TEST(ModelIdRule, WordsOfRoutesAreReserved) {
  for (std::string_view word : {"stats", "load", "unload", "sse"}) EXPECT_TRUE(is_reserved_id(word)) << word;
  for (std::string_view other : {"", "loads", "org/load", "Load"}) EXPECT_FALSE(is_reserved_id(other)) << other;
}

}  // namespace
}  // namespace minerva
