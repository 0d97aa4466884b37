#include "catalog/catalog.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <optional>

#include "engine/engine_arguments.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;

// Answers when the test says so.
class FakeDriver final : public EngineDriver {
 public:
  struct Asked {
    ModelSpec spec;
    std::function<void(Result<ModelMetadata>)> done;
  };
  std::vector<Asked> asked;
  std::string version = "1";

  std::string fingerprint() const override { return version; }
  void inspect(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) override {
    asked.push_back({spec, std::move(done)});
  }
  Result<std::unique_ptr<Engine>> start(const ModelSpec&, const ModelMetadata&, std::shared_ptr<EngineLog>,
                                        Engine::Handlers) override {
    return fail(ErrorCode::kInternal, "this driver starts nothing");
  }

  void answer(Result<ModelMetadata> result) {
    ASSERT_FALSE(asked.empty());
    const auto done = asked.front().done;
    asked.erase(asked.begin());
    done(std::move(result));
  }
};

ModelMetadata metadata_of(std::uint64_t bytes) {
  ModelMetadata metadata;
  metadata.architecture = "llama";
  metadata.predicted = Bytes(bytes);
  return metadata;
}

class CatalogTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "catalog-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = fs::canonical(pattern);
    models_ = root_ / "models";
    fs::create_directory(models_);
    options_.models_dirs = {models_.string()};
    options_.cache_dir = (root_ / "cache").string();
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path put(const fs::path& name, std::size_t size = 10) {
    const fs::path file = name.is_absolute() ? name : models_ / name;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << std::string(size, 'x');
    return file;
  }

  ScanResult scan() const { return Catalog::scan(options_); }

  static std::vector<std::string> ids(const ScanResult& result) {
    std::vector<std::string> list;
    for (const ModelSpec& spec : result.models) list.push_back(spec.id);
    return list;
  }

  static void expect_one_problem(const ScanResult& result, const std::vector<std::string>& words) {
    ASSERT_EQ(result.problems.size(), 1U);
    for (const std::string& word : words) {
      EXPECT_NE(result.problems.front().find(word), std::string::npos) << result.problems.front();
    }
  }

  std::unique_ptr<Catalog> catalog() {
    auto made = std::make_unique<Catalog>(options_, driver_);
    made->apply(scan());
    return made;
  }

  // For a catalog without a loop: inspects, and returns the answer; nothing while there is none.
  static bool look_again(Catalog& catalog, const ModelId& id) {
    std::optional<bool> replaced;
    catalog.look_again(id, [&](bool files) { replaced = files; });
    EXPECT_TRUE(replaced.has_value());
    return replaced.value_or(false);
  }
  std::shared_ptr<std::optional<Result<ModelMetadata>>> inspect(Catalog& catalog, const ModelId& id) {
    auto answer = std::make_shared<std::optional<Result<ModelMetadata>>>();
    catalog.inspect(id, {room_}, [this, answer](Result<FittedModel> result) {
      if (!result) return void(*answer = fail(Error(result.error())));
      reduction_ = result->reduction;
      *answer = std::move(result->metadata);
    });
    return answer;
  }

  using Ids = std::vector<std::string>;
  fs::path root_;
  fs::path models_;
  CatalogOptions options_;
  Bytes room_ = Bytes(UINT64_MAX);
  Reduction reduction_;  // of the last answer
  FakeDriver driver_;
};

TEST_F(CatalogTest, FilesAreModelsByTheirStem) {
  put("b.Q4_K_M.gguf", 7);
  put("a.gguf");
  put("notes.txt");
  put(".hidden.gguf");
  put("mmproj-a.gguf");
  put("half.gguf.part");
  const ScanResult result = scan();
  EXPECT_EQ(ids(result), (Ids{"a", "b.Q4_K_M"}));
  EXPECT_TRUE(result.problems.empty());
  const ModelSpec& b = result.models[1];
  EXPECT_EQ(b.path, (models_ / "b.Q4_K_M.gguf").string());
  EXPECT_EQ(b.size, Bytes(7));
  EXPECT_GT(b.modified_ns, 0);
  EXPECT_EQ(b.mmproj, "");
}

TEST_F(CatalogTest, PartsAreOneModel) {
  for (const auto* const part : {"big-00001-of-00003.gguf", "big-00002-of-00003.gguf", "big-00003-of-00003.gguf"}) {
    put(part, 5);
    put(fs::path("other") / (std::string("o-") + part), 6);
  }
  const ScanResult result = scan();
  ASSERT_EQ(ids(result), (Ids{"big", "o-big"}));
  EXPECT_EQ(result.models[0].path, (models_ / "big-00001-of-00003.gguf").string());
  EXPECT_EQ(result.models[0].size, Bytes(15));
  EXPECT_EQ(result.models[1].size, Bytes(18));
}

TEST_F(CatalogTest, AMissingPartIsNamed) {
  put("big-00001-of-00003.gguf");
  put("big-00003-of-00003.gguf");
  const ScanResult result = scan();
  EXPECT_TRUE(result.models.empty());
  expect_one_problem(result, {"big-00002-of-00003.gguf", "missing"});
}

TEST_F(CatalogTest, NamesThatOnlyLookLikeParts) {
  put("a-00000-of-00003.gguf");
  put("a-00004-of-00003.gguf");
  put("a-1-of-3.gguf");
  EXPECT_EQ(ids(scan()), (Ids{"a-00000-of-00003", "a-00004-of-00003", "a-1-of-3"}));
}

