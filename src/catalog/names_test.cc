#include "catalog/names.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "catalog/catalog.h"
#include "catalog/hub_cache.h"
#include "catalog/model_files.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<ModelId>;
using Stems = std::vector<std::string>;

TEST(Names, AnyStemHasAnIdThatCanBeTyped) {
  const std::pair<std::string, std::string> cases[] = {
      {"llama-7b.Q4_K_M", "llama-7b.Q4_K_M"},
      {"UPPER_Case", "UPPER_Case"},
      {"a:b@c", "a:b@c"},
      {"with space", "with-space"},
      {"  many   spaces  ", "many-spaces"},
      {"My Model (v2) [Q4]", "My-Model-v2-Q4"},
      {"a+b=c&d#e", "a-b-c-d-e"},
      {"a - b", "a-b"},
      {"modèle", "mod-le"},
      {"日本語-7B", "7B"},
      {"7B-日本語", "7B"},
      {"_private", "private"},
      {".hidden", "hidden"},
      {"-dash", "dash"},
      {"100%", "100"},
      {"quote'\"s", "quote-s"},
      {"new\nline", "new-line"},
      {"back\\slash", "back-slash"},
      {"not \xff utf-8", "not-utf-8"},
  };
  for (const auto& [stem, id] : cases) EXPECT_EQ(id_of_stem(stem, "/m/x.gguf"), id) << stem;
  for (const std::string stem : {"日本語", "...", "(((", " ", "stats", "load", "unload", "sse"}) {
    const ModelId id = id_of_stem(stem, "/m/" + stem);
    EXPECT_TRUE(is_usable_id(id)) << id;
    EXPECT_EQ(id.size(), std::string("model-").size() + 8) << id;
    EXPECT_TRUE(id.starts_with("model-")) << id;
    EXPECT_EQ(id_of_stem(stem, "/m/" + stem), id);
    EXPECT_NE(id_of_stem(stem, "/n/" + stem), id);
  }
  const ModelId longest = id_of_stem(std::string(300, 'x'), "/m");
  EXPECT_TRUE(is_usable_id(longest));
  EXPECT_NE(longest, id_of_stem(std::string(300, 'x'), "/n"));
}

TEST(Names, OfARepository) {
  EXPECT_EQ(hub_ids("o/r", {"r-Q4_K_M", "r-Q8_0", "r-f16"}), (Ids{"o/r:Q4_K_M", "o/r:Q8_0", "o/r:F16"}));
  EXPECT_EQ(hub_ids("o/r", {"r-4B-UD-Q4_K_XL", "r-4B-Q4_K_XL", "r-4B.IQ2_M"}),
            (Ids{"o/r:UD-Q4_K_XL", "o/r:4B-Q4_K_XL", "o/r:IQ2_M"}));
  EXPECT_EQ(hub_ids("o/r", {"it-Q8_0", "base-it-Q8_0"}), (Ids{"o/r/it-Q8_0", "o/r/base-it-Q8_0"}));
  EXPECT_EQ(hub_ids("o/r", {"x-q8_0", "x-Q8_0"}), (Ids{"o/r/x-q8_0", "o/r/x-Q8_0"}));
  EXPECT_EQ(hub_ids("o/r", {"model"}), Ids{"o/r/model"});
  EXPECT_EQ(hub_ids("gpt2", {"odd name"}), Ids{"gpt2/odd-name"});
  EXPECT_TRUE(hub_ids("o/r", {}).empty());
}

TEST(Names, WhatAFileIsByItsName) {
  const std::pair<std::string, FileKind> cases[] = {{"mmproj-x", FileKind::kProjector},
                                                    {"x-mmproj-f16", FileKind::kProjector},
                                                    {"x.MMPROJ", FileKind::kProjector},
                                                    {"mtp-x-Q8_0", FileKind::kDraft},
                                                    {"eagle3-x", FileKind::kDraft},
                                                    {"dflash-x", FileKind::kDraft},
                                                    {"imatrix", FileKind::kImportanceMatrix},
                                                    {"x.imatrix", FileKind::kImportanceMatrix},
                                                    {"imatrix_x", FileKind::kImportanceMatrix},
                                                    {"x-imatrix-Q4_K_M", FileKind::kModel},
                                                    {"x-MTP", FileKind::kModel},
                                                    {"alpaca-lora-7b", FileKind::kModel},
                                                    {"x-draft", FileKind::kModel},
                                                    {"日本語", FileKind::kModel}};
  for (const auto& [stem, kind] : cases) EXPECT_EQ(kind_by_name(stem), kind) << stem;
  EXPECT_TRUE(is_mtp_name("MTP-x-Q8_0"));
  for (const char* const stem : {"eagle3-x", "x-MTP", "mtp", "mmproj-mtp", ""}) EXPECT_FALSE(is_mtp_name(stem)) << stem;
}

