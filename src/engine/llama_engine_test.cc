// The driver with a small shell script in the engine's place. The model's name chooses what the script does.
#include "engine/llama_engine.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace minerva {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

constexpr std::string_view kFakeEngine = R"sh(#!/bin/sh
state() { printf '\ncmd_child_to_router:state:%s\n' "$1"; }
loading() { state "{\"state\":\"loading\",\"payload\":{\"stages\":[\"a\"],\"current\":\"a\",\"value\":$1}}"; }
ready() { state '{"state":"ready","payload":{}}'; }
wait_for_exit() { while read -r line; do echo "was told: $line"; obey "$line"; done; exit 0; }
say() { echo "$1" >&0; }
parking() { say "{\"id\":$id,\"parked\":$1,\"written_bytes\":10,\"image_bytes\":20}"; }
obey() {
  set -- $1
  id=$2
  case "$1 $3" in
    'park 1') parking 'false,"refused":"its image is too large","image_wanted_bytes":4096' ;;
    'park 2') parking 'false,"refused":"it is working","busy":true' ;;
    'park 3') echo 'error: out of luck' >&2; kill -ABRT $$ ;;
    'park 4') say nonsense; parking '"yes"' ;;
    'park 5') say nonsense; parking '"yes"'; parking 'true,"residue_bytes":30' ;;
    park* | drop*) parking 'true,"residue_bytes":30' ;;
    wake*) parking false ;;
    'measure 0') say "{\"id\":$id,\"measured\":{\"footprint_bytes\":40}}" ;;
  esac
}
describe() { echo "{\"architecture\":\"llama\",\"parameters\":$1,\"trained_context\":$2,\"can_embed\":$3,\"memory\":{\"total_bytes\":$4}}"; }

if [ "$1" = inspect ]; then
  file=$2
  context=0; embeddings=0
  while [ $# -gt 0 ]; do
    case $1 in
      -c) context=$2 ;;
      --embeddings) embeddings=1 ;;
    esac
    shift
  done
  case $file in
    *invalid*) echo '{"error":"not a GGUF file"}'; exit 1 ;;
    *segv*) echo 'GGML_ASSERT(false) failed' >&2; kill -SEGV $$ ;;
    *killed*) kill -KILL $$ ;;
    *busy*) kill -XCPU $$ ;;
    *garbage*) echo hello; echo 'error: no idea' >&2; exit 3 ;;
    *chatter*) while :; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; done ;;
    *hang*) exec sleep 1000 ;;
    *embed*) describe 1 512 true $((context + embeddings)) ;;
    *count*)
      touch "$TMPDIR/running.$$"
      running=$(ls "$TMPDIR" | grep -c running)
      describe "$running" 8192 false 1
      rm "$TMPDIR/running.$$" ;;
    *) describe 1 2048 false "$context" ;;
  esac
  exit 0
fi

socket=$2; model=$4
echo "arguments: $*" >&2
env >&2
touch "$socket"
case $model in
  *parkable*) say '{"protocol":2,"can_park":true}' ;;
  *tmpfs*) say '{"protocol":2,"can_park":false,"why_not":"it is in memory"}' ;;
  *future*) say '{"protocol":3,"can_park":true}' ;;
esac
case $model in
  *hang*) loading 0.25; exec sleep 1000 ;;
  *invalid*) loading 0; echo '0.00.017.830 E llama_model_load: error loading model: it is corrupted' >&2; exit 1 ;;
  *memory*) loading 0; echo '0.00.017.830 E load: failed to allocate buffer: failed to load model' >&2; exit 1 ;;
  *full*) loading 0; echo '0.00.017.830 E ggml_gallocr_reserve_n: failed to allocate Dev0 buffer of size 7' >&2; exit 1 ;;
  *crowded*)
    echo 'ggml_vulkan: Device memory allocation of size 7 failed.' >&2
    echo '0.00.017.830 E llama_model_load: error loading model: unable to allocate Vulkan0 buffer' >&2
    echo '0.00.017.831 E cmn  common_init_: failed to create context with model' >&2
    exit 1 ;;
  *abort*) loading 0.5; echo 'ggml.c:1: GGML_ASSERT(x) failed' >&2; kill -ABRT $$ ;;
  *stubborn*) ready; exec sleep 1000 ;;
  *silent*) ready; exec >&-; echo closed >&2; exec sleep 1000 ;;
  *dies*) ready; echo 'error: out of luck' >&2; exit 7 ;;
  *) loading 0; loading 0.5; loading 0.25; loading 1; ready; wait_for_exit ;;