TEST_F(CatalogTest, AProjectorBelongsToTheModelInItsFolder) {
  put("vision/v.gguf", 3);
  put("vision/mmproj-f16.gguf", 4);
  const ScanResult result = scan();
  ASSERT_EQ(ids(result), (Ids{"v"}));
  EXPECT_EQ(result.models[0].mmproj, (models_ / "vision/mmproj-f16.gguf").string());
  EXPECT_EQ(result.models[0].size, Bytes(7));
}

TEST_F(CatalogTest, AProjectorAmongSeveralModelsIsNotUsed) {
  put("vision/v.gguf");
  put("vision/w.gguf");
  put("vision/mmproj.gguf");
  const ScanResult result = scan();
  ASSERT_EQ(ids(result), (Ids{"v", "w"}));
  EXPECT_EQ(result.models[0].mmproj, "");
  expect_one_problem(result, {"mmproj.gguf", "vision"});
}

TEST_F(CatalogTest, TwoLevelsOfFoldersAreRead) {
  put("publisher/model/deep.gguf");
  put("a/b/c/too-deep.gguf");
  put(".cache/hidden.gguf");
  EXPECT_EQ(ids(scan()), (Ids{"deep"}));
}

TEST_F(CatalogTest, OfTwoOfOneNameOneIsCalledByItsFolderToo) {
  put("x/m.gguf");
  put("y/m.gguf");
  put("other.gguf");
  const ScanResult result = scan();
  EXPECT_EQ(ids(result), (Ids{"m", "other", "y-m"}));
  EXPECT_TRUE(result.problems.empty());
}

TEST_F(CatalogTest, WhatModelsAreCalledIsKnownAfterARestart) {
  put("y/m.gguf");
  catalog();
  put("x/m.gguf");
  const auto restarted = [this] {
    auto made = std::make_unique<Catalog>(options_, driver_);
    made->apply(Catalog::scan(made->options()));
    return made;
  };
  for (int i = 0; i < 2; ++i) {
    const auto made = restarted();
    ASSERT_NE(made->find("m"), nullptr);
    EXPECT_EQ(made->find("m")->path, (models_ / "y/m.gguf").string());
    EXPECT_NE(made->find("x-m"), nullptr);
  }
  // Without the book the files count as new.
  std::ofstream(fs::path(options_.cache_dir) / "names.json") << "damaged";
  EXPECT_EQ(restarted()->find("m")->path, (models_ / "x/m.gguf").string());
}

TEST_F(CatalogTest, TheSameFolderTwiceIsNoProblem) {
  put("sub/m.gguf");
  options_.models_dirs = {models_.string(), models_.string(), (models_ / "sub").string()};
  const ScanResult result = scan();
  EXPECT_EQ(ids(result), (Ids{"m"}));
  EXPECT_TRUE(result.problems.empty());
}

TEST_F(CatalogTest, NamesThatCannotBeIdsComeNearest) {
  put("with space.gguf");
  put("stats.gguf");
  const ScanResult result = scan();
  ASSERT_EQ(result.models.size(), 2U);
  EXPECT_TRUE(result.problems.empty());
  EXPECT_EQ(result.models[1].id, "with-space");
  EXPECT_EQ(result.models[1].aliases, Ids{"with space"});
  EXPECT_TRUE(result.models[0].id.starts_with("model-")) << "reserved";
  EXPECT_TRUE(result.models[0].aliases.empty()) << "reserved";
  options_.entries = {{.id = "named", .path = "stats.gguf"}};
  EXPECT_EQ(ids(scan()), (Ids{"named", "with-space"}));
}

TEST_F(CatalogTest, AMissingFolderIsAProblem) {
  options_.models_dirs = {(root_ / "nowhere").string()};
  expect_one_problem(scan(), {"nowhere"});
}

TEST_F(CatalogTest, SymlinksOfTheOperatorAreFollowed) {
  const fs::path outside = put(root_ / "outside" / "blob");
  fs::create_symlink(outside, models_ / "linked.gguf");
  fs::create_symlink(root_ / "nothing", models_ / "broken.gguf");
  fs::create_directory_symlink(models_, models_ / "loop");
  const ScanResult result = scan();
  ASSERT_EQ(ids(result), (Ids{"linked"}));
  EXPECT_EQ(result.models[0].path, outside.string());
  expect_one_problem(result, {"broken.gguf"});
}

TEST_F(CatalogTest, EntriesSetWhatTheySay) {
  put("m.gguf");
  put("n.gguf");
  options_.entries = {{.id = "m",
                       .aliases = {"gpt-4o-mini"},
                       .context = 512,
                       .parallel = 4,
                       .pinned = true,
                       .preload = PreloadStrategy::kEager,
                       .ttl = std::chrono::minutes(10),
                       .unload_ttl = std::chrono::hours(1),
                       .weights = WeightsMode::kMapped,
                       .args = {"--temp", "0"}}};
  const ScanResult result = scan();
  ASSERT_EQ(ids(result), (Ids{"m", "n"}));
  const ModelSpec& m = result.models[0];
  EXPECT_EQ(m.aliases, Ids{"gpt-4o-mini"});
  EXPECT_EQ(m.context, 512U);
  EXPECT_EQ(m.parallel, 4U);
  EXPECT_TRUE(m.pinned);
  EXPECT_EQ(m.preload, PreloadStrategy::kEager);
  EXPECT_EQ(m.ttl, std::chrono::minutes(10));
  EXPECT_EQ(m.unload_ttl, std::chrono::hours(1));
  EXPECT_EQ(m.weights, WeightsMode::kMapped);
  EXPECT_EQ(m.args, (Ids{"--temp", "0"}));
  EXPECT_EQ(result.models[1].parallel, std::nullopt);
  EXPECT_EQ(result.models[1].ttl, Duration::zero());
}

