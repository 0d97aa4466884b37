#include "cli/terminal.h"

#include <gtest/gtest.h>

namespace minerva::cli {
namespace {

TEST(Printable, TakesCommandsOut) {
  EXPECT_EQ(printable("plain\ttext\n"), "plain\ttext\n");
  EXPECT_EQ(printable("\033[2Jcleared\a\r\x7f"), "[2Jcleared");
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J"),
            "2J");
  EXPECT_EQ(printable("h\xc3\xa9 \xe2\x82\xac \xc2\xa0"), "h\xc3\xa9 \xe2\x82\xac \xc2\xa0");
  EXPECT_EQ(printable("\xc2"), "\xc2");
}

TEST(Table, AlignsColumns) {
  Table table({{"ID"}, {"SIZE", Table::Align::kRight}, {"STATE"}});
  EXPECT_TRUE(table.empty());
  table.add({"a", "1 GiB", "hot"});
  table.add({"longer-\xc3\xa9", "700 MiB", ""});
  table.add({"evil\033[2J\nname", "1", "cold"});
  EXPECT_EQ(table.text(false),
            "ID               SIZE  STATE\n"
            "a               1 GiB  hot\n"
            "longer-\xc3\xa9      700 MiB\n"
            "evil[2J name        1  cold\n");
  EXPECT_TRUE(table.text(true).starts_with("\033[1mID"));
}

TEST(ProgressBar, FillsFromLeftToRight) {
  EXPECT_EQ(progress_bar(0, 10), "[..........]   0%");
  EXPECT_EQ(progress_bar(0.42, 10), "[####......]  42%");
  EXPECT_EQ(progress_bar(1, 10), "[##########] 100%");
  EXPECT_EQ(progress_bar(7, 4), "[####] 100%");
  EXPECT_EQ(progress_bar(-1, 4), "[....]   0%");
}

TEST(Progress, ReadsTheServersComments) {
  EXPECT_EQ(describe_progress("loading 50%", "m"), "loading m " + progress_bar(0.5, 30));
  EXPECT_EQ(describe_progress("waking", "m"), "waking m");
  EXPECT_EQ(describe_progress("reading 31% of 12000 tokens", "m"), "reading 31 % of 12,000 tokens");
  for (const std::string_view other :
       {"", "waking 5%", "waiting", "loading", "loading %", "loading x%", "loading 5", "ping 5%", "reading",
        "reading 5%", "reading x% of 5 tokens", "reading 5% of tokens", "reading 5% of 5 tokens."}) {
    EXPECT_EQ(describe_progress(other, "m"), "") << other;
  }
}

TEST(Formats, ReadWell) {
  EXPECT_EQ(format_thousands(7), "7");
  EXPECT_EQ(format_thousands(999), "999");
  EXPECT_EQ(format_thousands(1000), "1,000");
  EXPECT_EQ(format_thousands(1'234'567), "1,234,567");
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(134'515'008), "135M");
  EXPECT_EQ(format_count(1'240'000'000), "1.2B");
  EXPECT_EQ(format_count(999'990), "1M");
  EXPECT_EQ(format_seconds(0.812), "812 ms");
  EXPECT_EQ(format_seconds(0.9999), "1.0 s");
  EXPECT_EQ(format_seconds(12.34), "12.3 s");
  EXPECT_EQ(format_seconds(59.99), "1 min 0 s");
  EXPECT_EQ(format_seconds(3'660), "1 h 1 min");
  EXPECT_EQ(format_ago(0.4), "now");
  EXPECT_EQ(format_ago(59.9), "59 s ago");
  EXPECT_EQ(format_ago(3'599), "59 min ago");
  EXPECT_EQ(format_ago(90'000), "1 d ago");
}

}  // namespace
}  // namespace minerva::cli
