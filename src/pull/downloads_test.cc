#include "pull/downloads.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "io/failing_files.h"
#include "pull/layout.h"

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

const std::string kJobsCommit(40, 'c');
// Of "hello\n", as sha256sum has it.
const std::string kJobsEtag = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

// What a start finds of a job that the last process had ended, or not; offline, so that a job that runs again fails.
class DownloadsTest : public testing::Test {
 protected:
  DownloadsTest() {
    std::string pattern = (fs::temp_directory_path() / "downloads-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    ::setenv("HF_HUB_OFFLINE", "1", 1);
    EXPECT_TRUE(layout().make_folders());
    job_.id = "pull-1";
    job_.name = "org/repo:Q4_K_M";
    job_.state = JobState::kDone;
    job_.model = "org/repo:Q4_K_M";
    job_.progress.commit = kJobsCommit;
    job_.progress.file = "x.gguf";
    job_.progress.files = {"x.gguf"};
    job_.progress.made = {kJobsEtag};
    job_.placed = true;
    job_.boot = "this boot";
    put("hello\n");
    EXPECT_TRUE(layout().link(kJobsCommit, "x.gguf", kJobsEtag));
    EXPECT_TRUE(layout().set_ref("main", kJobsCommit));
  }
  void TearDown() override {
    ::unsetenv("HF_HUB_OFFLINE");
    fs::remove_all(folder_);
  }

  HubLayout layout() const { return {folder_ / "hub", "org/repo"}; }
  std::string table() const { return (folder_ / "downloads.json").string(); }
  void put(std::string_view text) const { std::ofstream(layout().blob(kJobsEtag), std::ios::trunc) << text; }
  Job kept() const { return parse_jobs(*io::StateFile(table(), kJobsFormat).read()).value().front(); }

  // A start with `job_` in the table, until `done` says so of what changed; what the table has in the end.
  Job start(const std::string& boot, const std::function<bool(const Job&)>& done) {
    EXPECT_TRUE(io::StateFile(table(), kJobsFormat).write(jobs_text({job_})));
    io::Loop loop;
    Downloads::Hooks hooks;
    hooks.settings = [&] {
      FetchSettings settings;
      settings.hub_cache = folder_ / "hub";
      settings.models_dir = folder_ / "models";
      return settings;
    };
    hooks.changed = [](const Job&, bool) {};
    hooks.fetched = [&](const std::string&, const Fetched& fetched) { fetched_.push_back(fetched.file); };
    Downloads downloads(loop, table(), hooks, boot);
    at_the_start_ = fs::exists(layout().blob(kJobsEtag));
    downloads.start();
    io::Timer look(loop);
    const std::function<void()> look_again = [&] {
      if (done(*downloads.list().front())) return loop.stop();
      look.arm(Clock::now() + std::chrono::milliseconds(1), look_again);
    };
    look.arm(Clock::now(), look_again);
    io::Timer bound(loop);
    bound.arm(Clock::now() + std::chrono::seconds(60), [&] {
      ADD_FAILURE() << "it never came to that";
      loop.stop();
    });
    loop.run();
    downloads.finish();
    return kept();
  }

  fs::path folder_;
  Job job_;
  bool at_the_start_ = false;  // the blob was to be seen
  std::vector<std::string> fetched_;
};

bool on_disk(const Job& job) { return !job.placed; }

TEST_F(DownloadsTest, InTheSameBootItIsSyncedOnly) {
  put("another content, which nobody looks at");
  const Job kept = start("this boot", on_disk);
  EXPECT_TRUE(at_the_start_);
  EXPECT_EQ(kept.state, JobState::kDone);
  EXPECT_TRUE(kept.progress.made.empty());
  EXPECT_TRUE(kept.progress.files.empty());
  EXPECT_TRUE(fs::exists(layout().blob(kJobsEtag)));
}

TEST_F(DownloadsTest, AfterAnotherBootItIsProvenFirst) {
  const Job kept = start("another boot", on_disk);
  EXPECT_FALSE(at_the_start_);
  EXPECT_EQ(kept.state, JobState::kDone);
  EXPECT_EQ(kept.boot, "another boot");
  EXPECT_TRUE(fs::exists(layout().snapshot(kJobsCommit, "x.gguf")));
  EXPECT_EQ(fetched_, std::vector<std::string>{"x.gguf"}) << "the catalog is told";
}

TEST_F(DownloadsTest, WhatDidNotSurviveIsPulledAgain) {
  put(std::string("hel\0\0\n", 6));
  const Job kept = start("another boot", [](const Job& job) { return job.state == JobState::kFailed; });
  EXPECT_FALSE(fs::exists(layout().blob(kJobsEtag)));
  EXPECT_FALSE(kept.placed);
  EXPECT_TRUE(kept.model.empty());
  EXPECT_NE(kept.error->message.find("HF_HUB_OFFLINE"), std::string::npos) << "it ran again: " << kept.error->message;
  EXPECT_TRUE(fetched_.empty());
}

TEST_F(DownloadsTest, WhatWasUnderWayIsProvenBeforeItGoesOn) {
  job_.state = JobState::kPaused;
  job_.placed = false;
  const Job kept = start("another boot", [](const Job& job) { return job.boot == "another boot"; });
  EXPECT_FALSE(at_the_start_);
  EXPECT_EQ(kept.state, JobState::kPaused);
  EXPECT_EQ(kept.progress.made, std::vector<std::string>{kJobsEtag});
  EXPECT_TRUE(fs::exists(layout().blob(kJobsEtag)));
}

TEST_F(DownloadsTest, ATableOfAnOlderMinervaIsTakenAsOneOfAnotherBoot) {
  job_.state = JobState::kPaused;
  job_.placed = false;
  job_.boot.clear();
  start("this boot", [](const Job& job) { return job.boot == "this boot"; });
  EXPECT_TRUE(fs::exists(layout().blob(kJobsEtag)));
}

TEST_F(DownloadsTest, WhatAFileThatNoModelIsLeftIsSyncedAndStays) {
  job_.state = JobState::kFailed;
  job_.error = Error{ErrorCode::kInvalidModel, "It is no model."};
  const Job kept = start("this boot", on_disk);
  EXPECT_EQ(kept.state, JobState::kFailed);
  EXPECT_TRUE(kept.progress.made.empty()) << "cancelling it must not take the file";
}

// At each call that fails: the table on disk is the old or the new one, the pull is under way all the same, and the
// next save has it.
TEST_F(DownloadsTest, ADiskThatFailsCostsTheNewestOnly) {
  for (int n = 1; n <= 6; ++n) {
    SCOPED_TRACE(n);
    job_.state = JobState::kPaused;
    job_.placed = false;
    ASSERT_TRUE(io::StateFile(table(), kJobsFormat).write(jobs_text({job_})));
    io::Loop loop;
    Downloads::Hooks hooks;
    hooks.settings = [] { return FetchSettings{}; };
    hooks.changed = [](const Job&, bool) {};
    fs::create_directories(folder_ / "kept");
    fs::copy_file(table(), folder_ / "kept/downloads.json", fs::copy_options::overwrite_existing);
    const std::string kept = (folder_ / "kept/downloads.json").string();
    io::FailingFiles disk(folder_ / "kept");
    Downloads downloads(loop, kept, hooks, "this boot", disk);
    ASSERT_TRUE(downloads.cancel("pull-1"));
    disk.fail_at(n, EIO, /*also_after=*/true);
    testing::internal::CaptureStderr();
    downloads.finish();
    EXPECT_NE(testing::internal::GetCapturedStderr().find("Input/output error"), std::string::npos);
    EXPECT_EQ(downloads.find("pull-1")->state, JobState::kCancelled);
    disk.lose_power(io::FailingFiles::Loss::kBytes);
    const auto state = [&] { return parse_jobs(*io::StateFile(kept, kJobsFormat).read()).value().front().state; };
    EXPECT_TRUE(state() == JobState::kPaused || state() == JobState::kCancelled);
    disk.fail_no_more();
    downloads.finish();
    EXPECT_EQ(state(), JobState::kCancelled);
  }
}

}  // namespace
}  // namespace minerva::pull
