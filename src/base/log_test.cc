#include "base/log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace minerva::log {
namespace {

std::string written(Format format, std::string_view message) {
  configure(Level::kInfo, format);
  testing::internal::CaptureStderr();
  write(Level::kWarn, message);
  return testing::internal::GetCapturedStderr();
}

TEST(Log, TextIsOneLineWithoutControlCharacters) {
  const std::string line = written(Format::kText, "a\nb\x1b[31m\x7f\xc2\x9b\xff caf\xc3\xa9");
  EXPECT_NE(line.find("warn"), std::string::npos);
  EXPECT_NE(line.find("a\\nb\\x1b[31m\\x7f\\xc2\\x9b\\xff caf\xc3\xa9\n"), std::string::npos) << line;
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST(Log, JsonIsOneParsableLine) {
  const std::string line = written(Format::kJson, "say \"hi\"\n\x1b\xff");
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  const nlohmann::json parsed = nlohmann::json::parse(line);
  EXPECT_EQ(parsed["level"], "warning");
  EXPECT_EQ(parsed["message"], "say \"hi\"\n\x1b\xef\xbf\xbd");
  EXPECT_TRUE(parsed.contains("time"));
  EXPECT_EQ(parsed.size(), 3U);
}

TEST(Log, FieldsAreForJsonAlone) {
  configure(Level::kInfo, Format::kJson);
  testing::internal::CaptureStderr();
  info({{"model", "a\"\n\x1b"}, {"sta\"tus", "200"}}, "served {}", "a");
  const nlohmann::json parsed = nlohmann::json::parse(testing::internal::GetCapturedStderr());
  EXPECT_EQ(parsed["message"], "served a");
  EXPECT_EQ(parsed["model"], "a\"\n\x1b");
  EXPECT_EQ(parsed["sta\"tus"], "200");
  configure(Level::kInfo, Format::kText);
  testing::internal::CaptureStderr();
  info({{"model", "field"}}, "served");
  EXPECT_EQ(testing::internal::GetCapturedStderr().find("field"), std::string::npos);
}

TEST(Log, LowerLevelsAreSilent) {
  configure(Level::kWarn, Format::kText);
  EXPECT_FALSE(enabled(Level::kInfo));
  EXPECT_TRUE(enabled(Level::kError));
  testing::internal::CaptureStderr();
  info("unseen {}", 1);
  error("seen {}", 2);
  const std::string out = testing::internal::GetCapturedStderr();
  EXPECT_EQ(out.find("unseen"), std::string::npos);
  EXPECT_NE(out.find("seen 2"), std::string::npos);
}

}  // namespace
}  // namespace minerva::log