TEST_F(CatalogTest, FilesThatArgumentsNameLieInAModelsFolder) {
  put("m.gguf");
  put("draft-00001-of-00002.gguf");
  put("draft-00002-of-00002.gguf");
  const fs::path secret = root_ / "secret";
  std::ofstream(secret) << "x";
  options_.entries = {{.id = "m", .args = {"-md", "draft-00001-of-00002.gguf", "--temp", "0"}}};
  ScanResult result = scan();
  ASSERT_EQ(ids(result), (Ids{"draft", "m"})) << result.problems.front();
  const fs::path real = fs::canonical(models_);
  const std::string first = real / "draft-00001-of-00002.gguf";
  EXPECT_EQ(result.models[0].more_files, Ids{real / "draft-00002-of-00002.gguf"});
  EXPECT_EQ(result.models[1].args, (Ids{"-md", first, "--temp", "0"}));
  EXPECT_EQ(result.models[1].more_files, (Ids{first, real / "draft-00002-of-00002.gguf"}));

  for (const std::string& file : {secret.string(), std::string("../secret"), std::string("gone.gguf")}) {
    options_.entries = {{.id = "m", .args = {"--grammar-file", file}}};
    result = scan();
    EXPECT_EQ(ids(result), Ids{"draft"}) << file;
    ASSERT_EQ(result.problems.size(), 1U);
    EXPECT_NE(result.problems[0].find("\"m\" is not listed: --grammar-file " + file), std::string::npos)
        << result.problems[0];
  }
}

TEST_F(CatalogTest, ANewerDraftModelIsInspectedAnew) {
  put("m.gguf");
  put("t.jinja");
  options_.entries = {{.id = "m", .args = {"--chat-template-file", "t.jinja"}}};
  const std::int64_t before = scan().models.front().modified_ns;
  fs::last_write_time(models_ / "t.jinja", fs::last_write_time(models_ / "m.gguf") + std::chrono::seconds(1));
  EXPECT_GT(scan().models.front().modified_ns, before);
}

TEST_F(CatalogTest, AnEntryWithAPathRenamesTheFile) {
  put("llama-7b.Q4_K_M.gguf");
  options_.entries = {{.id = "llama-7b", .path = "llama-7b.Q4_K_M.gguf"},
                      {.id = "llama-7b-long", .path = (models_ / "llama-7b.Q4_K_M.gguf").string(), .context = 65536}};
  const ScanResult result = scan();
  EXPECT_EQ(ids(result), (Ids{"llama-7b", "llama-7b-long"}));
  EXPECT_TRUE(result.problems.empty());
}

TEST_F(CatalogTest, EntriesWithoutAFileAreProblems) {
  options_.entries = {{.id = "nothing"}};
  expect_one_problem(scan(), {"\"nothing\""});
  put(root_ / "secret.gguf");
  options_.entries = {{.id = "outside", .path = "../secret.gguf"}};
  expect_one_problem(scan(), {"\"outside\"", "../secret.gguf"});
}

TEST_F(CatalogTest, AnEntryWithACommandNeedsNoFile) {
  ModelEntry entry;
  entry.id = "whisper";
  entry.aliases = {"tts"};
  entry.pinned = true;
  entry.command.argv = {"serve", "${PORT}"};
  entry.command.memory = Bytes::gib(2);
  options_.entries = {entry};
  const auto known = catalog();
  const ModelSpec* const spec = known->find("tts");
  ASSERT_NE(spec, nullptr);
  EXPECT_EQ(spec->id, "whisper");
  EXPECT_EQ(spec->command, entry.command);
  EXPECT_TRUE(spec->pinned);
  EXPECT_EQ(spec->size, Bytes());

  const auto answer = inspect(*known, "whisper");
  EXPECT_EQ(driver_.asked.front().spec.command, entry.command);
  driver_.answer(metadata_of(5));
  EXPECT_EQ((**answer)->predicted, Bytes(5));
  EXPECT_NE(known->metadata(*known->find("whisper")), nullptr);

  // With another memory nothing is known.
  options_.entries.front().command.memory = Bytes::gib(3);
  known->set_options(options_.models_dirs, false, options_.entries, true);
  EXPECT_EQ(known->apply(scan()).added_or_changed.size(), 1U);
  EXPECT_EQ(known->metadata(*known->find("whisper")), nullptr);

  put("whisper.gguf");
  EXPECT_EQ(ids(scan()), (Ids{"models-whisper", "whisper"})) << "the config's name is its own";
}

TEST_F(CatalogTest, AliasesMustNotCollide) {
  put("a.gguf");
  put("b.gguf");
  options_.entries = {{.id = "a", .aliases = {"b"}}, {.id = "b", .aliases = {"c"}}};
  const ScanResult result = scan();
  expect_one_problem(result, {"\"b\"", "\"a\""});
  EXPECT_TRUE(result.models[0].aliases.empty());
  EXPECT_EQ(result.models[1].aliases, Ids{"c"});
  options_.entries = {{.id = "a", .aliases = {"x"}}, {.id = "b", .aliases = {"x"}}};
  expect_one_problem(scan(), {"\"x\""});
}

TEST_F(CatalogTest, FindsByIdAndAlias) {
  put("a.gguf");
  options_.entries = {{.id = "a", .aliases = {"other/name:latest"}}};
  const auto made = catalog();
  ASSERT_NE(made->find("a"), nullptr);
  EXPECT_EQ(made->find("other/name:latest"), made->find("a"));
  EXPECT_EQ(made->find("b"), nullptr);
  EXPECT_EQ(made->find(""), nullptr);
  ASSERT_EQ(made->list().size(), 1U);
  EXPECT_EQ(made->list()[0]->id, "a");
}

