// The driver with small shell scripts; the test listens in their place.
#include "engine/command_engine.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "engine/process_state.h"
#include "io/http.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

constexpr Duration kLong = seconds(60);

// Gets the models without a command.
class OtherDriver final : public EngineDriver {
 public:
  std::string fingerprint() const override { return "other"; }
  void inspect(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) override {
    ModelMetadata metadata;
    metadata.architecture = spec.path;
    done(metadata);
  }
  Result<std::unique_ptr<Engine>> start(const ModelSpec&, const ModelMetadata&, std::shared_ptr<EngineLog>,
                                        Engine::Handlers) override {
    return fail(ErrorCode::kIo, "the other one");
  }
};

class CommandEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "command-engine-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    watchdog_.arm(Clock::now() + kLong, [this] {
      ADD_FAILURE() << "nothing happened for a minute\n" << log_text();
      loop_.stop();
    });
    driver_ = make_command_driver(loop_, {LAUNCHER, (folder_ / "run").string()}, std::make_unique<OtherDriver>());
  }

  void TearDown() override {
    listeners_.clear();
    engine_.reset();
    driver_.reset();
    fs::remove_all(folder_);
  }

  static ModelSpec script(const std::string& text) {
    ModelSpec spec;
    spec.id = "m";
    // $0: the address to listen on.
    spec.command.argv = {"sh", "-c", text, "${PORT}"};
    spec.command.memory = Bytes::gib(2);
    return spec;
  }

  void start(const ModelSpec& spec) {
    Engine::Handlers handlers;
    handlers.on_ready = [this] {
      ready_ = true;
      loop_.stop();
    };
    handlers.on_exit = [this](Error reason) {
      ++exits_;
      reason_ = std::move(reason);
      loop_.stop();
    };
    auto started = driver_->start(spec, {}, log_, std::move(handlers));
    ASSERT_TRUE(started.has_value()) << started.error().message;
    engine_ = std::move(*started);
  }

  // Answers each request on `address` with the next of `statuses`; the last one is repeated.
  void serve(const io::Address& address, std::vector<int> statuses) {
    auto left = std::make_shared<std::vector<int>>(std::move(statuses));
    auto listener = io::Listener::open(loop_, address, [this, left](std::unique_ptr<io::Stream> stream) {
      loop_.spawn(answer(std::move(stream), left));
    });
    ASSERT_TRUE(listener.has_value()) << listener.error().message;
    listeners_.push_back(std::move(*listener));
  }

  io::Task<void> answer(std::unique_ptr<io::Stream> stream, std::shared_ptr<std::vector<int>> left) {
    io::HttpServerConnection connection(std::move(stream), {});
    const auto request = co_await connection.read_request();
    if (!request || !*request) co_return;
    targets_.push_back((*request)->target);
    io::ResponseHead head;
    head.status = left->front();
    if (left->size() > 1) left->erase(left->begin());
    co_await connection.respond(head, "");
  }

  void start_ready(const ModelSpec& spec) {
    start(spec);
    serve(engine_->address(), {200});
    loop_.run();
    ASSERT_TRUE(ready_) << reason_.message;
  }

  void wait_for_line(const std::string& line) {
    bool seen = false;
    const auto following = log_->follow([&](std::string_view text) {
      if (text != line) return;
      seen = true;
      loop_.stop();
    });
    const auto lines = log_->tail(1000);
    if (std::find(lines.begin(), lines.end(), line) == lines.end()) {
      loop_.run();
      ASSERT_TRUE(seen) << log_text();
    }
  }

  std::string log_text() const {
    std::string text;
    for (const std::string& line : log_->tail(1000)) text += line + "\n";
    return text;
  }

  // The process id in the file NAME of the test's folder.
  pid_t pid_in(const std::string& name) const {
    pid_t pid = 0;
    std::ifstream(folder_ / name) >> pid;
    return pid;
  }
  static bool alive(pid_t pid) { return ::kill(pid, 0) == 0 || errno != ESRCH; }

  io::Loop loop_;
  io::Timer watchdog_{loop_};
  fs::path folder_;
  std::unique_ptr<EngineDriver> driver_;
  std::shared_ptr<EngineLog> log_ = std::make_shared<EngineLog>();
  std::unique_ptr<Engine> engine_;
  std::vector<std::unique_ptr<io::Listener>> listeners_;
  std::vector<std::string> targets_;
  bool ready_ = false;
  int exits_ = 0;
  Error reason_{ErrorCode::kInternal, ""};
};

