#include "pull/asked.h"

#include <gtest/gtest.h>

#include <utility>

namespace minerva::pull {
namespace {

Result<Asked> asked(std::string_view text) { return parse_asked(text, parse_url("http://127.0.0.1:8123").value()); }

Asked wanted(std::string repo, std::string quant = {}, std::string file = {}, std::string revision = "main") {
  Asked asked;
  asked.repo = std::move(repo);
  asked.quant = std::move(quant);
  asked.file = std::move(file);
  asked.revision = std::move(revision);
  return asked;
}

TEST(Asked, ReadsARepository) {
  const Asked repo = wanted("Org/Repo-GGUF");
  for (const char* const text :
       {"Org/Repo-GGUF", "hf.co/Org/Repo-GGUF", "huggingface.co/Org/Repo-GGUF/", "https://hf.co/Org/Repo-GGUF",
        "https://huggingface.co/Org/Repo-GGUF?library=x", "Org/Repo-GGUF:latest", "http://127.0.0.1:8123/Org/Repo-GGUF",
        "https://huggingface.co/Org/Repo-GGUF/tree/main"}) {
    const auto read = asked(text);
    ASSERT_TRUE(read) << text;
    EXPECT_EQ(*read, repo) << text;
  }
}

TEST(Asked, ReadsAQuantizationAndAFile) {
  EXPECT_EQ(asked("o/r:Q4_K_M"), wanted("o/r", "Q4_K_M"));
  EXPECT_EQ(asked("o/r/UD-base"), wanted("o/r", "UD-base"));
  EXPECT_EQ(asked("o/r/x.gguf"), wanted("o/r", "", "x.gguf"));
  EXPECT_EQ(asked("o/r/BF16/x-00001-of-00002.gguf"), wanted("o/r", "", "BF16/x-00001-of-00002.gguf"));
  EXPECT_EQ(asked("https://hf.co/o/r/resolve/v1.0/x.gguf?download=true"), wanted("o/r", "", "x.gguf", "v1.0"));
  EXPECT_EQ(asked("https://huggingface.co/o/r/blob/main/a/x.gguf"), wanted("o/r", "", "a/x.gguf"));
}

TEST(Asked, ReadsAnAddress) {
  Asked address;
  address.url = "https://host.example/a/x.gguf?sig=1";
  EXPECT_EQ(asked(address.url), address);
  for (const char* const text :
       {"https://host.example/", "https://host.example/x.zip", "https://host.example/..%2fx.gguf",
        "https://host.example/x-00001-of-00002.gguf", "ftp://host.example/x.gguf", "https://a:b@host.example/x.gguf"}) {
    EXPECT_FALSE(asked(text)) << text;
  }
}

TEST(Asked, RefusesTheRest) {
  for (const char* const text : {"",
                                 "/",
                                 "repo",
                                 "o/",
                                 "/r",
                                 "../r",
                                 "o/..",
                                 "o--x/r",
                                 "o/r--s",
                                 "o/r:",
                                 "o/r:a b",
                                 "o/r/../x.gguf",
                                 "o/r/.hidden.gguf",
                                 "o/r//x.gguf",
                                 "o/r/a/b/c/d/e/x.gguf",
                                 "o/r/a\\x.gguf",
                                 "o/r/resolve/../x.gguf",
                                 "o /r",
                                 "o/r\n",
                                 "-o/r",
                                 "o/r.",
                                 "o/r/a/b"}) {
    const auto read = asked(text);
    ASSERT_FALSE(read) << text << " is " << read->repo << " " << read->file;
    EXPECT_EQ(read.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(Asked, KnowsSafePaths) {
  EXPECT_TRUE(is_safe_path("a/b/x y.gguf"));
  EXPECT_FALSE(is_safe_path(std::string("a\0b", 3)));
  EXPECT_FALSE(is_safe_path(std::string(300, 'x')));
  EXPECT_FALSE(is_safe_path("a/../b"));
  EXPECT_FALSE(is_safe_path("/a"));
}

}  // namespace
}  // namespace minerva::pull
