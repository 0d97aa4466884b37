#include "server/web_ui.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace minerva {
namespace {

namespace fs = std::filesystem;

// A folder like that of a built UI, beside files that must not be served.
class WebUiTest : public testing::Test {
 public:
  WebUiTest() {
    folder_ = fs::path(testing::TempDir()) / ("web_ui_" + std::to_string(::getpid()));
    fs::create_directories(folder_ / "ui/_app/immutable");
    write("ui/index.html");
    write("ui/_app/immutable/bundle.abc.js");
    write("secret");
    fs::create_symlink(folder_ / "secret", folder_ / "ui/link.txt");
    fs::create_directory_symlink(folder_, folder_ / "ui/up");
  }
  ~WebUiTest() override { fs::remove_all(folder_); }
  void write(const std::string& name) { std::ofstream(folder_ / name) << "text"; }

  fs::path folder_;
};

TEST_F(WebUiTest, ServesItsFilesAndNothingElse) {
  const WebUi ui((folder_ / "ui").string());
  for (const char* const path : {"/chat/", "/chat/index.html", "/chat/_app/immutable/bundle.abc.js"}) {
    EXPECT_TRUE(ui.has(path)) << path;
  }
  for (const char* const path :
       {"/chat", "/chat/link.txt", "/chat/up/secret", "/chat/../secret", "/chat//index.html", "/chat/./index.html",
        "/chat/_app", "/chat/_app/", "/chat/%69ndex.html", "/index.html", "/chat/v1/models", "/chat/props"}) {
    EXPECT_FALSE(ui.has(path)) << path;
  }
}

TEST_F(WebUiTest, WithoutAPageThereIsNoUi) {
  fs::remove(folder_ / "ui/index.html");
  for (const std::string& folder : {(folder_ / "ui").string(), std::string(), (folder_ / "nowhere").string()}) {
    const WebUi ui(folder);
    EXPECT_TRUE(ui.has("/chat/")) << "what is missing is said there";
    EXPECT_FALSE(ui.has("/chat/index.html"));
    EXPECT_FALSE(ui.has("/chat/_app/immutable/bundle.abc.js"));
  }
}

TEST_F(WebUiTest, ALinkToTheFolderIsFollowed) {
  fs::create_directory_symlink(folder_ / "ui", folder_ / "link");
  EXPECT_TRUE(WebUi((folder_ / "link").string()).has("/chat/index.html"));
}

TEST(WebUiPolicyTest, NamesTheHashesOfInlineScripts) {
  const std::string policy = content_security_policy(
      "<script src=\"x.js\"></script><script>alert(1)</script><script type=\"module\">\n</script>");
  // echo -n 'alert(1)' | openssl dgst -sha256 -binary | base64
  EXPECT_NE(policy.find("script-src 'self' 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI=' 'sha256-"),
            std::string::npos)
      << policy;
  EXPECT_EQ(policy.find("unsafe-eval"), std::string::npos);
  EXPECT_EQ(policy.find("script-src 'self' 'unsafe-inline'"), std::string::npos);
  for (const char* const broken : {"<script", "<script>", "</script><script", "<script></script", ""}) {
    EXPECT_NE(content_security_policy(broken).find("script-src 'self'; "), std::string::npos) << broken;
  }
}

TEST(WebUiTypesTest, AreFixed) {
  EXPECT_EQ(content_type_of("index.html"), "text/html; charset=utf-8");
  EXPECT_EQ(content_type_of("a/manifest.webmanifest"), "application/manifest+json");
  EXPECT_EQ(content_type_of("version.json"), "application/json");
  EXPECT_EQ(content_type_of("b.js.map"), "application/octet-stream");
  EXPECT_EQ(content_type_of("html"), "application/octet-stream");
}

}  // namespace
}  // namespace minerva
