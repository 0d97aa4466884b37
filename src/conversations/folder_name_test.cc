#include "conversations/folder_name.h"

#include <gtest/gtest.h>

namespace minerva::conversations {
namespace {

constexpr const char* kSeed = "0123456789abcdef0123456789abcdef";

TEST(FolderName, SaysTheModel) {
  for (const char* const model : {"a", "org/repo:Q4_K_M", "a.b-c@d", "x.0123456789abcdef0123456789abcdef"}) {
    const std::string name = folder_name(model, kSeed);
    EXPECT_EQ(name.find('/'), std::string::npos) << name;
    EXPECT_EQ(model_of_folder(name), model);
  }
}

TEST(FolderName, OtherNamesAreSomebodyElses) {
  for (const std::string& name :
       {std::string(), std::string(kSeed), "." + std::string(kSeed), "a" + std::string(kSeed),
        "a." + std::string(31, '0'), "a." + std::string(31, '0') + "G", "..." + std::string(kSeed),
        "a/b." + std::string(kSeed), "a b." + std::string(kSeed), std::string("lost+found")}) {
    EXPECT_EQ(model_of_folder(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace minerva::conversations