TEST_F(CommandEngineTest, TakesWhatTheConfigSaysAndLeavesFilesToTheOther) {
  ModelSpec file;
  file.path = "/x.gguf";
  EXPECT_EQ(driver_->fingerprint(), "other");
  Bytes footprint;
  std::string architecture;
  driver_->inspect(file, [&](const Result<ModelMetadata>& metadata) { architecture = metadata->architecture; });
  driver_->inspect(script("exit"), [&](const Result<ModelMetadata>& metadata) {
    footprint = metadata->predicted;
    loop_.stop();
  });
  EXPECT_EQ(footprint, Bytes()) << "not from inside the call";
  loop_.run();
  EXPECT_EQ(footprint, Bytes::gib(2));
  EXPECT_EQ(architecture, "/x.gguf");
  EXPECT_EQ(driver_->start(file, {}, log_, {}).error().message, "the other one");
}

TEST_F(CommandEngineTest, IsReadyOnceItsHealthPathIsGood) {
  ModelSpec spec = script("echo listening on $0; exec sleep 1000");
  spec.command.health = "/v1/models?x=1";
  start(spec);
  EXPECT_EQ(engine_->address().host, "127.0.0.1");
  serve(engine_->address(), {503, 503, 404, 204});
  EXPECT_FALSE(ready_);
  loop_.run();
  EXPECT_TRUE(ready_);
  EXPECT_EQ(targets_.size(), 4U);
  EXPECT_EQ(targets_.front(), "/v1/models?x=1");
  EXPECT_NE(log_text().find("answered with 503\n"), std::string::npos) << "why it waits is told";
  wait_for_line("listening on " + std::to_string(engine_->address().port));
}

TEST_F(CommandEngineTest, ASocketInAPrivateFolder) {
  ModelSpec spec = script("echo $0; exec sleep 1000");
  spec.command.argv.back() = "--at=${SOCKET}";
  start(spec);
  const io::Address address = engine_->address();
  ASSERT_TRUE(address.is_unix());
  EXPECT_EQ(fs::path(address.unix_path).parent_path(), folder_ / "run");
  EXPECT_EQ(fs::status(folder_ / "run").permissions(), fs::perms::owner_all);
  serve(address, {200});
  loop_.run();
  EXPECT_TRUE(ready_);
  wait_for_line("--at=" + address.unix_path);
  engine_->stop(kLong);
  loop_.run();
  EXPECT_EQ(exits_, 1);
  EXPECT_FALSE(fs::exists(address.unix_path));
}

TEST_F(CommandEngineTest, ItsEnvironmentIsTheFewInheritedVariablesAndItsOwn) {
  ::setenv("MINERVA_TEST_SECRET", "1", 1);
  ModelSpec spec = script("env; echo end; exec sleep 1000");
  spec.command.argv.pop_back();
  spec.command.environment = {"LISTEN=127.0.0.1:${PORT}"};
  start(spec);
  wait_for_line("end");
  ::unsetenv("MINERVA_TEST_SECRET");
  const std::string text = log_text();
  EXPECT_NE(text.find("LISTEN=127.0.0.1:" + std::to_string(engine_->address().port) + "\n"), std::string::npos) << text;
  EXPECT_NE(text.find("PATH="), std::string::npos);
  EXPECT_EQ(text.find("SECRET"), std::string::npos);
}

TEST_F(CommandEngineTest, AProgramThatIsNotThere) {
  ModelSpec spec = script("");
  spec.command.argv.front() = "/no/such/program";
  start(spec);
  loop_.run();
  EXPECT_FALSE(ready_);
  EXPECT_EQ(reason_.code, ErrorCode::kEngineCrashed);
  EXPECT_NE(reason_.message.find("while loading (exit code 127)"), std::string::npos) << reason_.message;
  EXPECT_NE(reason_.message.find("cannot start /no/such/program: No such file"), std::string::npos) << reason_.message;
}

TEST_F(CommandEngineTest, HowItEndedIsTold) {
  ::mkfifo((folder_ / "gate").c_str(), 0600);
  start_ready(script("echo error: out of luck; read line < " + (folder_ / "gate").string() + "; kill -SEGV $$"));
  std::ofstream(folder_ / "gate") << "go\n";
  loop_.run();
  EXPECT_EQ(reason_.code, ErrorCode::kEngineCrashed);
  EXPECT_NE(reason_.message.find("the engine died (killed by signal 11"), std::string::npos) << reason_.message;
  EXPECT_NE(reason_.message.find("out of luck"), std::string::npos) << reason_.message;
}

