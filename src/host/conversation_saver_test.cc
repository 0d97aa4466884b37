// When engines are asked to save. The agent does what the test says, and the store is a real one.
#include "host/conversation_saver.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <fstream>

namespace minerva {
namespace {

namespace fs = std::filesystem;
using conversations::Store;
using std::chrono::seconds;

constexpr EngineId kEngine{7};

class Agent final : public EngineAgent {
 public:
  const std::string& why_not_parkable() const override { return nothing_; }
  void park(Bytes, std::function<void(tl::expected<protocol::ParkReport, ParkRefusal>)>) override {}
  void drop_pages(Bytes, std::function<void(Bytes)>) override {}
  void wake(std::function<void(Result<protocol::ParkReport>)>) override {}
  void measure(std::function<void(std::optional<Measurement>)>) override {}
  void save(Duration rest, io::Descriptor file, std::function<void(SaveAnswer)> done) override {
    rests.push_back(rest);
    file_ = std::move(file);
    done_ = std::move(done);
    if (asked) asked();
  }
  void forget(const std::string& tenant) override { forgotten.push_back(tenant); }
  void on_conversation(std::function<void(const ConversationNote&)> fn) override { note = std::move(fn); }

  void answer(SaveAnswer what) {
    if (what.saved) EXPECT_EQ(::write(*file_, "rows", 4), 4);
    const auto done = std::move(done_);
    done(std::move(what));
  }
  bool is_asked() const { return done_ != nullptr; }

  std::vector<Duration> rests;  // one for each question
  std::vector<std::string> forgotten;
  std::function<void()> asked;
  std::function<void(const ConversationNote&)> note;

 private:
  std::string nothing_;
  io::Descriptor file_;
  std::function<void(SaveAnswer)> done_;
};

SaveAnswer saved(std::uint64_t n, bool more = false) {
  SaveAnswer answer;
  answer.saved = SavedSegment{"0", {{0, n}, {}, 0, 10}};
  answer.more = more;
  return answer;
}

class ConversationSaverTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "saver-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = fs::path(pattern) / "conversations";
    std::ofstream(fs::path(pattern) / "m.gguf") << "GGUF";
    store_.emplace(loop_, root_.string(), [](const ModelId&) { return 1.0; });
    store_->apply(Store::Settings{[](Bytes) { return Bytes::gib(1); }, std::chrono::hours(1), {"0"}});
    store_->prepare("m", {(fs::path(pattern) / "m.gguf").string()}, "x", [this](std::string folder) {
      folder_ = std::move(folder);
      loop_.stop();
    });
    loop_.run();
    settle();
    saver_.emplace(loop_, *store_);
    saver_->add(kEngine, "m", folder_, agent_);
    watchdog_.arm(Clock::now() + seconds(60), [this] {
      ADD_FAILURE() << "nothing happened for a minute";
      loop_.stop();
    });
  }
  void TearDown() override {
    saver_.reset();
    store_.reset();
    fs::remove_all(root_.parent_path());
  }
  // Runs what is there to be done without waiting for a timer.
  void settle() {
    for (int i = 0; i < 10; ++i) {
      store_->finish();
      loop_.post([this] { loop_.stop(); });
      loop_.run();
    }
  }
  void run_until_asked() {
    agent_.asked = [this] { loop_.stop(); };
    if (!agent_.is_asked()) loop_.run();
    agent_.asked = nullptr;
  }
  void leave(ConversationSaver::Leave how = ConversationSaver::Leave::kEnds) {
    saver_->before_leaving(kEngine, how, [this] { left_ = true; });
  }

  fs::path root_;
  std::string folder_;
  io::Loop loop_;
  io::Timer watchdog_{loop_};
  std::optional<Store> store_;
  Agent agent_;
  std::optional<ConversationSaver> saver_;
  bool left_ = false;
};

TEST_F(ConversationSaverTest, AsksOnceAnEngineRestsUntilItHasNothingMore) {
  saver_->answered(kEngine);
  run_until_asked();
  EXPECT_EQ(agent_.rests, std::vector<Duration>{ConversationSaver::kRest});
  agent_.answer(saved(1, /*more=*/true));
  settle();
  EXPECT_EQ(agent_.rests.size(), 2U) << "at once";
  agent_.answer({});
  settle();
  EXPECT_EQ(store_->segments(), 1U);
  leave();
  EXPECT_TRUE(left_) << "there is nothing to save";
  EXPECT_EQ(agent_.rests.size(), 2U);
}