esac
)sh";

class LlamaEngineTest : public testing::Test {
 protected:
  using ParkResult = tl::expected<protocol::ParkReport, EngineAgent::ParkRefusal>;

  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "llama-engine-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    engine_path_ = folder_ / "engine.sh";
    std::ofstream(engine_path_) << kFakeEngine;
    fs::permissions(engine_path_, fs::perms::owner_all);
    watchdog_.arm(Clock::now() + seconds(60), [this] {
      ADD_FAILURE() << "nothing happened for a minute";
      loop_.stop();
    });
    driver_ = make_driver({});
  }

  void TearDown() override {
    engine_.reset();
    driver_.reset();
    fs::remove_all(folder_);
  }

  std::unique_ptr<EngineDriver> make_driver(LlamaDriverOptions options) {
    options.engine_path = engine_path_.string();
    options.runtime_dir = (folder_ / "run").string();
    options.environment.push_back("TMPDIR=" + folder_.string());
    return make_llama_driver(loop_, std::move(options));
  }

  ModelSpec spec(const std::string& name) {
    ModelSpec spec;
    spec.id = name;
    spec.path = (folder_ / (name + ".gguf")).string();
    std::ofstream(spec.path) << "x";
    return spec;
  }

  // Starts the engine, and runs the loop until it is ready, has exited, or `until` stops the loop.
  void start(const std::string& name, const std::function<void()>& on_progress = [] {}) {
    start(spec(name), on_progress);
  }
  void start(const ModelSpec& model, const std::function<void()>& on_progress = [] {}) {
    Engine::Handlers handlers;
    handlers.on_progress = [this, on_progress](double fraction) {
      progress_.push_back(fraction);
      on_progress();
    };
    handlers.on_ready = [this] {
      ready_ = true;
      why_not_parkable_ = engine_->agent()->why_not_parkable();
      loop_.stop();
    };
    handlers.on_exit = [this](Error reason) {
      ++exits_;
      reason_ = std::move(reason);
      loop_.stop();
    };
    ready_ = false;
    auto started = driver_->start(model, ModelMetadata{}, log_, std::move(handlers));
    ASSERT_TRUE(started.has_value()) << started.error().message;
    engine_ = std::move(*started);
    EXPECT_FALSE(ready_);
    loop_.run();
  }

  Result<ModelMetadata> inspect(const ModelSpec& model) {
    Result<ModelMetadata> answer = fail(ErrorCode::kInternal, "no answer");
    bool inside = true;
    driver_->inspect(model, [&](Result<ModelMetadata> result) {
      EXPECT_FALSE(inside);
      answer = std::move(result);
      loop_.stop();
    });
    inside = false;
    loop_.run();
    return answer;
  }

  // Parks the engine with this limit, which tells the script what to do. Runs until there is an answer, or the engine
  // has exited.
  void park(std::uint64_t max_image) {
    parks_ = 0;
    engine_->agent()->park(Bytes(max_image), [this](ParkResult result) {
      ++parks_;
      park_ = std::move(result);
      loop_.stop();
    });
    EXPECT_EQ(parks_, 0) << "never from inside the call";
    loop_.run();
  }

  // Runs until the log has a line with these words.
  void run_until_logged(std::string_view words) {
    const auto following = log_->follow([this, words](std::string_view line) {
      if (line.find(words) != std::string_view::npos) loop_.stop();
    });
    loop_.run();
  }

  std::string log_text() const {
    std::string text;
    for (const auto& line : log_->tail(1000)) text += line + "\n";
    return text;
  }

  io::Loop loop_;
  io::Timer watchdog_{loop_};
  fs::path folder_;
  fs::path engine_path_;
  std::unique_ptr<EngineDriver> driver_;
  std::shared_ptr<EngineLog> log_ = std::make_shared<EngineLog>();
  std::unique_ptr<Engine> engine_;
  std::vector<double> progress_;
  bool ready_ = false;
  std::string why_not_parkable_;  // set once it is ready
  int exits_ = 0;
  Error reason_;
  int parks_ = 0;  // how many answers came
  std::optional<ParkResult> park_;
};