TEST_F(CatalogTest, ApplyTellsWhatChanged) {
  put("a.gguf");
  put("b.gguf");
  Catalog made(options_, driver_);
  Catalog::Changes changes = made.apply(scan());
  EXPECT_EQ(changes.added_or_changed.size(), 2U);
  EXPECT_TRUE(changes.removed.empty());

  changes = made.apply(scan());
  EXPECT_TRUE(changes.added_or_changed.empty());
  EXPECT_TRUE(changes.removed.empty());

  put("a.gguf", 20);
  fs::remove(models_ / "b.gguf");
  changes = made.apply(scan());
  ASSERT_EQ(changes.added_or_changed.size(), 1U);
  EXPECT_EQ(changes.added_or_changed[0].id, "a");
  EXPECT_EQ(changes.added_or_changed[0].size, Bytes(20));
  EXPECT_EQ(changes.removed, Ids{"b"});
}

TEST_F(CatalogTest, AddPathNamesAFile) {
  const fs::path file = put("sub/file.gguf", 4);
  const auto made = catalog();
  const auto relative = made->add_path("mine", "sub/file.gguf");
  ASSERT_TRUE(relative.has_value()) << relative.error().message;
  EXPECT_EQ((*relative)->path, file.string());
  EXPECT_EQ((*relative)->size, Bytes(4));
  EXPECT_EQ(made->find("mine"), *relative);
  EXPECT_TRUE(made->add_path("mine", file.string()).has_value()) << "the same file again";
  EXPECT_TRUE(made->add_path("file", "sub/../sub/file.gguf").has_value()) << "what the scan found";

  put("other.gguf");
  const auto conflict = made->add_path("mine", "other.gguf");
  ASSERT_FALSE(conflict.has_value());
  EXPECT_EQ(conflict.error().code, ErrorCode::kConflict);
  for (const std::string bad : {"", "stats", "a b", "../x"}) {
    const auto refused = made->add_path(bad, "other.gguf");
    ASSERT_FALSE(refused.has_value()) << bad;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST_F(CatalogTest, ClientsMayWriteNamesInOtherWays) {
  put("My Model.Q4_0.gguf");
  put("a.gguf");
  put("A.gguf");
  put("b:latest.gguf");
  const auto made = catalog();
  for (const std::string name : {"My-Model.Q4_0", "My Model.Q4_0", "my-model.q4_0", "MY MODEL.Q4_0",
                                 "My-Model.Q4_0:latest", "my model.q4_0.gguf", "hf.co/My-Model.Q4_0:latest"}) {
    ASSERT_NE(made->look_up(name), nullptr) << name;
    EXPECT_EQ(made->look_up(name)->id, "My-Model.Q4_0") << name;
  }
  EXPECT_EQ(made->look_up("a")->id, "a");
  EXPECT_EQ(made->look_up("A:latest")->id, "A");
  EXPECT_EQ(made->look_up("b:latest")->id, "b:latest");
  for (const std::string name : {"", "latest", ":latest", ".gguf", "c", "b", "hf.co/"}) {
    EXPECT_EQ(made->look_up(name), nullptr) << name;
  }
  fs::remove(models_ / "A.gguf");
  made->apply(scan());
  EXPECT_EQ(made->look_up("A")->id, "a");
}

TEST_F(CatalogTest, AnAmbiguousCaseIsNobody) {
  put("ab.gguf");
  put("AB.gguf");
  const auto made = catalog();
  EXPECT_EQ(made->look_up("Ab"), nullptr);
  EXPECT_EQ(made->look_up("AB")->id, "AB");
}

TEST_F(CatalogTest, WhatIsAddedToLookAtItGoesAgain) {
  put("m.gguf");
  const auto made = catalog();
  for (int i = 0; i < 50; ++i) {
    const ModelId id = "z" + std::to_string(i);
    ASSERT_TRUE(made->add_path(id, "m.gguf", /*for_now=*/true).has_value()) << i;
    EXPECT_TRUE(made->drop_path(id));
    EXPECT_EQ(made->find(id), nullptr);
  }
  EXPECT_EQ(made->list().size(), 1U);
  // Two callers look at it; then one of them wants it to stay.
  ASSERT_TRUE(made->add_path("z", "m.gguf", true).has_value());
  ASSERT_TRUE(made->add_path("z", "m.gguf", true).has_value());
  EXPECT_FALSE(made->drop_path("z"));
  ASSERT_TRUE(made->add_path("z", "m.gguf").has_value());
  EXPECT_FALSE(made->drop_path("z"));
  EXPECT_NE(made->find("z"), nullptr);
  EXPECT_FALSE(made->drop_path("z"));
  EXPECT_FALSE(made->drop_path("m")) << "what the scan found stays";
  EXPECT_FALSE(made->drop_path("nobody"));
}

TEST_F(CatalogTest, AFileHasSoManyNamesAtMost) {
  put("m.gguf");
  put("n.gguf");
  const auto made = catalog();
  Result<const ModelSpec*> added = nullptr;
  int names = 0;
  while ((added = made->add_path("z" + std::to_string(names), "m.gguf")) && names < 100) ++names;
  ASSERT_FALSE(added.has_value());
  EXPECT_EQ(added.error().code, ErrorCode::kConflict);
  EXPECT_EQ(names, 15);
  EXPECT_TRUE(made->add_path("z0", "m.gguf").has_value()) << "known";
  EXPECT_TRUE(made->add_path("y", "n.gguf").has_value());
}

TEST_F(CatalogTest, ThePathRuleGivesOneAnswerForAllItRefuses) {
  put("good.gguf");
  const fs::path secret = put(root_ / "secret.gguf");
  put(root_ / "models-but-not-really" / "x.gguf");
  fs::create_symlink(secret, models_ / "escape.gguf");
  fs::create_directory_symlink(root_, models_ / "up");
  fs::create_directory(models_ / "folder.gguf");
  ASSERT_EQ(::mkfifo((models_ / "fifo.gguf").c_str(), 0600), 0);
  fs::create_symlink("loop.gguf", models_ / "loop.gguf");
  std::vector<std::string> paths = {"",
                                    ".",
                                    "/",
                                    "missing.gguf",
                                    "../secret.gguf",
                                    secret.string(),
                                    "escape.gguf",
                                    "up/secret.gguf",
                                    "folder.gguf",
                                    "fifo.gguf",
                                    "loop.gguf",
                                    "/dev/zero",
                                    "/proc/self/mem",
                                    models_.string(),
                                    "../models-but-not-really/x.gguf",
                                    (root_ / "models-but-not-really" / "x.gguf").string(),
                                    std::string("good.gguf\0.txt", 14),
                                    std::string(100000, 'a'),
                                    "good.gguf/"};
  if (::geteuid() != 0) {  // root can read everything
    const fs::path unreadable = put("unreadable.gguf");
    fs::permissions(unreadable, fs::perms::none);
    paths.push_back(unreadable.string());
  }
  const auto made = catalog();
  const auto expected = made->add_path("new", "missing.gguf");
  ASSERT_FALSE(expected.has_value());
  for (const std::string& path : paths) {
    const auto refused = made->add_path("new", path);
    ASSERT_FALSE(refused.has_value()) << path;
    EXPECT_EQ(refused.error().code, ErrorCode::kModelNotFound) << path;
    EXPECT_EQ(refused.error().message, expected.error().message) << path;
  }
  fs::create_symlink("good.gguf", models_ / "inside.gguf");
  const auto inside = made->add_path("new", "inside.gguf");
  ASSERT_TRUE(inside.has_value());
  EXPECT_EQ((*inside)->path, (models_ / "good.gguf").string());
}

TEST_F(CatalogTest, AddPathTakesAllPartsOrNone) {
  put("p-00001-of-00002.gguf", 1);
  const fs::path outside = put(root_ / "p2", 1);
  const auto made = catalog();
  const auto incomplete = made->add_path("p", "p-00001-of-00002.gguf");
  ASSERT_FALSE(incomplete.has_value());
  EXPECT_EQ(incomplete.error().code, ErrorCode::kInvalidModel);
  fs::create_symlink(outside, models_ / "p-00002-of-00002.gguf");
  const auto escaping = made->add_path("p", "p-00001-of-00002.gguf");
  ASSERT_FALSE(escaping.has_value());
  EXPECT_EQ(escaping.error().code, ErrorCode::kModelNotFound);
  fs::remove(models_ / "p-00002-of-00002.gguf");
  put("p-00002-of-00002.gguf", 2);
  const auto complete = made->add_path("p", "p-00002-of-00002.gguf");
  ASSERT_TRUE(complete.has_value());
  EXPECT_EQ((*complete)->size, Bytes(3));
  EXPECT_EQ((*complete)->path, (models_ / "p-00001-of-00002.gguf").string());
}

TEST_F(CatalogTest, ModelsAddedByPathStayAsLongAsTheirFile) {
  const fs::path file = put("a/b/c/deep.gguf");
  const auto made = catalog();
  EXPECT_EQ(made->list().size(), 0U);
  ASSERT_TRUE(made->add_path("deep", "a/b/c/deep.gguf").has_value());
  EXPECT_TRUE(made->apply(scan()).removed.empty());
  EXPECT_NE(made->find("deep"), nullptr);
  put(file, 20);
  const Catalog::Changes changes = made->apply(scan());
  ASSERT_EQ(changes.added_or_changed.size(), 1U);
  EXPECT_EQ(changes.added_or_changed[0].size, Bytes(20));
  fs::remove(file);
  EXPECT_EQ(made->apply(scan()).removed, Ids{"deep"});
  EXPECT_EQ(made->find("deep"), nullptr);
}

TEST_F(CatalogTest, InspectsOnceForAllWhoAsk) {
  put("a.gguf");
  const auto made = catalog();
  const auto first = inspect(*made, "a");
  const auto second = inspect(*made, "a");
  ASSERT_EQ(driver_.asked.size(), 1U);
  EXPECT_EQ(driver_.asked[0].spec, *made->find("a"));
  EXPECT_EQ(made->metadata(*made->find("a")), nullptr);
  driver_.answer(metadata_of(5));
  ASSERT_TRUE(first->has_value() && second->has_value());
  EXPECT_EQ((**first)->predicted, Bytes(5));
  EXPECT_EQ((**second)->predicted, Bytes(5));
  ASSERT_NE(made->metadata(*made->find("a")), nullptr);

  EXPECT_TRUE(inspect(*made, "a")->has_value()) << "known now";
  EXPECT_TRUE(driver_.asked.empty());
  // Another catalog, later, reads it from disk.
  EXPECT_TRUE(inspect(*catalog(), "a")->has_value());
  EXPECT_TRUE(driver_.asked.empty());
}

TEST_F(CatalogTest, WhatChangesTheAnswerIsInspectedAnew) {
  put("a.gguf");
  const auto known = [&] {
    const auto answer = inspect(*catalog(), "a");
    if (answer->has_value()) return true;
    driver_.asked.clear();
    return false;
  };
  const auto learn = [&] {
    const auto made = catalog();
    const auto answer = inspect(*made, "a");
    if (!driver_.asked.empty()) driver_.answer(metadata_of(1));
    ASSERT_TRUE(answer->has_value());
  };
  learn();
  EXPECT_TRUE(known());

  driver_.version = "2";
  EXPECT_FALSE(known()) << "another engine";
  learn();
  put("a.gguf", 11);
  EXPECT_FALSE(known()) << "another size";
  learn();
  fs::last_write_time(models_ / "a.gguf", fs::last_write_time(models_ / "a.gguf") + std::chrono::seconds(1));
  EXPECT_FALSE(known()) << "another time";
  learn();
  for (const ModelEntry& entry :
       {ModelEntry{.id = "a", .context = 77}, ModelEntry{.id = "a", .parallel = 7},
        ModelEntry{.id = "a", .weights = WeightsMode::kMapped}, ModelEntry{.id = "a", .args = {"-ctk", "q8_0"}},
        ModelEntry{.id = "a", .args = {"-ctv", "q8_0"}}}) {
    options_.entries = {entry};
    EXPECT_FALSE(known());
    learn();
  }
  options_.entries = {{.id = "a", .aliases = {"b"}, .pinned = true}};
  EXPECT_TRUE(known()) << "these change nothing";
}

TEST_F(CatalogTest, AFileOfTheSameSizeAndTimeIsAnotherOne) {
  // The parts, and the files in the arguments, whichever is the newest.
  for (const char* const name : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "t.jinja"}) put(name);
  options_.entries = {{.id = "m", .args = {"--chat-template-file", "t.jinja"}}};
  const auto made = catalog();
  EXPECT_FALSE(look_again(*made, "m"));
  for (const char* const name : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "t.jinja"}) {
    const std::string key = made->key(*made->find("m"));
    const auto time = fs::last_write_time(models_ / name);
    put("aside");
    fs::last_write_time(models_ / "aside", time);
    fs::rename(models_ / "aside", models_ / name);
    const Catalog::Changes changes = made->apply(scan());
    ASSERT_EQ(changes.added_or_changed.size(), 1U) << name;
    EXPECT_NE(made->key(*made->find("m")), key) << "what is known of the old one is not the new one's";
    EXPECT_TRUE(made->apply(scan()).added_or_changed.empty());
  }
  put("t.jinja", 20);
  EXPECT_TRUE(look_again(*made, "m"));
  EXPECT_FALSE(look_again(*made, "m"));
  fs::remove(models_ / "t.jinja");
  EXPECT_FALSE(look_again(*made, "m"));
  EXPECT_FALSE(look_again(*made, "nobody"));
}