TEST(Names, WhomAFileBelongsTo) {
  using Owners = std::vector<std::size_t>;
  EXPECT_EQ(owners_of("mmproj-f16", {"anything"}), Owners{0});
  EXPECT_EQ(owners_of("mmproj-f16", {"m-Q4_K_M", "m-Q8_0"}), (Owners{0, 1})) << "one model, twice";
  EXPECT_EQ(owners_of("mmproj-f16", {"a", "b"}), Owners{});
  EXPECT_EQ(owners_of("mmproj-a-f16", {"a-Q4_0", "b"}), Owners{0});
  EXPECT_EQ(owners_of("b-mmproj", {"a-Q4_0", "b-IQ2_XS"}), Owners{1});
  EXPECT_EQ(owners_of("mmproj-gemma-3-4b-it-BF16", {"gemma-3-4b-it-Q4_K_M", "gemma-3-12b-it-Q4_K_M"}), Owners{0});
  EXPECT_EQ(owners_of("mmproj-gemma-3-f16", {"gemma-3-4b-it-Q4_K_M", "gemma-3-12b-it-Q4_K_M"}), Owners{});
  EXPECT_EQ(owners_of("mtp-GLM-4.5-Air", {"GLM-4.5-Air-UD-Q4_K_XL", "GLM-4.5"}), Owners{0});
  EXPECT_EQ(owners_of("mmproj-c", {"a", "b"}), Owners{});
  EXPECT_EQ(owners_of("mmproj-f16", {"llama-3", "llama-3.1"}), Owners{}) << "two models";
  EXPECT_EQ(owners_of("mmproj-f16", {"m-UD-Q4_K_XL", "m-IQ2_XXS", "m.i1-Q4_0", "m-BF16", "m"}),
            (Owners{0, 1, 2, 3, 4}));
  EXPECT_EQ(owners_of("mmproj-c", {}), Owners{});
}

TEST(Names, WhatElseAClientMayMean) {
  EXPECT_EQ(other_readings("a"), Stems{});
  EXPECT_EQ(other_readings("a:latest"), Stems{"a"});
  EXPECT_EQ(other_readings("hf.co/o/r:Q4_0"), Stems{"o/r:Q4_0"});
  EXPECT_EQ(other_readings("hf.co/o/r:latest"), (Stems{"hf.co/o/r", "o/r"}));
  EXPECT_EQ(other_readings("A.GGUF"), Stems{"A"});
  EXPECT_EQ(other_readings(":latest"), Stems{});
}

TEST(Names, OfTheCachesFolders) {
  EXPECT_EQ(hub_repo_name("models--org--repo"), "org/repo");
  EXPECT_EQ(hub_repo_name("models--gpt2"), "gpt2");
  EXPECT_EQ(hub_repo_name("models--"), std::nullopt);
  EXPECT_EQ(hub_repo_name("datasets--a--b"), std::nullopt);
}

// ---- folders ----

class LayoutTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "layout-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = fs::canonical(pattern);
    models_ = root_ / "models";
    fs::create_directory(models_);
    options_.models_dirs = {models_.string()};
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path put(const fs::path& name, std::size_t size = 10) {
    const fs::path file = name.is_absolute() ? name : models_ / name;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << std::string(size, 'x');
    return file;
  }
  void take_away(const fs::path& name) { fs::remove_all(models_ / name); }

  // Scans, and remembers what Catalog::apply() would remember.
  const ScanResult& scan() {
    last_ = Catalog::scan(options_);
    options_.book = last_.book;
    return last_;
  }
  const ModelSpec* model(std::string_view id) const {
    for (const ModelSpec& spec : last_.models) {
      if (spec.id == id) return &spec;
    }
    return nullptr;
  }
  // "id=file", by id.
  std::vector<std::string> places() {
    std::vector<std::string> list;
    for (const ModelSpec& spec : scan().models) {
      list.push_back(spec.id + "=" + fs::path(spec.place).lexically_relative(models_).string());
    }
    return list;
  }
  bool has_problem(const std::vector<std::string>& words) const {
    for (const std::string& problem : last_.problems) {
      bool all = true;
      for (const std::string& word : words) all = all && problem.find(word) != std::string::npos;
      if (all) return true;
    }
    return false;
  }
  // As if somebody had inspected the file.
  void say(const fs::path& file, FileKind kind) {
    FileNote& note = options_.book[(models_ / file).string()];
    note.kind = kind;
    note.identity = file_identity((models_ / file).string());
  }

  fs::path root_;
  fs::path models_;
  CatalogOptions options_;
  ScanResult last_;
};

TEST_F(LayoutTest, EveryFileIsListedOrRefusedOrACompanion) {
  // Each file and its result: an id, or "!" and words of the problem, or "+" and the model it belongs to.
  const std::pair<std::string, std::string> files[] = {
      {"plain.gguf", "plain"},
      {"llama-7b.Q4_K_M.gguf", "llama-7b.Q4_K_M"},
      {"UPPER.GGUF", "UPPER"},
      {"Mixed.Case.gGuF", "Mixed.Case"},
      {"with space.gguf", "with-space"},
      {"(brackets).gguf", "brackets"},
      {"plus+.gguf", "plus"},
      {"equals=1.gguf", "equals-1"},
      {"amp&ersand.gguf", "amp-ersand"},
      {"hash#tag.gguf", "hash-tag"},
      {"per%20cent.gguf", "per-20cent"},
      {"it's.gguf", "it-s"},
      {"ümlaut.gguf", "mlaut"},
      {"模型-7B.gguf", "7B"},
      {"emoji-🙂-1b.gguf", "emoji-1b"},
      {"-dash.gguf", "dash"},
      {"_under.gguf", "under"},
      {"~tilde.gguf", "tilde"},
      {"a.b.c..gguf", "a.b.c."},
      {"parts-00001-of-00002.gguf", "parts"},
      {"parts-00002-of-00002.gguf", "parts"},
      {"odd parts-00001-of-00001.gguf", "odd-parts"},
      {"half-00001-of-00002.gguf", "!half-00002-of-00002.gguf"},
      {"no-00003-of-00002.gguf", "no-00003-of-00002"},
      {"x.imatrix.gguf", "!importance matrix"},
      {"imatrix.gguf", "!importance matrix"},
      {"pub/deep/deep.gguf", "deep"},
      {"vision/v-Q4_K_M.gguf", "v-Q4_K_M"},
      {"vision/v-Q8_0.gguf", "v-Q8_0"},
      {"vision/mmproj-F16.gguf", "+v-Q8_0"},
      {"vision/v-mmproj-bf16.gguf", "+v-Q4_K_M"},
      {"two/cat.gguf", "cat"},
      {"two/dog.gguf", "dog"},
      {"two/mmproj-dog.gguf", "+dog"},
      {"two/cat.mmproj.gguf", "+cat"},
      {"two/mmproj-bird.gguf", "!mmproj-bird.gguf"},
      {"mtp/glm-Q4_0.gguf", "glm-Q4_0"},
      {"mtp/mtp-glm.gguf", "+glm-Q4_0"},
      {"mtp/eagle3-glm.gguf", "+glm-Q4_0"},
      {"alone/mmproj-lost.gguf", "!no model is beside it"},
      {"said/model.gguf", "model"},
      {"said/tuned.gguf", "+model"},  // its content says that it is an adapter
      {"said/sees.gguf", "+model"},   // its content says that it is a projector
      {"said/matrix.gguf", "!matrix.gguf"},
      {"said/other.gguf", "!something else"},
      {"one/mmproj-really.gguf", "mmproj-really"},  // its content says that it is a model
      {"x/twin.gguf", "twin"},
      {"y/twin.gguf", "y-twin"},
      {"load.gguf", ""},
  };
  for (const auto& [file, what] : files) put(file);
  say("said/tuned.gguf", FileKind::kAdapter);
  say("said/sees.gguf", FileKind::kProjector);
  say("said/matrix.gguf", FileKind::kImportanceMatrix);
  say("said/other.gguf", FileKind::kOther);
  say("one/mmproj-really.gguf", FileKind::kModel);
  scan();
  for (const auto& [file, what] : files) {
    const std::string path = (models_ / file).string();
    const std::string stem = parse_model_file_name(fs::path(file).filename().string()).stem;
    if (what.starts_with('!')) {
      EXPECT_TRUE(has_problem({what.substr(1)})) << file;
      EXPECT_EQ(model(stem), nullptr) << file;
    } else if (what.starts_with('+')) {
      const ModelSpec* const owner = model(what.substr(1));
      ASSERT_NE(owner, nullptr) << file;
      EXPECT_NE(std::find(owner->companions.begin(), owner->companions.end(), path), owner->companions.end()) << file;
      EXPECT_EQ(model(stem), nullptr) << file;
    } else if (!what.empty()) {
      ASSERT_NE(model(what), nullptr) << file;
      EXPECT_EQ(model(what)->name, stem);
    }
  }
  EXPECT_EQ(model("load"), nullptr);
  EXPECT_EQ(last_.problems.size(), 7U);
  EXPECT_EQ(model("v-Q8_0")->mmproj, (models_ / "vision/mmproj-F16.gguf").string());
  EXPECT_EQ(model("dog")->mmproj, (models_ / "two/mmproj-dog.gguf").string());
  EXPECT_EQ(model("cat")->mmproj, (models_ / "two/cat.mmproj.gguf").string());
  EXPECT_EQ(model("model")->mmproj, (models_ / "said/sees.gguf").string());
  EXPECT_EQ(model("glm-Q4_0")->mmproj, "");
  EXPECT_EQ(model("with-space")->aliases, Ids{"with space"});
  EXPECT_EQ(model("7B")->aliases, Ids{"模型-7B"});
  EXPECT_TRUE(model("y-twin")->aliases.empty()) << "the stem is the other one's";
  for (const ModelSpec& file : last_.unsure) EXPECT_NE(kind_by_name(file.name), FileKind::kModel) << file.name;
}