TEST_F(LlamaEngineTest, LoadsServesAndStopsWhenAsked) {
  start("good");
  ASSERT_TRUE(ready_);
  EXPECT_EQ(progress_, (std::vector<double>{0, 0.5, 0.5, 1}));
  const std::string socket = engine_->address().unix_path;
  EXPECT_TRUE(fs::exists(socket));
  struct stat status{};
  ASSERT_EQ(::stat((folder_ / "run").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
  EXPECT_GT(engine_->pid(), 0);

  engine_->stop(seconds(30));
  EXPECT_EQ(exits_, 0) << "never from inside the call";
  loop_.run();
  EXPECT_EQ(exits_, 1);
  EXPECT_EQ(reason_.code, ErrorCode::kCancelled);
  EXPECT_FALSE(fs::exists(socket));
  engine_->stop(seconds(30));  // no effect any more
}

TEST_F(LlamaEngineTest, EachEngineHasItsOwnSocket) {
  start("one");
  const auto first = std::move(engine_);
  start("two");
  EXPECT_NE(first->address().unix_path, engine_->address().unix_path);
}

TEST_F(LlamaEngineTest, GetsItsArgumentsAndNothingOfTheDaemonsEnvironment) {
  ::setenv("LLAMA_ARG_CTX_SIZE", "1", 1);
  ::setenv("AIP_MODE", "PREDICTION", 1);
  start("good");
  ::unsetenv("LLAMA_ARG_CTX_SIZE");
  ::unsetenv("AIP_MODE");
  // What the script wrote before it became ready may still be in the pipe. At its exit all of it has come.
  engine_->stop(seconds(30));
  loop_.run();
  const std::string text = log_text();
  EXPECT_NE(text.find("LLAMA_SERVER_ROUTER_PORT=1\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("LLAMA_ARG"), std::string::npos) << text;
  EXPECT_EQ(text.find("AIP_MODE"), std::string::npos) << text;
  EXPECT_NE(text.find("-m " + (folder_ / "good.gguf").string() + " --alias good "), std::string::npos) << text;
  EXPECT_NE(text.find(" -c 16384 -np 2 "), std::string::npos) << text;
}

TEST_F(LlamaEngineTest, IsToldWhatItsSandboxMustLeaveOpen) {
  LlamaDriverOptions options;
  options.sandbox = "required";
  driver_ = make_driver(options);
  ModelSpec model = spec("good");
  model.mmproj = "/models/mmproj.gguf";
  model.more_files = {"/models/part 2.gguf", "/models/draft.gguf"};
  start(model);
  engine_->stop(seconds(30));
  loop_.run();
  const std::string text = log_text();
  EXPECT_NE(text.find("MINERVA_SANDBOX=required\n"), std::string::npos) << text;
  EXPECT_NE(text.find("MINERVA_SANDBOX_PATHS=read " + model.path +
                      "\nread /models/mmproj.gguf\nread /models/part 2.gguf\nread /models/draft.gguf\nsockets " +
                      (folder_ / "run").string() + "\n"),
            std::string::npos)
      << text;
}

TEST_F(LlamaEngineTest, IsToldWhereItsConversationsAre) {
  ModelSpec model = spec("good");
  model.conversations = "/state/conversations/m.0123";
  start(model);
  engine_->stop(seconds(30));
  loop_.run();
  EXPECT_NE(log_text().find("MINERVA_CONVERSATIONS=/state/conversations/m.0123\n"), std::string::npos) << log_text();
  EXPECT_NE(log_text().find("\nread /state/conversations/m.0123\n"), std::string::npos) << log_text();
}

TEST_F(LlamaEngineTest, WithoutConversationsItIsToldNothing) {
  start("good");
  engine_->stop(seconds(30));
  loop_.run();
  EXPECT_EQ(log_text().find("MINERVA_CONVERSATIONS"), std::string::npos) << log_text();
}

TEST_F(LlamaEngineTest, APathThatWouldSmuggleALineIsRefused) {
  ModelSpec model = spec("good");
  model.more_files = {"/models/x\nread /etc"};
  const auto started = driver_->start(model, ModelMetadata{}, log_, {});
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().code, ErrorCode::kInvalidArgument);
  const auto inspected = inspect(model);
  ASSERT_FALSE(inspected.has_value());
  EXPECT_EQ(inspected.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(LlamaEngineTest, IsToldHowManyComputeAtOnce) {
  start("good");
  engine_->share_cores(3);
  engine_->stop(seconds(30));
  loop_.run();
  EXPECT_NE(log_text().find("was told: sharers 3\n"), std::string::npos) << log_text();
}

TEST_F(LlamaEngineTest, IsToldWhereItsImageGoes) {
  for (const std::string folder : {"", "/var/images"}) {
    LlamaDriverOptions options;
    options.image_folder = folder;
    driver_ = make_driver(options);
    log_ = std::make_shared<EngineLog>();
    start("good");
    engine_->stop(seconds(30));
    loop_.run();
    EXPECT_EQ(log_text().find("MINERVA_IMAGE_FOLDER=/var/images\n") != std::string::npos, !folder.empty());
    EXPECT_EQ(log_text().find("MINERVA_IMAGE_FOLDER") != std::string::npos, !folder.empty());
  }
}

TEST_F(LlamaEngineTest, OnceReadyItIsKnownWhetherItCanBeParked) {
  start("parkable");
  EXPECT_EQ(why_not_parkable_, "");
  start("tmpfs");
  EXPECT_EQ(why_not_parkable_, "it is in memory");
  start("future");
  EXPECT_NE(why_not_parkable_.find("version 3"), std::string::npos) << why_not_parkable_;
  start("good");
  EXPECT_NE(why_not_parkable_, "") << "it has not said a word";
}

TEST_F(LlamaEngineTest, ParksAndWakes) {
  start("parkable");
  park(1000);
  ASSERT_TRUE(park_ && park_->has_value());
  EXPECT_EQ((*park_)->residue_bytes, 30U);
  EXPECT_EQ((*park_)->image_bytes, 20U);
  EXPECT_EQ((*park_)->written_bytes, 10U);
  engine_->agent()->drop_pages(Bytes(50), [](Bytes) {});
  bool woken = false;
  engine_->agent()->wake([&](const Result<protocol::ParkReport>&) {
    woken = true;
    loop_.stop();
  });
  EXPECT_FALSE(woken) << "never from inside the call";
  loop_.run();
  EXPECT_TRUE(woken);
  std::optional<Bytes> footprint;
  engine_->agent()->measure([&](const std::optional<Measurement>& measured) {
    if (measured) footprint = measured->host;
    loop_.stop();
  });
  loop_.run();
  EXPECT_EQ(footprint, Bytes(40));
  engine_->stop(seconds(30));
  loop_.run();
  EXPECT_EQ(reason_.code, ErrorCode::kCancelled);
  EXPECT_NE(log_text().find("was told: park 1 1000\nwas told: drop 2 50\nwas told: wake 3\nwas told: measure 4 0\n"),
            std::string::npos)
      << log_text();
}

TEST_F(LlamaEngineTest, ARefusedParkSaysWhy) {
  start("parkable");
  park(2);
  ASSERT_TRUE(park_ && !park_->has_value());
  EXPECT_EQ(park_->error().reason.message, "it is working");
  EXPECT_EQ(park_->error().image_wanted, Bytes(0));
  park(1);
  ASSERT_FALSE(park_->has_value());
  EXPECT_EQ(park_->error().image_wanted, Bytes(4096));
  park(1000);
  EXPECT_TRUE(park_->has_value());
}

TEST_F(LlamaEngineTest, ADeathWhileParkingIsNoAnswer) {
  start("parkable");
  park(3);
  EXPECT_EQ(parks_, 0);
  EXPECT_EQ(exits_, 1);
  EXPECT_EQ(reason_.code, ErrorCode::kEngineCrashed);
  EXPECT_EQ(reason_.message, "the engine died (killed by signal 6 (Aborted)): error: out of luck");
}

TEST_F(LlamaEngineTest, AMalformedAnswerIsNone) {
  start("parkable");
  park(5);
  ASSERT_TRUE(park_ && park_->has_value());
  EXPECT_EQ((*park_)->residue_bytes, 30U);
  EXPECT_NE(log_text().find("nonsense"), std::string::npos);
  EXPECT_NE(log_text().find("\"yes\""), std::string::npos);
}

TEST_F(LlamaEngineTest, OneThatOnlyTalksNonsenseCanStillBeEnded) {
  start("parkable");
  const std::uint64_t before = engine_->activity();
  engine_->agent()->park(Bytes(4), [this](const ParkResult&) { ++parks_; });
  run_until_logged("\"yes\"");
  EXPECT_GT(engine_->activity(), before) << "it does something";
  engine_->kill({ErrorCode::kEngineTimeout, "it does not park"});
  loop_.run();
  EXPECT_EQ(parks_, 0);
  EXPECT_EQ(exits_, 1);
  EXPECT_EQ(reason_.message, "it does not park");
}

TEST_F(LlamaEngineTest, AParkedOneEndsWhenItIsStopped) {
  start("parkable");
  park(1000);
  engine_->stop(seconds(1000));
  EXPECT_EQ(exits_, 0) << "never from inside the call";
  loop_.run();
  EXPECT_EQ(exits_, 1);
  EXPECT_EQ(reason_.code, ErrorCode::kCancelled);
}

TEST_F(LlamaEngineTest, OneThatIsOnItsWayOutDoesNotAnswerAnyMore) {
  start("parkable");
  engine_->agent()->park(Bytes(1000), [this](const ParkResult&) { ++parks_; });
  engine_->stop(seconds(1000));
  loop_.run();
  EXPECT_EQ(parks_, 0);
  EXPECT_EQ(exits_, 1);
  EXPECT_EQ(reason_.code, ErrorCode::kCancelled);
  EXPECT_NE(log_text().find("was told: park 1 1000\n"), std::string::npos);
}

TEST_F(LlamaEngineTest, StopWhileLoadingKillsAtOnce) {
  start("hang", [this] { loop_.stop(); });
  EXPECT_FALSE(ready_);
  engine_->stop(seconds(1000));
  loop_.run();
  EXPECT_EQ(exits_, 1);
  EXPECT_EQ(reason_.code, ErrorCode::kCancelled);
}

TEST_F(LlamaEngineTest, OneThatDoesNotListenIsKilledAfterItsGrace) {
  start("stubborn");
  ASSERT_TRUE(ready_);
  engine_->stop(std::chrono::milliseconds(50));
  loop_.run();
  EXPECT_EQ(exits_, 1);
  EXPECT_EQ(reason_.code, ErrorCode::kCancelled);
}

TEST_F(LlamaEngineTest, ABadFileIsAnInvalidModel) {
  start("invalid");
  EXPECT_FALSE(ready_);
  EXPECT_EQ(reason_.code, ErrorCode::kInvalidModel);
  EXPECT_NE(reason_.message.find("it is corrupted"), std::string::npos) << reason_.message;
}

TEST_F(LlamaEngineTest, TooLittleMemoryIsNotTheFilesFault) {
  start("memory");
  EXPECT_EQ(reason_.code, ErrorCode::kEngineCrashed);
  EXPECT_NE(reason_.message.find("exit code 1"), std::string::npos) << reason_.message;
}

TEST_F(LlamaEngineTest, ADeviceThatHasNoRoomIsNamedIfTheModelIsToBeThere) {
  LlamaDriverOptions options;
  options.device_engine_path = engine_path_.string();
  options.devices = {"Dev0"};
  driver_ = make_driver(options);
  ModelSpec on_device = spec("full");
  on_device.placement.devices = {"Dev0"};
  start(on_device);
  EXPECT_EQ(reason_.code, ErrorCode::kNoCapacity);
  EXPECT_NE(reason_.message.find("Dev0 has no room"), std::string::npos) << reason_.message;
  start("full");
  EXPECT_EQ(reason_.code, ErrorCode::kEngineCrashed);
}

TEST_F(LlamaEngineTest, DevicesAreLookedAtByAChildThatMayFailOrHang) {
  const auto look_by = [this](const fs::path& variant) {
    LlamaDriverOptions options;
    options.device_engine_path = variant.string();
    options.device_look_timeout = std::chrono::seconds(30);
    driver_ = make_driver(options);
    std::optional<DeviceMemories> seen;
    driver_->look_at_devices([&](const DeviceMemories& memories) {
      seen = memories;
      loop_.stop();
    });
    loop_.run();
    return seen.value_or(DeviceMemories{{"none", {}}});
  };
  const auto look = [&](const char* program) {
    const fs::path path = folder_ / "variant.sh";
    std::ofstream(path) << "#!/bin/sh\n" << program << "\n";
    fs::permissions(path, fs::perms::owner_all);
    return look_by(path);
  };
  const DeviceMemories seen =
      look(R"(echo '{"devices":[{"name":"Dev0","total_bytes":8,"free_bytes":3}]}'; test "$1" = list-devices)");
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen.at("Dev0").free, Bytes(3));
  EXPECT_TRUE(look(R"(echo '{"devices":[{"name":"Dev0","total_bytes":8,"free_bytes":3}]}'; exit 1)").empty());
  EXPECT_TRUE(look("echo nonsense").empty());
  EXPECT_TRUE(look_by(folder_ / "nothing").empty());
}

TEST_F(LlamaEngineTest, ADeviceWithoutRoomIsNotTheFilesFaultEither) {
  start("crowded");
  EXPECT_EQ(reason_.code, ErrorCode::kNoCapacity);
  EXPECT_NE(reason_.message.find("a device has no room for it: llama_model_load"), std::string::npos)
      << reason_.message;
}

TEST_F(LlamaEngineTest, ACrashWhileLoadingSaysHow) {
  start("abort");
  EXPECT_EQ(reason_.code, ErrorCode::kEngineCrashed);
  EXPECT_NE(reason_.message.find("signal 6"), std::string::npos) << reason_.message;
  EXPECT_NE(reason_.message.find("GGML_ASSERT(x)"), std::string::npos) << reason_.message;
}

TEST_F(LlamaEngineTest, ACrashWhileServingSaysHow) {
  start("dies");
  ASSERT_TRUE(ready_);
  if (exits_ == 0) loop_.run();
  EXPECT_EQ(reason_.code, ErrorCode::kEngineCrashed);
  EXPECT_EQ(reason_.message, "the engine died (exit code 7): error: out of luck");
}

TEST_F(LlamaEngineTest, ClosingItsOutputIsNotExiting) {
  bool closed = false;
  const auto following = log_->follow([&](std::string_view line) {
    if (line != "closed") return;
    closed = true;
    loop_.stop();
  });
  start("silent");
  if (!closed) loop_.run();
  // The end of its stdout can be read by now: the loop gets one more round for it.
  loop_.post([this] { loop_.post([this] { loop_.stop(); }); });
  loop_.run();
  EXPECT_EQ(exits_, 0);
  EXPECT_EQ(::kill(engine_->pid(), 0), 0);
  engine_->stop(Duration::zero());
  while (exits_ == 0) loop_.run();
  EXPECT_EQ(exits_, 1);
}

TEST_F(LlamaEngineTest, DestroyingItKillsAndReapsItWithoutACall) {
  start("stubborn");
  const pid_t pid = engine_->pid();
  const std::string socket = engine_->address().unix_path;
  engine_.reset();
  EXPECT_FALSE(fs::exists(socket));
  // The loop has reaped the process, so its id is free.
  io::Timer look(loop_);
  const std::function<void()> look_again = [&] {
    if (::kill(pid, 0) != 0) return loop_.stop();
    look.arm(Clock::now() + std::chrono::milliseconds(1), look_again);
  };
  look.arm(Clock::now(), look_again);
  loop_.run();
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(exits_, 0);
}

TEST_F(LlamaEngineTest, AProgramThatIsNotThereIsAnError) {
  fs::remove(engine_path_);
  const auto started = driver_->start(spec("good"), {}, log_, {});
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().code, ErrorCode::kIo);
  const auto inspected = inspect(spec("good"));
  ASSERT_FALSE(inspected.has_value());
  EXPECT_EQ(inspected.error().code, ErrorCode::kInternal);
}

TEST_F(LlamaEngineTest, ATooLongSocketPathIsRefusedInWords) {
  LlamaDriverOptions options;
  options.engine_path = engine_path_.string();
  options.runtime_dir = (folder_ / std::string(120, 'x')).string();
  const auto started = make_llama_driver(loop_, options)->start(spec("good"), {}, log_, {});
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(LlamaEngineTest, InspectsWithTheArgumentsItWillRunWith) {
  const auto small = inspect(spec("small"));
  ASSERT_TRUE(small.has_value()) << small.error().message;
  EXPECT_EQ(small->trained_context, 2048U);
  EXPECT_EQ(small->context, 2048U);
  EXPECT_EQ(small->predicted, Bytes(4096)) << "two conversations of 2048 tokens";

  ModelSpec set = spec("set");
  set.context = 100;
  set.parallel = 3;
  const auto own = inspect(set);
  ASSERT_TRUE(own.has_value());
  EXPECT_EQ(own->context, 100U);
  EXPECT_EQ(own->predicted, Bytes(300));

  const auto embedding = inspect(spec("embed"));
  ASSERT_TRUE(embedding.has_value());
  EXPECT_EQ(embedding->predicted, Bytes(1025)) << "--embeddings was given";
}

TEST_F(LlamaEngineTest, InspectionFailuresSayWhoseFaultItIs) {
  const std::vector<std::tuple<std::string, ErrorCode, std::string>> cases = {
      {"invalid", ErrorCode::kInvalidModel, "not a GGUF file"},
      {"segv", ErrorCode::kInvalidModel, "signal 11"},
      {"killed", ErrorCode::kInternal, "signal 9"},
      {"busy", ErrorCode::kInvalidModel, "busy for ever"},
      {"garbage", ErrorCode::kInternal, "no idea"},
      {"chatter", ErrorCode::kInternal, "more than it should"},
  };
  for (const auto& [name, code, words] : cases) {
    const auto answer = inspect(spec(name));
    ASSERT_FALSE(answer.has_value()) << name;
    EXPECT_EQ(answer.error().code, code) << name << ": " << answer.error().message;
    EXPECT_NE(answer.error().message.find(words), std::string::npos) << answer.error().message;
  }
}

TEST_F(LlamaEngineTest, AnInspectionThatHangsIsGivenUp) {
  LlamaDriverOptions options;
  options.inspect_timeout = std::chrono::milliseconds(100);
  driver_ = make_driver(options);
  const auto answer = inspect(spec("hang"));
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::kEngineTimeout);
}

TEST_F(LlamaEngineTest, InspectionsQueue) {
  constexpr int kCount = 8;
  int done = 0;
  for (int i = 0; i < kCount; ++i) {
    driver_->inspect(spec("count" + std::to_string(i)), [&](Result<ModelMetadata> result) {
      ASSERT_TRUE(result.has_value()) << result.error().message;
      EXPECT_LE(result->parameters, 2U) << "at most two at once";
      if (++done == kCount) loop_.stop();
    });
  }
  loop_.run();
  EXPECT_EQ(done, kCount);
}

TEST_F(LlamaEngineTest, AnInspectionForNobodyMakesWay) {
  std::optional<Result<ModelMetadata>> idle;
  const auto inspect_idly = [&](const std::string& name, bool stop) {
    idle.reset();
    driver_->inspect_idly(spec(name), [&, stop](Result<ModelMetadata> result) {
      idle = std::move(result);
      if (stop) loop_.stop();
    });
  };
  inspect_idly("small", true);
  loop_.run();
  ASSERT_TRUE(idle && *idle) << "nobody wants anything else";
  EXPECT_EQ((*idle)->trained_context, 2048U);

  inspect_idly("hang", false);
  EXPECT_TRUE(inspect(spec("small")).has_value());
  ASSERT_TRUE(idle && !*idle);
  EXPECT_EQ(idle->error().code, ErrorCode::kCancelled);

  inspect_idly("hang", false);
  start(spec("good"));
  ASSERT_TRUE(idle && !*idle);
  EXPECT_EQ(idle->error().code, ErrorCode::kCancelled) << "an engine starts";
  inspect_idly("small", true);
  loop_.run();
  EXPECT_TRUE(idle && *idle) << "the next one";
}

TEST_F(LlamaEngineTest, DestroyingTheDriverForgetsItsInspections) {
  for (int i = 0; i < 3; ++i) {
    driver_->inspect(spec("hang"), [](Result<ModelMetadata>) { FAIL() << "called back"; });
  }
  // The children start once the earlier calls in the queue were made.
  loop_.post([this] {
    driver_.reset();
    loop_.post([this] { loop_.stop(); });
  });
  loop_.run();
}

TEST_F(LlamaEngineTest, TheFingerprintFollowsTheProgramAndTheDefaults) {
  const std::string before = driver_->fingerprint();
  EXPECT_EQ(before, make_driver({})->fingerprint());
  LlamaDriverOptions options;
  options.defaults.batch = 64;
  EXPECT_NE(before, make_driver(options)->fingerprint());
  std::ofstream(engine_path_, std::ios::app) << "# another version\n";
  EXPECT_NE(before, driver_->fingerprint());
}

}  // namespace
}  // namespace minerva
