#include "minerva/base/check.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace minerva {
namespace {

TEST(CheckDeathTest, AbortsWithTheReason) {
  EXPECT_DEATH(check(false, "two is not three"), "check_test.cc:.*check failed: two is not three");
}

TEST(Check, PassesWhenTrue) { check(true, "fine"); }

TEST(Check, AHandlerMayThrowInstead) {
  const CheckHandler before = set_check_handler(
      [](std::string_view what, const std::source_location&) { throw std::runtime_error(std::string(what)); });
  EXPECT_THROW(check(false, "caught"), std::runtime_error);
  set_check_handler(before);
}

}  // namespace
}  // namespace minerva