TEST_F(LayoutTest, WhoWasThereFirstKeepsTheName) {
  put("y/m.gguf");
  EXPECT_EQ(places(), (Stems{"m=y/m.gguf"}));
  put("x/m.gguf");
  put("m.gguf");
  EXPECT_EQ(places(), (Stems{"m=y/m.gguf", "models-m=m.gguf", "x-m=x/m.gguf"})) << "a new file renames nothing";
  EXPECT_EQ(places(), (Stems{"m=y/m.gguf", "models-m=m.gguf", "x-m=x/m.gguf"})) << "nor does a restart";
  take_away("y");
  EXPECT_EQ(places(), (Stems{"models-m=m.gguf", "x-m=x/m.gguf"})) << "nor does a file that goes";
  put("z/m.gguf");
  EXPECT_EQ(places(), (Stems{"m=z/m.gguf", "models-m=m.gguf", "x-m=x/m.gguf"}));
  put("y/m.gguf");
  EXPECT_EQ(places(), (Stems{"m=z/m.gguf", "models-m=m.gguf", "x-m=x/m.gguf", "y-m=y/m.gguf"}));
}

TEST_F(LayoutTest, WhoWasThereFirstKeepsTheStemAsItsAlias) {
  put("y/a m.gguf");
  scan();
  put("x/a m.gguf");
  for (int scans = 0; scans < 2; ++scans) {
    EXPECT_EQ(places(), (Stems{"a-m=y/a m.gguf", "x-a-m=x/a m.gguf"}));
    EXPECT_EQ(model("a-m")->aliases, Ids{"a m"});
    EXPECT_TRUE(model("x-a-m")->aliases.empty());
  }
  take_away("y");
  scan();
  EXPECT_EQ(model("x-a-m")->aliases, Ids{"a m"});
  put("w/a m.gguf");
  scan();
  EXPECT_EQ(model("x-a-m")->aliases, Ids{"a m"});
}

