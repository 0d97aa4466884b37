#include "server/page.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "server/page_files.h"
#include "server/web_ui.h"

namespace minerva {
namespace {

io::RequestHead with(const char* name, const char* value) {
  io::RequestHead request;
  request.headers.add(name, value);
  return request;
}

TEST(Page, IsForBrowsers) {
  EXPECT_TRUE(wants_page(with("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")));
  for (const char* const other : {"*/*", "application/json", ""}) EXPECT_FALSE(wants_page(with("Accept", other)));
  EXPECT_FALSE(wants_page({}));
}

TEST(Page, IsGzippedForWhoTakesThat) {
  for (const char* const field : {"gzip", "gzip, deflate, br, zstd", "br,GZIP;q=0.5", "identity, gzip ;q=1.0"}) {
    EXPECT_TRUE(accepts_gzip(with("Accept-Encoding", field))) << field;
  }
  for (const char* const field : {"", "identity", "br", "gzip;q=0", "gzip; q=0.000, br", "xgzip", "*"}) {
    EXPECT_FALSE(accepts_gzip(with("Accept-Encoding", field))) << field;
  }
  EXPECT_FALSE(accepts_gzip({}));
}

TEST(Page, HasItsFiles) {
  std::size_t bytes = 0;
  std::string_view before;
  for (const PageFile& file : page_files()) {
    EXPECT_LT(before, file.name);
    before = file.name;
    bytes += file.gzip.size();
    EXPECT_TRUE(file.gzip.starts_with("\x1f\x8b")) << file.name;
    EXPECT_EQ(file.etag.size(), 34U) << file.name;
    EXPECT_NE(content_type_of(file.name), "application/octet-stream") << file.name;
  }
  for (const char* const name : {"index.html", "main.js", "style.css", "htm.js", "uPlot.js", "uPlot.css"}) {
    EXPECT_TRUE(std::any_of(page_files().begin(), page_files().end(), [&](auto& file) { return file.name == name; }))
        << name;
  }
  EXPECT_LT(bytes, 300'000U);
}

}  // namespace
}  // namespace minerva