TEST_F(CatalogTest, AReplacedFileIsNoticedWithoutAScan) {
  put("a.gguf");
  const auto made = catalog();
  inspect(*made, "a");
  driver_.answer(metadata_of(1));
  put("a.gguf", 99);
  const auto answer = inspect(*made, "a");
  EXPECT_FALSE(answer->has_value());
  ASSERT_EQ(driver_.asked.size(), 1U);
  EXPECT_EQ(driver_.asked[0].spec.size, Bytes(99));
  // The file is replaced again meanwhile: the caller gets the answer, and it is not kept.
  put("a.gguf", 100);
  driver_.answer(metadata_of(2));
  ASSERT_TRUE(answer->has_value());
  EXPECT_FALSE(inspect(*made, "a")->has_value());
}

TEST_F(CatalogTest, ADeletedFileIsNotFound) {
  put("a.gguf");
  const auto made = catalog();
  fs::remove(models_ / "a.gguf");
  for (const std::string id : {"a", "unknown"}) {
    const auto answer = inspect(*made, id);
    ASSERT_TRUE(answer->has_value());
    EXPECT_EQ((*answer)->error().code, ErrorCode::kModelNotFound);
  }
  EXPECT_TRUE(driver_.asked.empty());
}

TEST_F(CatalogTest, AFileDeletedWhileItIsInspectedIsNotFound) {
  for (const Result<ModelMetadata>& result :
       {Result<ModelMetadata>(fail(ErrorCode::kInvalidModel, "no such file")), Result<ModelMetadata>(metadata_of(1))}) {
    put("a.gguf");
    const auto made = catalog();
    const auto answer = inspect(*made, "a");
    fs::remove(models_ / "a.gguf");
    driver_.answer(result);
    ASSERT_TRUE(answer->has_value());
    ASSERT_FALSE((*answer)->has_value());
    EXPECT_EQ((*answer)->error().code, ErrorCode::kModelNotFound);
  }
}

