#include "catalog/metadata_store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "io/failing_files.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;

class MetadataStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "metadata-store-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    file_ = (folder_ / "cache" / "metadata.json").string();
  }
  void TearDown() override { fs::remove_all(folder_); }

  static ModelMetadata sample() {
    ModelMetadata metadata;
    metadata.architecture = "gemma3";
    metadata.quantization = "Q4_K_M";
    metadata.parameters = 268'098'176;
    metadata.trained_context = 32768;
    metadata.context = 8192;
    metadata.can_generate = true;
    metadata.can_embed = true;
    metadata.can_rerank = true;
    metadata.can_infill = true;
    metadata.has_chat_template = true;
    metadata.multimodal = true;
    metadata.name = "Gemma 3";
    metadata.chat_template = "{{ messages }}";
    metadata.supports_tools = true;
    metadata.supports_thinking = true;
    metadata.input_modalities = {"text", "image"};
    metadata.file_values = {{"general.file_type", std::int64_t{15}},
                            {"general.version", "3"},
                            {"gemma3.rope.freq_base", 1e6},
                            {"tokenizer.ggml.add_bos_token", true}};
    metadata.predicted = Bytes(0xFFFFFFFFFFULL);
    metadata.prompt_cache = Bytes(256);
    metadata.checkpoints = Bytes(128);
    metadata.repacked = Bytes(64);
    metadata.measured = Bytes(12345);
    metadata.residue = Bytes(678);
    metadata.load_time = std::chrono::milliseconds(1234);
    metadata.wake_time = std::chrono::milliseconds(56);
    return metadata;
  }

  std::string read() const { return io::StateFile(file_, MetadataStore::kFormat).read().value(); }
  // Writes a file with a correct checksum.
  void write(const std::string& content) const {
    ASSERT_TRUE(io::StateFile(file_, MetadataStore::kFormat).write(content));
  }

  fs::path folder_;
  std::string file_;
};

TEST_F(MetadataStoreTest, EveryFieldComesBack) {
  MetadataStore(file_).put("key", sample());
  ModelMetadata not_measured = sample();
  not_measured.measured.reset();
  not_measured.residue.reset();
  not_measured.load_time.reset();
  not_measured.wake_time.reset();
  MetadataStore(file_).put("not measured", not_measured);
  const MetadataStore again(file_);
  ASSERT_NE(again.find("key"), nullptr);
  EXPECT_EQ(*again.find("key"), sample());
  ASSERT_NE(again.find("not measured"), nullptr);
  EXPECT_EQ(*again.find("not measured"), not_measured);
  EXPECT_EQ(again.find("other"), nullptr);
}

TEST_F(MetadataStoreTest, ATextThatManyModelsShareIsWrittenOnce) {
  ModelMetadata metadata = sample();
  metadata.chat_template = std::string(60'000, 't');
  MetadataStore store(file_);
  for (int i = 0; i < 20; ++i) store.put(std::to_string(i), metadata);
  EXPECT_LT(fs::file_size(file_), 100'000U);
  EXPECT_EQ(*MetadataStore(file_).find("19"), metadata);
}

// Whichever call fails: the disk has the old entries or the new ones, the store has all of them, and goes on.
TEST_F(MetadataStoreTest, ADiskThatFailsCostsTheNewestOnly) {
  for (int n = 1; n <= 6; ++n) {
    for (const bool loses_power : {false, true}) {
      SCOPED_TRACE(n);
      MetadataStore(file_).clear();
      MetadataStore(file_).put("old", sample());
      io::FailingFiles disk(folder_ / "cache");
      MetadataStore store(file_, nullptr, disk);
      disk.fail_at(n, EIO, /*also_after=*/true);
      testing::internal::CaptureStderr();
      store.put("new", sample());
      EXPECT_NE(testing::internal::GetCapturedStderr().find("Input/output error"), std::string::npos);
      EXPECT_NE(store.find("new"), nullptr);
      if (loses_power) disk.lose_power(io::FailingFiles::Loss::kBytes);
      EXPECT_NE(MetadataStore(file_).find("old"), nullptr);
      EXPECT_FALSE(fs::exists(file_ + ".damaged"));
      disk.fail_no_more();
      store.put("newer", sample());
      for (const char* const key : {"old", "new", "newer"}) EXPECT_NE(MetadataStore(file_).find(key), nullptr) << key;
    }
  }
}

TEST_F(MetadataStoreTest, NothingIsLeftBesideTheFile) {
  MetadataStore(file_).put("key", sample());
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "cache"), fs::directory_iterator()), 1);
}