TEST_F(ConversationSaverTest, WhatHadNotRestedYetIsAskedForAgain) {
  saver_->answered(kEngine);
  run_until_asked();
  SaveAnswer later;
  later.more = true;
  agent_.answer(later);
  run_until_asked();
  EXPECT_EQ(agent_.rests, (std::vector<Duration>{ConversationSaver::kRest, ConversationSaver::kRest}));
  agent_.answer(saved(1));
  settle();
  EXPECT_EQ(store_->segments(), 1U);
}

TEST_F(ConversationSaverTest, WhatGotNoNameIsAskedForAgain) {
  saver_->answered(kEngine);
  run_until_asked();
  // In the place of the tenant's folder is something else.
  const fs::path obstacle = fs::path(folder_) / "0";
  std::ofstream(obstacle) << "x";
  agent_.answer(saved(1));
  settle();
  EXPECT_EQ(store_->segments(), 0U);
  EXPECT_EQ(store_->counts().failed, 1U);
  fs::remove(obstacle);
  leave();
  EXPECT_FALSE(left_) << "there is something to save";
}

TEST_F(ConversationSaverTest, AnEngineThatNeverRestsIsAskedToo) {
  io::Timer next(loop_);
  std::function<void()> answer = [&] {
    saver_->answered(kEngine);
    next.arm(Clock::now() + std::chrono::milliseconds(100), answer);
  };
  answer();
  run_until_asked();
  EXPECT_TRUE(agent_.is_asked()) << "others of its conversations may rest";
}

TEST_F(ConversationSaverTest, IsAskedAsSoonAsTheLatestAnswerHasRested) {
  saver_->answered(kEngine);
  run_until_asked();
  saver_->answered(kEngine);
  const TimePoint answered = Clock::now();
  SaveAnswer later;
  later.more = true;
  agent_.answer(later);
  run_until_asked();
  EXPECT_GE(Clock::now() - answered, ConversationSaver::kRest);
  EXPECT_TRUE(agent_.is_asked());
}

TEST_F(ConversationSaverTest, OneThatHasAnsweredNothingIsNotAsked) {
  settle();
  leave();
  EXPECT_TRUE(left_);
  EXPECT_TRUE(agent_.rests.empty());
}

TEST_F(ConversationSaverTest, SavesWhatDoesNotRestBeforeItLeaves) {
  saver_->answered(kEngine);
  leave();
  settle();
  EXPECT_EQ(agent_.rests, std::vector<Duration>{Duration::zero()});
  EXPECT_FALSE(left_);
  agent_.answer(saved(1, /*more=*/true));
  settle();
  ASSERT_TRUE(agent_.is_asked());
  agent_.answer(saved(2));
  EXPECT_FALSE(left_) << "the next engine looks for the file";
  settle();
  EXPECT_TRUE(left_);
  EXPECT_EQ(store_->segments(), 2U);
}

TEST_F(ConversationSaverTest, OneThatParksNeedNotWaitForTheDisk) {
  saver_->answered(kEngine);
  leave(ConversationSaver::Leave::kParks);
  settle();
  agent_.answer(saved(1));
  EXPECT_TRUE(left_);
  left_ = false;
  leave();
  EXPECT_TRUE(left_) << "it is parked";
  EXPECT_EQ(agent_.rests.size(), 1U);
  saver_->stays(kEngine);
  settle();
  EXPECT_EQ(store_->segments(), 1U);
  saver_->answered(kEngine);
  leave();
  settle();
  EXPECT_EQ(agent_.rests.size(), 2U) << "it was woken, and answered again";
}

TEST_F(ConversationSaverTest, AQuestionUnderWayIsFollowedByOneForAll) {
  saver_->answered(kEngine);
  run_until_asked();
  leave();
  EXPECT_FALSE(left_);
  agent_.answer({});
  settle();
  EXPECT_FALSE(left_) << "that answer was about what has rested";
  EXPECT_EQ(agent_.rests, (std::vector<Duration>{ConversationSaver::kRest, Duration::zero()}));
  agent_.answer({});
  EXPECT_TRUE(left_);
}