TEST_F(CatalogTest, OnlyTheFilesOwnFailuresAreKept) {
  put("a.gguf");
  const auto made = catalog();
  const auto first = inspect(*made, "a");
  driver_.answer(fail(ErrorCode::kEngineTimeout, "slow"));
  ASSERT_TRUE(first->has_value());
  const auto second = inspect(*made, "a");
  EXPECT_FALSE(second->has_value()) << "tried anew";
  driver_.answer(fail(ErrorCode::kInvalidModel, "bad"));
  const auto third = inspect(*made, "a");
  ASSERT_TRUE(third->has_value());
  EXPECT_EQ((*third)->error().message, "bad");
  EXPECT_TRUE(driver_.asked.empty());
}

TEST_F(CatalogTest, AnInspectionForNobodyThatEndsLaterForgetsNothingMeasured) {
  put("a.gguf");
  const auto made = catalog();
  made->inspect_idly(*made->find("a"), [](const Result<ModelMetadata>&) {});
  inspect(*made, "a");
  ASSERT_EQ(driver_.asked.size(), 2U);
  std::swap(driver_.asked[0], driver_.asked[1]);
  driver_.answer(metadata_of(1000));
  made->note_measured(made->key(*made->find("a")), {Bytes(900)});
  driver_.answer(metadata_of(1000));
  EXPECT_EQ(made->metadata(*made->find("a"))->footprint(), Bytes(900));
}