TEST_F(LayoutTest, SpellingsOfTheEndingAreFilesOfTheirOwn) {
  put("m.gguf");
  put("m.GGUF");
  EXPECT_EQ(scan().models.size(), 2U);
}

TEST_F(LayoutTest, TheFirstFolderKeepsTheName) {
  const fs::path second = root_ / "second";
  put(second / "m.gguf");
  put("m.gguf");
  options_.models_dirs = {second.string(), models_.string()};
  scan();
  ASSERT_NE(model("m"), nullptr);
  EXPECT_EQ(model("m")->path, (second / "m.gguf").string());
  ASSERT_NE(model("models-m"), nullptr);
}

TEST_F(LayoutTest, AnIdOfOnesOwnIsNotLostToAMadeOne) {
  put("a b.gguf");
  put("a-b.gguf");
  put("q/a-b.gguf");
  put("r/q/a-b.gguf");
  const std::vector<std::string> names = places();
  ASSERT_EQ(names.size(), 4U);
  EXPECT_EQ(model("a-b")->name, "a-b");
  EXPECT_EQ(model("models-a-b")->name, "a b");
  EXPECT_EQ(places(), names);
}

TEST_F(LayoutTest, TheConfigsNameWins) {
  put("a.gguf");
  put("b.gguf");
  EXPECT_EQ(places(), (Stems{"a=a.gguf", "b=b.gguf"}));
  options_.entries = {{.id = "a", .path = "b.gguf"}};
  EXPECT_EQ(places(), (Stems{"a=b.gguf", "models-a=a.gguf"}));
  options_.entries.clear();
  EXPECT_EQ(places(), (Stems{"a=a.gguf", "b=b.gguf"})) << "as before";
}

TEST_F(LayoutTest, OddFilesAreProblems) {
  fs::create_directory(models_ / "folder.gguf");
  ASSERT_EQ(::mkfifo((models_ / "fifo.gguf").c_str(), 0600), 0);
  fs::create_symlink("nowhere", models_ / "broken.gguf");
  scan();
  EXPECT_TRUE(last_.models.empty());
  EXPECT_EQ(last_.problems.size(), 2U);
  EXPECT_TRUE(has_problem({"fifo.gguf", "no regular file"}));
  EXPECT_TRUE(has_problem({"broken.gguf", "gone"}));
}

TEST_F(LayoutTest, FoldersThatNobodyNamedMayBeMissing) {
  options_.models_dirs = {(root_ / "nowhere").string()};
  EXPECT_EQ(scan().problems.size(), 1U);
  options_.folders_may_be_missing = true;
  EXPECT_TRUE(scan().problems.empty());
}

// ---- the Hugging Face cache ----

class HubTest : public LayoutTest {
 protected:
  // A file in a repository's snapshot: a link to its blob.
  void fetch(const std::string& repo, const std::string& commit, const std::string& name, const std::string& blob,
             std::size_t size = 10) {
    const fs::path folder = models_ / repo;
    put(folder / "blobs" / blob, size);
    const fs::path link = folder / "snapshots" / commit / name;
    fs::create_directories(link.parent_path());
    fs::remove(link);
    fs::create_symlink((folder / "blobs" / blob).lexically_relative(link.parent_path()), link);
  }
  void ref(const std::string& repo, const std::string& name, const std::string& commit) {
    const fs::path file = models_ / repo / "refs" / name;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << commit;
  }
  void older(const std::string& repo, const std::string& commit) {
    const fs::path snapshot = models_ / repo / "snapshots" / commit;
    fs::last_write_time(snapshot, fs::last_write_time(snapshot) - std::chrono::hours(1));
  }
  Ids ids() {
    Ids list;
    for (const ModelSpec& spec : scan().models) list.push_back(spec.id);
    return list;
  }
  static constexpr const char* kRepo = "models--org--tiny";
};

