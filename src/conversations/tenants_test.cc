#include "conversations/tenants.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "protocol/conversations.h"

namespace minerva::conversations {
namespace {

namespace fs = std::filesystem;

class TenantsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "tenants-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST_F(TenantsTest, AUserHasTheSameNameAfterARestart) {
  const auto first = Tenants::open(folder_.string());
  const auto second = Tenants::open(folder_.string());
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->name(UserId{1}), second->name(UserId{1}));
  EXPECT_NE(first->name(UserId{1}), first->name(UserId{2}));
  EXPECT_TRUE(protocol::is_tenant(first->name(UserId{1})));
  EXPECT_NE(first->name(UserId{1}), protocol::kOnlyTenant);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_EQ(entry.status().permissions(), fs::perms::owner_read | fs::perms::owner_write) << entry.path();
  }
}

TEST_F(TenantsTest, WithoutTheSecretNamesSayNothing) {
  const auto first = Tenants::open(folder_.string());
  Tenants::forget(folder_.string());
  EXPECT_TRUE(fs::is_empty(folder_));
  const auto second = Tenants::open(folder_.string());
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->name(UserId{1}), second->name(UserId{1}));
  EXPECT_NE(Tenants::fresh().name(UserId{1}), Tenants::fresh().name(UserId{1}));
}

TEST_F(TenantsTest, AFolderThatCannotBeWrittenIsAnError) {
  fs::create_directory(folder_ / "conversations.secret");
  EXPECT_FALSE(Tenants::open(folder_.string())) << "a folder is in its place";
}

}  // namespace
}  // namespace minerva::conversations