TEST_F(MetadataStoreTest, ADamagedFileIsIgnoredAndReplaced) {
  MetadataStore(file_).put("key", sample());
  const std::string good = read();
  for (const std::string& damaged :
       {std::string(), std::string("\0\0\0\0", 4), good.substr(0, good.size() / 2), std::string("[]"),
        std::string(R"({"entries":[{"key":"key"}]})"), std::string(R"({"entries":7})")}) {
    write(damaged);
    MetadataStore store(file_);
    EXPECT_EQ(store.find("key"), nullptr) << damaged;
    store.put("key", sample());
    EXPECT_NE(MetadataStore(file_).find("key"), nullptr);
  }
}

// Fuzzing found this: a number that fits nowhere was converted all the same.
TEST_F(MetadataStoreTest, NumbersOutOfRangeAreDamage) {
  const std::vector<std::pair<std::string, std::string>> damages = {
      {"\"trained_context\":32768", "\"trained_context\":1e30"},
      {"\"context\":8192", "\"context\":4294967296"},
      {"\"parameters\":268098176", "\"parameters\":-1"},
      {"\"predicted_bytes\":1099511627775", "\"predicted_bytes\":-4"},
      {"\"predicted_bytes\":1099511627775", "\"predicted_bytes\":0"},
      {"\"measured_bytes\":12345", "\"measured_bytes\":0"},
      {"\"residue_bytes\":678", "\"residue_bytes\":1e30"},
      {"\"load_ms\":1234", "\"load_ms\":0"},
      {"\"chat_template\":0", "\"chat_template\":7"},
      {"\"general.file_type\":15", "\"general.file_type\":18446744073709551615"},
      {"\"wake_ms\":56", "\"wake_ms\":4294967296"}};
  for (const auto& [good, bad] : damages) {
    MetadataStore(file_).put("key", sample());
    std::string text = read();
    const auto at = text.find(good);
    ASSERT_NE(at, std::string::npos) << good;
    text.replace(at, good.size(), bad);
    write(text);
    EXPECT_EQ(MetadataStore(file_).find("key"), nullptr) << bad;
    EXPECT_TRUE(fs::remove(file_ + ".damaged"));
  }
}

TEST_F(MetadataStoreTest, AnUpgradeSetsTheOldFileAside) {
  fs::create_directories(folder_ / "cache");
  std::ofstream(file_) << R"({"schema":2,"entries":[]})";
  EXPECT_EQ(MetadataStore(file_).find("key"), nullptr);
  EXPECT_TRUE(fs::exists(file_ + ".damaged"));
  EXPECT_FALSE(fs::exists(file_));
}

TEST_F(MetadataStoreTest, WhatIsClearedIsGoneFromDiskToo) {
  MetadataStore store(file_);
  store.put("key", sample());
  store.clear();
  EXPECT_EQ(store.find("key"), nullptr);
  EXPECT_EQ(MetadataStore(file_).find("key"), nullptr);
}

// As in the daemon: another thread writes, and an orderly end writes everything.
TEST_F(MetadataStoreTest, ALoopWritesAside) {
  io::Loop loop;
  MetadataStore store(file_, &loop);
  store.put("key", sample());
  EXPECT_FALSE(fs::exists(file_));
  store.finish();
  EXPECT_NE(MetadataStore(file_).find("key"), nullptr);
}

TEST_F(MetadataStoreTest, KeepsTheNewest) {
  MetadataStore store("");
  for (std::size_t i = 0; i <= MetadataStore::kMaxEntries; ++i) store.put(std::to_string(i), sample());
  EXPECT_EQ(store.find("0"), nullptr);
  EXPECT_NE(store.find("1"), nullptr);
  EXPECT_NE(store.find(std::to_string(MetadataStore::kMaxEntries)), nullptr);
}

TEST_F(MetadataStoreTest, AFolderThatCannotBeWrittenIsNoFailure) {
  std::ofstream(folder_ / "cache") << "a file where the folder should be";
  MetadataStore store(file_);
  store.put("key", sample());
  EXPECT_NE(store.find("key"), nullptr);
}

}  // namespace
}  // namespace minerva
