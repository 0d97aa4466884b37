// Golden files: the expected answers, kept beside the tests and reviewed like code.
//
// A test compares its text with the file. With UPDATE_GOLDEN=1 in the environment it writes the file anew. The build
// defines MINERVA_GOLDEN_DIR.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace minerva {

inline void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(MINERVA_GOLDEN_DIR) + "/" + name;
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << text;
    ASSERT_TRUE(file.flush()) << "cannot write " << path;
    return;
  }
  std::ifstream file(path, std::ios::binary);
  ASSERT_TRUE(file) << path << " is missing; UPDATE_GOLDEN=1 writes it";
  std::ostringstream kept;
  kept << file.rdbuf();
  EXPECT_EQ(text, kept.str()) << path << " differs; UPDATE_GOLDEN=1 takes the new text over";
}

}  // namespace minerva