TEST_F(CatalogTest, AFileThatGoesWithAModelIsNoModel) {
  put("a.gguf");
  const auto made = catalog();
  const auto answer = inspect(*made, "a");
  ModelMetadata projector;
  projector.kind = FileKind::kProjector;
  driver_.answer(projector);
  ASSERT_TRUE(answer->has_value());
  ASSERT_FALSE((*answer)->has_value());
  EXPECT_EQ((*answer)->error().code, ErrorCode::kInvalidModel);
  EXPECT_NE((*answer)->error().message.find("a projector"), std::string::npos);
  EXPECT_EQ(made->metadata(*made->find("a")), nullptr);
  EXPECT_TRUE(inspect(*made, "a")->has_value()) << "known now";
}

TEST_F(CatalogTest, ALineBreakInAPathIsAProblem) {
  put("two\nlines.gguf");
  const ScanResult result = scan();
  EXPECT_TRUE(result.models.empty());
  expect_one_problem(result, {"two\nlines.gguf", "line break"});
}

TEST_F(CatalogTest, AnAnswerAfterTheCatalogIsGoneIsDropped) {
  put("a.gguf");
  auto made = catalog();
  const auto answer = inspect(*made, "a");
  made.reset();
  driver_.answer(metadata_of(1));
  EXPECT_FALSE(answer->has_value());
}

TEST_F(CatalogTest, WhoAskedMayDestroyTheCatalog) {
  put("a.gguf");
  auto made = catalog();
  made->inspect("a", {room_}, [&made](const Result<FittedModel>&) { made.reset(); });
  made->inspect("a", {room_}, [](const Result<FittedModel>&) { FAIL() << "its catalog is gone"; });
  driver_.answer(metadata_of(1));
  EXPECT_EQ(made, nullptr);
}

// ---- what was measured ----

TEST_F(CatalogTest, WhatWasMeasuredTakesThePlaceOfThePredictionForTheSameArguments) {
  put("a.gguf");
  const auto first = catalog();
  inspect(*first, "a");
  driver_.answer(metadata_of(1000));
  const std::string key = first->key(*first->find("a"));
  first->note_measured(key, {Bytes(900)});
  first->note_residue(key, Bytes(70));
  first->note_measured("something else", {Bytes(1)});
  EXPECT_EQ(first->metadata(*first->find("a"))->footprint(), Bytes(900));

  const auto after_a_restart = catalog();
  const auto answer = inspect(*after_a_restart, "a");
  ASSERT_TRUE(answer->has_value()) << "without asking the driver";
  EXPECT_EQ((**answer)->footprint(), Bytes(900));
  EXPECT_EQ((**answer)->predicted, Bytes(1000));
  EXPECT_EQ((**answer)->residue, Bytes(70));

  options_.entries = {{.id = "a", .parallel = 4}};
  const auto other_arguments = catalog();
  EXPECT_FALSE(inspect(*other_arguments, "a")->has_value());
  driver_.answer(metadata_of(2000));
  EXPECT_EQ(other_arguments->metadata(*other_arguments->find("a"))->footprint(), Bytes(2000));
}

TEST_F(CatalogTest, HowLongItTookIsKnownAfterARestartAsAnAverage) {
  using std::chrono::seconds;
  put("a.gguf");
  const auto first = catalog();
  inspect(*first, "a");
  driver_.answer(metadata_of(1000));
  const std::string key = first->key(*first->find("a"));
  first->note_load_time(key, seconds(4));
  first->note_load_time(key, seconds(10));
  first->note_wake_time(key, seconds(2));
  const auto after_a_restart = catalog();
  const ModelMetadata* const known = after_a_restart->metadata(*after_a_restart->find("a"));
  ASSERT_NE(known, nullptr);
  EXPECT_EQ(known->load_time, seconds(6));
  EXPECT_EQ(known->wake_time, seconds(2));
}