TEST_F(ConversationSaverTest, AnEngineThatIsSilentLeavesAllTheSame) {
  saver_->answered(kEngine);
  saver_->before_leaving(kEngine, ConversationSaver::Leave::kEnds, [this] {
    left_ = true;
    loop_.stop();
  });
  loop_.run();
  EXPECT_TRUE(left_);
  left_ = false;
  agent_.answer(saved(1));
  settle();
  EXPECT_FALSE(left_) << "once";
  EXPECT_EQ(store_->segments(), 1U) << "what came late is kept";
}

TEST_F(ConversationSaverTest, TheLatestWayToLeaveCounts) {
  saver_->answered(kEngine);
  saver_->before_leaving(kEngine, ConversationSaver::Leave::kParks, [] { FAIL() << "it is to be stopped"; });
  leave();
  settle();
  agent_.answer({});
  EXPECT_TRUE(left_);
}

TEST_F(ConversationSaverTest, OneThatNeverSavesIsNotAskedAgain) {
  saver_->answered(kEngine);
  leave();
  settle();
  SaveAnswer never;
  never.why_not = "it is recurrent";
  agent_.answer(never);
  EXPECT_TRUE(left_);
  saver_->stays(kEngine);
  saver_->answered(kEngine);
  left_ = false;
  leave();
  EXPECT_TRUE(left_);
  EXPECT_EQ(agent_.rests.size(), 1U);
}

TEST_F(ConversationSaverTest, WhatIsForgottenIsNotKept) {
  saver_->forget("another", "a");
  EXPECT_TRUE(agent_.forgotten.empty());
  saver_->answered(kEngine);
  leave();
  settle();
  saver_->forget("m", "a");
  saver_->forget("", "");
  EXPECT_EQ(agent_.forgotten, (std::vector<std::string>{"a", protocol::kEverybody}));
  agent_.answer(saved(1));
  settle();
  EXPECT_EQ(store_->segments(), 0U) << "it was written before the engine heard of it";
  EXPECT_TRUE(left_);
  saver_->stays(kEngine);
  saver_->answered(kEngine);
  leave();
  settle();
  agent_.answer(saved(2));
  settle();
  EXPECT_EQ(store_->segments(), 1U);
}

TEST_F(ConversationSaverTest, AnEngineThatDiedCallsNobody) {
  saver_->answered(kEngine);
  leave();
  settle();
  saver_->remove(kEngine);
  settle();
  EXPECT_FALSE(left_);
}

TEST_F(ConversationSaverTest, OneThatMustNotSaveAnyMoreLeavesAtOnce) {
  saver_->answered(kEngine);
  leave();
  settle();
  saver_->stop(kEngine);
  EXPECT_TRUE(left_);
}

TEST_F(ConversationSaverTest, AFileThatCannotBeWrittenEndsTheQuestions) {
  saver_->answered(kEngine);
  leave();
  settle();
  SaveAnswer refused;
  refused.refused = "No space left on device";
  agent_.answer(refused);
  EXPECT_TRUE(left_);
  EXPECT_EQ(store_->counts().failed, 1U);
  saver_->stays(kEngine);
  saver_->answered(kEngine);
  left_ = false;
  leave();
  settle();
  EXPECT_TRUE(left_) << "the disk is left alone for a while";
  EXPECT_EQ(agent_.rests.size(), 1U);
}

TEST_F(ConversationSaverTest, AnEngineWhoseFolderIsGoneIsAskedNoMore) {
  fs::remove_all(root_);
  saver_->answered(kEngine);
  leave();
  settle();
  EXPECT_TRUE(left_);
  saver_->answered(kEngine);
  left_ = false;
  leave();
  EXPECT_TRUE(left_) << "at once";
  EXPECT_TRUE(agent_.rests.empty());
}

TEST_F(ConversationSaverTest, CountsWhatWasRestoredAndRemovesWhatCannotBe) {
  saver_->answered(kEngine);
  leave();
  settle();
  agent_.answer(saved(1));
  settle();
  const protocol::SegmentName name = saved(1).saved->name;
  agent_.note({"0", name, 12, seconds(1), seconds(5), {}});
  EXPECT_EQ(store_->counts().restored_tokens, 12U);
  EXPECT_EQ(store_->counts().time_saved, seconds(4));
  agent_.note({"0", name, 0, {}, {}, "its hash is wrong"});
  settle();
  EXPECT_EQ(store_->segments(), 0U);
}

}  // namespace
}  // namespace minerva