TEST_F(CommandEngineTest, IsAskedToEnd) {
  start_ready(script("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done"));
  wait_for_line("ready");
  engine_->stop(kLong);
  loop_.run();
  EXPECT_EQ(reason_.code, ErrorCode::kCancelled);
  wait_for_line("bye");
}

TEST_F(CommandEngineTest, IsKilledWhenItDoesNotEnd) {
  start_ready(script("trap '' TERM; echo ready; while :; do sleep 0.01; done"));
  wait_for_line("ready");
  engine_->stop(std::chrono::milliseconds(50));
  loop_.run();
  EXPECT_EQ(reason_.code, ErrorCode::kCancelled);
  EXPECT_FALSE(alive(engine_->pid()));
}

TEST_F(CommandEngineTest, IsEndedAtOnceWhileItLoads) {
  start(script("trap '' TERM; echo up; while :; do sleep 0.01; done"));
  wait_for_line("up");
  engine_->stop(kLong);
  loop_.run();
  EXPECT_EQ(reason_.code, ErrorCode::kCancelled);
}

// Includes children that ignore signals, or that left the group and the session.
constexpr const char* kChildren =
    "cd \"$0\"; trap '' TERM; sleep 1000 & echo $! > group; setsid sh -c 'echo $$ > session; exec sleep 1000' & "
    "while ! [ -s session ]; do sleep 0.01; done; echo ready; ";

TEST_F(CommandEngineTest, ItsChildrenEndWithIt) {
  for (const std::string end : {"exit 0", "while :; do sleep 0.01; done"}) {
    ModelSpec spec = script(kChildren + end);
    spec.command.argv.back() = folder_.string();
    spec.command.environment = {"PORT=${PORT}"};
    start(spec);
    wait_for_line("ready");
    ASSERT_TRUE(end == "exit 0" || (alive(pid_in("group")) && alive(pid_in("session"))));
    engine_->stop(kLong);  // loading: at once
    loop_.run();
    EXPECT_FALSE(alive(pid_in("group"))) << end;
    EXPECT_FALSE(alive(pid_in("session"))) << end;
    fs::remove(folder_ / "session");
    log_ = std::make_shared<EngineLog>();
  }
  EXPECT_EQ(exits_, 2);
}

TEST_F(CommandEngineTest, APortThatWasTakenMeanwhileIsReplaced) {
  const std::string gate = (folder_ / "gate").string();
  const std::string taken = (folder_ / "taken").string();
  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  start(script("if [ -e " + taken + " ]; then echo second; exec sleep 1000; fi; : > " + taken +
               "; echo first; read line < " + gate + "; exit 1"));
  wait_for_line("first");
  const io::Address first = engine_->address();
  serve(first, {500});  // another program is there
  std::ofstream(gate) << "go\n";
  wait_for_line("second");
  EXPECT_NE(engine_->address().port, first.port);
  EXPECT_EQ(exits_, 0);
  serve(engine_->address(), {200});
  loop_.run();
  EXPECT_TRUE(ready_);
}

TEST_F(CommandEngineTest, ItsChildrensWorkIsActivity) {
  start_ready(script("echo up; while :; do :; done & wait"));
  wait_for_line("up");
  const std::uint64_t before = engine_->activity();
  while (engine_->activity() == before) {
  }
  EXPECT_GE(group_members(engine_->pid()).size(), 3U);
}

TEST_F(CommandEngineTest, AKillSaysWhatItWasDoing) {
  start_ready(script("echo up; while :; do sleep 0.01; done"));
  wait_for_line("up");
  engine_->kill({ErrorCode::kEngineTimeout, "it hangs"});
  loop_.run();
  EXPECT_EQ(reason_.code, ErrorCode::kEngineTimeout);
  EXPECT_EQ(reason_.message, "it hangs");
  EXPECT_NE(log_text().find("(sh): "), std::string::npos) << log_text();
}

TEST_F(CommandEngineTest, DestroyedWithItsProcess) {
  ModelSpec spec = script(std::string(kChildren) + "exec sleep 1000");
  spec.command.argv.back() = folder_.string();
  spec.command.environment = {"PORT=${PORT}"};
  start(spec);
  wait_for_line("ready");
  const pid_t pid = engine_->pid();
  engine_.reset();
  EXPECT_FALSE(alive(pid));
  EXPECT_FALSE(alive(pid_in("session")));
  EXPECT_EQ(exits_, 0);
}

}  // namespace
}  // namespace minerva
