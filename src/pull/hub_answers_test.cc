#include "pull/hub_answers.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace minerva::pull {
namespace {

using std::chrono::seconds;

const std::string kSha256(64, 'a');
const std::string kSha1(40, 'b');

TEST(HubAnswers, ReadFactsOfARepository) {
  const auto facts = parse_repo_facts(
      fmt::format(R"({{"sha":"{}","gated":"auto","cardData":{{"license":"apache-2.0"}},"more":[1]}})", kSha1));
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->commit, kSha1);
  EXPECT_EQ(facts->licence, "apache-2.0");
  EXPECT_TRUE(facts->gated);
  const auto tagged =
      parse_repo_facts(fmt::format(R"({{"sha":"{}","gated":false,"tags":["x","license:mit"]}})", kSha1));
  ASSERT_TRUE(tagged);
  EXPECT_EQ(tagged->licence, "mit");
  EXPECT_FALSE(tagged->gated);
}

TEST(HubAnswers, RefuseFactsThatAreNone) {
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("<html>"), std::string(R"({"sha":"main"})"),
        std::string(R"({"sha":"../../etc"})"), std::string(100'000, '[')}) {
    EXPECT_FALSE(parse_repo_facts(text)) << text.substr(0, 50);
  }
}

TEST(HubAnswers, ReadATree) {
  const auto files = parse_tree(fmt::format(R"([
      {{"type":"directory","path":"BF16","oid":"{1}","size":0}},
      {{"type":"file","path":"README.md","oid":"{1}","size":12}},
      {{"type":"file","path":"BF16/x.gguf","oid":"{1}","size":134,"lfs":{{"oid":"{0}","size":5000000000,"pointerSize":134}}}},
      {{"type":"file","path":"../../evil.gguf","oid":"{1}","size":1}},
      {{"type":"file","path":".hidden","oid":"{1}","size":1}},
      {{"type":"file","path":"negative","oid":"{1}","size":-1}},
      {{"type":"file","path":"no size","oid":"{1}"}},
      {{"type":"file","path":7}}, 3, null])",
                                            kSha256, kSha1),
                                100);
  ASSERT_TRUE(files);
  EXPECT_EQ(*files, (std::vector<RemoteFile>{
                        {"README.md", Bytes(12), {Proof::Kind::kGitBlob, kSha1}},
                        {"BF16/x.gguf", Bytes(5'000'000'000), {Proof::Kind::kSha256, kSha256}},
                    }));
  EXPECT_FALSE(parse_tree("[1,2,3]", 2));
  EXPECT_FALSE(parse_tree("{}", 2));
}

TEST(HubAnswers, FindTheNextPage) {
  EXPECT_EQ(next_page({{"link", R"(<https://h/api?cursor=x>; rel="next")"}}), "https://h/api?cursor=x");
  EXPECT_EQ(next_page({{"link", R"(<https://h/api?cursor=x>; rel="prev")"}}), std::nullopt);
  EXPECT_EQ(next_page({{"link", "nonsense"}}), std::nullopt);
  EXPECT_EQ(next_page({}), std::nullopt);
}

TEST(HubAnswers, ALinkedFileCountsBeforeTheAnswer) {
  const FileFacts linked = read_file_facts({{"x-repo-commit", kSha1},
                                            {"x-linked-etag", '"' + kSha256 + '"'},
                                            {"x-linked-size", "77"},
                                            {"etag", "\"other\""},
                                            {"content-length", "1000"}});
  EXPECT_EQ(linked.commit, kSha1);
  EXPECT_EQ(linked.etag, kSha256);
  EXPECT_EQ(linked.size, Bytes(77));
  const FileFacts plain = read_file_facts({{"etag", "W/\"" + kSha1 + '"'}, {"content-length", "12"}});
  EXPECT_EQ(plain.etag, kSha1);
  EXPECT_TRUE(plain.weak);
  EXPECT_EQ(plain.size, Bytes(12));
  // The length of a redirect's own body says nothing about the file.
  EXPECT_EQ(read_file_facts({{"x-linked-etag", kSha256}, {"content-length", "12"}}).size, std::nullopt);
  EXPECT_EQ(read_file_facts({{"content-length", "99999999999999999999"}}).size, std::nullopt);
  EXPECT_EQ(proof_of_etag("../../x").kind, Proof::Kind::kNone);
  EXPECT_EQ(proof_of_etag(std::string(64, 'A')).kind, Proof::Kind::kNone);
}

TEST(HubAnswers, ReadARange) {
  const auto range = parse_content_range("bytes 5-9/10");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 5U);
  EXPECT_EQ(range->total, 10U);
  for (const char* const text :
       {"", "bytes */10", "bytes 5-9/*", "bytes 9-5/10", "bytes 5-10/10", "bytes -9/10", "5-9/10", "bytes 5/9-10"}) {
    EXPECT_FALSE(parse_content_range(text)) << text;
  }
}

TEST(HubAnswers, BoundTheWait) {
  EXPECT_EQ(retry_after({{"retry-after", "7"}}), seconds(7));
  EXPECT_EQ(retry_after({{"retry-after", "999999999999"}}), seconds(3600));
  EXPECT_EQ(retry_after({{"retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"}}), std::nullopt);
  EXPECT_EQ(retry_after({}), std::nullopt);
}

TEST(HubAnswers, RefusalsSayWhatToDo) {
  const auto said = [](int status, const Fields& fields, bool has_token = false) {
    return refusal(status, fields, "o/r", "https://hub/o/r", has_token);
  };
  const Error gated = said(403, {{"x-error-code", "GatedRepo"}});
  EXPECT_EQ(gated.code, ErrorCode::kForbidden);
  EXPECT_NE(gated.message.find("accept its licence at https://hub/o/r"), std::string::npos) << gated.message;
  EXPECT_NE(gated.message.find("HF_TOKEN"), std::string::npos);
  EXPECT_EQ(said(401, {}).code, ErrorCode::kForbidden);
  EXPECT_NE(said(401, {}).message.find("check the name"), std::string::npos);
  EXPECT_NE(said(401, {}, true).message.find("token"), std::string::npos);
  EXPECT_EQ(said(404, {}).code, ErrorCode::kModelNotFound);
  EXPECT_EQ(said(429, {{"retry-after", "9"}}).retry_after_s, 9);
  EXPECT_EQ(said(503, {}).code, ErrorCode::kUnreachable);
  EXPECT_EQ(said(418, {}).code, ErrorCode::kIo);
  for (const int status : {408, 429, 500, 503}) EXPECT_TRUE(may_pass(status)) << status;
  for (const int status : {200, 400, 401, 403, 404, 416}) EXPECT_FALSE(may_pass(status)) << status;
}

}  // namespace
}  // namespace minerva::pull
