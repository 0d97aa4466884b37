#include "minerva/base/error.h"

#include <gtest/gtest.h>

#include <set>

namespace minerva {
namespace {

TEST(ErrorTable, EveryCodeHasARowOfItsOwn) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    const ErrorInfo& info = error_info(code);
    EXPECT_EQ(info.code, code);
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_EQ(find_error_info(info.name), &info);
    EXPECT_GE(info.http_status, 400);
    EXPECT_LT(info.http_status, 600);
    EXPECT_FALSE(info.openai_type.empty());
    EXPECT_GE(info.cli_exit, 1);
    EXPECT_LE(info.cli_exit, 4);
  }
  EXPECT_EQ(find_error_info("no_such_code"), nullptr);
}

TEST(ErrorTable, KeepsWhatClientsRelyOn) {
  EXPECT_EQ(error_info(ErrorCode::kModelNotFound).name, "model_not_found");
  EXPECT_EQ(error_info(ErrorCode::kModelNotFound).http_status, 404);
  EXPECT_EQ(error_info(ErrorCode::kModelNotFound).openai_type, "invalid_request_error");
  EXPECT_EQ(error_info(ErrorCode::kModelNotFound).cli_exit, 4);
  EXPECT_EQ(error_info(ErrorCode::kConflict).http_status, 409);
  EXPECT_EQ(error_info(ErrorCode::kModelNotLoaded).name, "model_not_loaded");
  EXPECT_EQ(error_info(ErrorCode::kModelNotLoaded).http_status, 409);
  EXPECT_EQ(error_info(ErrorCode::kUnsupported).http_status, 400);
  EXPECT_EQ(error_info(ErrorCode::kInvalidModel).http_status, 422);
  EXPECT_EQ(error_info(ErrorCode::kBudgetExceeded).http_status, 422);
  EXPECT_EQ(error_info(ErrorCode::kQueueFull).http_status, 429);
  EXPECT_EQ(error_info(ErrorCode::kQueueFull).openai_type, "rate_limit_error");
  EXPECT_EQ(error_info(ErrorCode::kUnsupportedMedia).http_status, 415);
  EXPECT_EQ(error_info(ErrorCode::kNotSupported).http_status, 501);
  EXPECT_EQ(error_info(ErrorCode::kEngineCrashed).http_status, 502);
  EXPECT_EQ(error_info(ErrorCode::kNoCapacity).http_status, 503);
  EXPECT_EQ(error_info(ErrorCode::kEngineTimeout).http_status, 504);
  EXPECT_EQ(error_info(ErrorCode::kUnreachable).cli_exit, 3);
  EXPECT_EQ(error_info(ErrorCode::kInvalidArgument).cli_exit, 2);
}

}  // namespace
}  // namespace minerva