TEST_F(CatalogTest, AFigureThatHardlyChangesIsNotWrittenAgain) {
  put("a.gguf");
  const auto made = catalog();
  inspect(*made, "a");
  driver_.answer(metadata_of(100'000));
  const std::string key = made->key(*made->find("a"));
  made->note_measured(key, {Bytes(100'000)});
  fs::remove_all(options_.cache_dir);
  made->note_measured(key, {Bytes(100'900)});
  EXPECT_FALSE(fs::exists(options_.cache_dir));
  EXPECT_EQ(made->metadata(*made->find("a"))->footprint(), Bytes(100'000));
  made->note_measured(key, {Bytes(98'000)});
  EXPECT_TRUE(fs::exists(options_.cache_dir));
  EXPECT_EQ(made->metadata(*made->find("a"))->footprint(), Bytes(98'000));
}

// ---- contexts that may shrink ----

class CatalogShrinkTest : public CatalogTest {
 protected:
  void SetUp() override {
    CatalogTest::SetUp();
    put("a.gguf");
    options_.entries = {{.id = "a", .context = 8192, .context_may_shrink = true}};
  }
  // Answers every question: a model takes 1000 bytes, and one more for each token.
  unsigned answer_all() {
    unsigned questions = 0;
    for (; !driver_.asked.empty(); ++questions) {
      const unsigned context = conversation_context(driver_.asked.front().spec, 0);
      ModelMetadata metadata = metadata_of(1000 + context);
      metadata.context = context;
      driver_.answer(metadata);
    }
    return questions;
  }
};

TEST_F(CatalogShrinkTest, ItGetsTheLargestContextThatLeavesRoomForParkedModels) {
  const auto made = catalog();
  room_ = Bytes(1000 + 3100);
  auto answer = inspect(*made, "a");
  answer_all();
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ((**answer)->context, 2560U);
  EXPECT_EQ((**answer)->footprint(), Bytes(3560));
  EXPECT_EQ(reduction_.context, 2560U);
  EXPECT_EQ(made->known_fit(*made->find("a"), room_), reduction_);
  // Everything is known now, also to another catalog, later.
  answer = inspect(*made, "a");
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ((**answer)->context, 2560U);
  const auto later = catalog();
  EXPECT_EQ(later->known_fit(*later->find("a"), room_), reduction_);
  // With more room the model gets more.
  room_ = Bytes(10'000);
  answer = inspect(*made, "a");
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ((**answer)->context, 8192U);
  EXPECT_EQ(reduction_, Reduction{});
}

TEST_F(CatalogShrinkTest, WhatWasMeasuredCountsHereToo) {
  const auto made = catalog();
  room_ = Bytes(1000 + 3100);
  inspect(*made, "a");
  answer_all();
  ModelSpec reduced = *made->find("a");
  reduced.reduction = reduction_;
  made->note_measured(made->key(reduced), {Bytes(4500)});
  const auto answer = inspect(*made, "a");
  answer_all();
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ((**answer)->context, 1792U);
}

TEST_F(CatalogShrinkTest, OfOneThatCannotBeSmallEnoughTheLeastIsTold) {
  const auto made = catalog();
  room_ = Bytes(1100);
  const auto answer = inspect(*made, "a");
  answer_all();
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ((**answer)->footprint(), Bytes(1512));
  EXPECT_EQ(reduction_, Reduction{});
  EXPECT_EQ(made->known_fit(*made->find("a"), room_), std::nullopt);
}

TEST_F(CatalogShrinkTest, WhereNothingMayGiveWayOneQuestionIsAsked) {
  options_.entries.front().context_may_shrink = false;
  options_.fit = false;
  const auto made = catalog();
  room_ = Bytes(1100);
  const auto answer = inspect(*made, "a");
  EXPECT_EQ(answer_all(), 1U);
  EXPECT_EQ((**answer)->context, 8192U);
}

TEST_F(CatalogShrinkTest, TheCatalogMayGoWhileItIsSearched) {
  auto made = catalog();
  room_ = Bytes(2000);
  const auto answer = inspect(*made, "a");
  ModelMetadata whole = metadata_of(9192);
  whole.context = 8192;
  driver_.answer(whole);
  ASSERT_EQ(driver_.asked.size(), 1U);
  made.reset();
  driver_.answer(whole);
  EXPECT_FALSE(answer->has_value());
}

// A disk that does not answer: all threads that look at files wait for it.
class CatalogOnASlowDisk : public CatalogTest {
 protected:
  static constexpr int kThreads = 20;
  void hold_the_disk() {
    for (int i = 0; i < kThreads; ++i)
      loop_.offload(io::Lane::kAwaited, [disk = disk_answers_] { disk.wait(); }, [] {});
  }
  void turn() {
    for (int i = 0; i < kThreads; ++i) {
      loop_.post([this] { loop_.stop(); });
      loop_.run();
    }
  }

  io::Loop loop_;
  std::promise<void> disk_;
  std::shared_future<void> disk_answers_ = disk_.get_future().share();
};

TEST_F(CatalogOnASlowDisk, FilesAreLookedAtBesideTheLoop) {
  put("a.gguf");
  Catalog catalog(options_, driver_, &loop_);
  catalog.apply(scan());
  put("new", 20);
  fs::rename(models_ / "new", models_ / "a.gguf");
  hold_the_disk();
  std::optional<bool> replaced;
  catalog.look_again("a", [&](bool files) { replaced = files; });
  const auto answer = inspect(catalog, "a");
  turn();
  EXPECT_FALSE(replaced);
  EXPECT_TRUE(driver_.asked.empty());
  disk_.set_value();
  while (!replaced || driver_.asked.empty()) turn();
  EXPECT_TRUE(*replaced);
  EXPECT_EQ(driver_.asked.front().spec.size, Bytes(20));
  driver_.answer(metadata_of(5));
  while (!*answer) turn();
  EXPECT_TRUE((*answer)->has_value());
}

TEST_F(CatalogOnASlowDisk, AModelThatGoesMeanwhileIsNotFound) {
  put("a.gguf");
  Catalog catalog(options_, driver_, &loop_);
  catalog.apply(scan());
  hold_the_disk();
  const auto answer = inspect(catalog, "a");
  catalog.apply({});
  disk_.set_value();
  while (!*answer) turn();
  ASSERT_FALSE((*answer)->has_value());
  EXPECT_EQ((*answer)->error().code, ErrorCode::kModelNotFound);
}

TEST_F(CatalogOnASlowDisk, NobodyIsAnsweredOnceItIsGone) {
  put("a.gguf");
  auto catalog = std::make_unique<Catalog>(options_, driver_, &loop_);
  catalog->apply(scan());
  hold_the_disk();
  const auto answer = inspect(*catalog, "a");
  catalog.reset();
  disk_.set_value();
  turn();
  EXPECT_FALSE(*answer);
}

}  // namespace
}  // namespace minerva