TEST_F(HubTest, ModelsAreCalledByRepositoryAndQuantization) {
  fetch(kRepo, "c1", "tiny-Q4_K_M.gguf", "aa", 5);
  fetch(kRepo, "c1", "tiny-Q8_0.gguf", "bb", 7);
  fetch(kRepo, "c1", "BF16/tiny-BF16-00001-of-00002.gguf", "c1");
  fetch(kRepo, "c1", "BF16/tiny-BF16-00002-of-00002.gguf", "c2");
  fetch(kRepo, "c1", "mmproj-F16.gguf", "dd");
  fetch(kRepo, "c1", "README.md", "ee");
  ref(kRepo, "main", "c1");
  put("datasets--org--data/snapshots/c/data.gguf");
  put(fs::path("models--org--tiny/.no_exist/c/x.gguf"));
  put(".locks/models--org--tiny/x.gguf");
  EXPECT_EQ(ids(), (Ids{"org/tiny:BF16", "org/tiny:Q4_K_M", "org/tiny:Q8_0"}));
  EXPECT_TRUE(last_.problems.empty());
  const ModelSpec& q4 = *model("org/tiny:Q4_K_M");
  EXPECT_EQ(q4.path, (models_ / kRepo / "blobs/aa").string());
  EXPECT_EQ(q4.mmproj, (models_ / kRepo / "blobs/dd").string());
  EXPECT_EQ(q4.repo, "org/tiny");
  EXPECT_EQ(q4.aliases, Ids{"tiny-Q4_K_M"});
  EXPECT_EQ(model("org/tiny:BF16")->more_files.size(), 1U);
}

TEST_F(HubTest, ANewerCommitRenamesNothing) {
  fetch(kRepo, "c1", "tiny-Q4_K_M.gguf", "aa");
  ref(kRepo, "main", "c1");
  const Ids before = ids();
  const std::string place = last_.models.front().place;
  fetch(kRepo, "c2", "tiny-Q4_K_M.gguf", "bb");
  ref(kRepo, "main", "c2");
  EXPECT_EQ(ids(), before);
  EXPECT_EQ(last_.models.front().place, place);
  EXPECT_EQ(last_.models.front().path, (models_ / kRepo / "blobs/bb").string());
}

TEST_F(HubTest, WhatMainLacksComesFromTheNewestThatHasIt) {
  fetch(kRepo, "old", "tiny-Q4_K_M.gguf", "aa");
  fetch(kRepo, "old", "tiny-Q8_0.gguf", "a8");
  older(kRepo, "old");
  fetch(kRepo, "mid", "tiny-Q8_0.gguf", "b8");
  fetch(kRepo, "main1", "README.md", "rr");
  ref(kRepo, "main", "main1");
  EXPECT_EQ(ids(), (Ids{"org/tiny:Q4_K_M", "org/tiny:Q8_0"}));
  EXPECT_EQ(model("org/tiny:Q8_0")->path, (models_ / kRepo / "blobs/b8").string());
  // A ref takes precedence over age.
  ref(kRepo, "main", "old");
  scan();
  EXPECT_EQ(model("org/tiny:Q8_0")->path, (models_ / kRepo / "blobs/a8").string());
  take_away(fs::path(kRepo) / "refs/main");
  ref(kRepo, "pr1", "old");
  scan();
  EXPECT_EQ(model("org/tiny:Q8_0")->path, (models_ / kRepo / "blobs/a8").string());
}

TEST_F(HubTest, PartsComeFromOneSnapshot) {
  fetch(kRepo, "c1", "t-Q4_0-00001-of-00002.gguf", "a1");
  fetch(kRepo, "c2", "t-Q4_0-00002-of-00002.gguf", "a2");
  ref(kRepo, "main", "c1");
  EXPECT_EQ(ids(), Ids{});
  EXPECT_TRUE(has_problem({"org/tiny", "t-Q4_0", "incomplete"}));
  fetch(kRepo, "c2", "t-Q4_0-00001-of-00002.gguf", "a1");
  EXPECT_EQ(ids(), Ids{"org/tiny:Q4_0"});
  EXPECT_TRUE(last_.problems.empty());
}

