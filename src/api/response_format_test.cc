#include "api/response_format.h"

#include <gtest/gtest.h>

namespace minerva::api {
namespace {

TEST(ResponseFormat, AValueBecomesTheSchema) {
  EXPECT_EQ(mend_response_format(
                R"({"model":"a", "response_format" : {"type":"json_object","value":{"type":"object"}} ,"n":1})"),
            R"({"model":"a", "response_format" : {"type":"json_object","schema":{"type":"object"}},"n":1})");
  EXPECT_EQ(mend_response_format(R"({"response_format":{"value":{},"type":"json"}})"),
            R"({"response_format":{"type":"json_object","schema":{}}})");
  // If there are several, the last one counts.
  EXPECT_EQ(mend_response_format(R"({"response_format":1,"response_format":{"type":"json","value":{"a":"}"}}})"),
            R"({"response_format":1,"response_format":{"type":"json_object","schema":{"a":"}"}}})");
}

TEST(ResponseFormat, EverythingElseStays) {
  for (const char* body :
       {"", "{}", "[]", R"({"response_format":{}})", R"({"response_format":{"type":"text","value":{}}})",
        R"({"response_format":{"type":"json_object"}})", R"({"response_format":{"type":"json_object","value":"x"}})",
        R"({"response_format":{"type":"json_object","schema":{},"value":{}}})",
        R"({"response_format":{"type":"json_schema","json_schema":{"schema":{}}}})",
        R"({"response_format":{"type":"json_object","value":{}},"response_format":{"type":"json_object"}})",
        R"({"nested":{"response_format":{"type":"json_object","value":{}}}})",
        R"({"response_format":{"type":"json_object","value":{}})"}) {
    EXPECT_EQ(mend_response_format(body), std::nullopt) << body;
  }
}

}  // namespace
}  // namespace minerva::api