TEST_F(HubTest, LinksEndInTheBlobsOrInTheSharedStore) {
  fetch(kRepo, "c1", "t-Q4_0.gguf", "aa");
  const fs::path snapshot = models_ / kRepo / "snapshots/c1";
  const fs::path shared = put("blobs/ab/abcdef0123");
  put("blobs/zz/abcdef0123");
  put("elsewhere.bin");
  put(fs::path("models--org--other/blobs/cc"));
  fs::create_symlink(shared, snapshot / "t-Q8_0.gguf");
  fs::create_symlink(models_ / "blobs/zz/abcdef0123", snapshot / "t-Q5_0.gguf");
  fs::create_symlink(models_ / "elsewhere.bin", snapshot / "t-Q6_K.gguf");
  fs::create_symlink(models_ / "models--org--other/blobs/cc", snapshot / "t-Q2_K.gguf");
  fs::create_symlink("../../blobs/gone", snapshot / "t-Q3_K.gguf");
  put(snapshot / "t-F16.gguf");  // no link, as on a file system without links
  EXPECT_EQ(ids(), (Ids{"org/tiny:F16", "org/tiny:Q4_0", "org/tiny:Q8_0"}));
  EXPECT_EQ(last_.problems.size(), 4U);
  for (const std::string name : {"Q5_0", "Q6_K", "Q2_K"}) EXPECT_TRUE(has_problem({name, "out of the cache"})) << name;
  EXPECT_TRUE(has_problem({"Q3_K", "ends nowhere"}));
}

TEST_F(HubTest, UnfinishedDownloadsAreProblems) {
  put(fs::path(kRepo) / "blobs/aa.incomplete");
  fs::create_directories(models_ / kRepo / "snapshots");
  scan();
  EXPECT_TRUE(has_problem({"org/tiny", "did not end"}));
  // The table of downloads shows Minerva's own unfinished files.
  fs::rename(models_ / kRepo / "blobs/aa.incomplete", models_ / kRepo / "blobs/aa.minerva.incomplete");
  scan();
  EXPECT_EQ(last_.problems.size(), 0U);
  put(fs::path(kRepo) / "blobs/aa.incomplete");
  // Nobody wants to know about a repository without GGUF models.
  put("models--org--other/blobs/bb.incomplete");
  fetch("models--org--other", "c", "model.safetensors", "cc");
  scan();
  EXPECT_EQ(last_.problems.size(), 1U);
}

TEST_F(HubTest, TheRepositoryIsItsBestThatFits) {
  fetch(kRepo, "c1", "t-Q2_K.gguf", "a2", 10);
  fetch(kRepo, "c1", "t-Q4_0.gguf", "a4", 20);
  fetch(kRepo, "c1", "t-F16.gguf", "af", 80);

  class NoDriver final : public EngineDriver {
   public:
    void inspect(const ModelSpec&, std::function<void(Result<ModelMetadata>)>) override {}
    Result<std::unique_ptr<Engine>> start(const ModelSpec&, const ModelMetadata&, std::shared_ptr<EngineLog>,
                                          Engine::Handlers) override {
      return fail(ErrorCode::kInternal, "none");
    }
  } driver;
  Catalog catalog(options_, driver);
  catalog.apply(Catalog::scan(options_));
  const std::pair<std::uint64_t, std::string> cases[] = {
      {1000, "org/tiny:F16"}, {50, "org/tiny:Q4_0"}, {15, "org/tiny:Q2_K"}, {1, "org/tiny:Q2_K"}};
  for (const auto& [room, id] : cases) {
    catalog.set_room(Bytes(room));
    for (const std::string name : {"org/tiny", "hf.co/org/tiny", "ORG/Tiny:latest", "hf.co/org/tiny:latest"}) {
      ASSERT_NE(catalog.look_up(name), nullptr) << name;
      EXPECT_EQ(catalog.look_up(name)->id, id) << name << " " << room;
    }
  }
  EXPECT_EQ(catalog.find("org/tiny"), nullptr);
  EXPECT_EQ(catalog.look_up("hf.co/org/tiny:q4_0")->id, "org/tiny:Q4_0");
  EXPECT_EQ(catalog.look_up("T-q4_0.gguf")->id, "org/tiny:Q4_0");
}

}  // namespace
}  // namespace minerva
