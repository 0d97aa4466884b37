#include "cli/cli.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <vector>

namespace minerva::cli {
namespace {

// Runs the program as a shell would, without a server anywhere.
struct Outcome {
  int exit_code;
  std::string out;
  std::string err;
  std::optional<Config> served;
};

Outcome minerva(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "minerva");
  Outcome outcome;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  outcome.exit_code =
      run(static_cast<int>(arguments.size()), arguments.data(), [&](const ConfigSource&, const Config& config) {
        outcome.served = config;
        return 7;
      });
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.err = testing::internal::GetCapturedStderr();
  return outcome;
}

constexpr const char* kNowhere = "unix:/nonexistent/minerva.sock";

TEST(Cli, WrongUsageIsTwo) {
  for (const std::vector<const char*>& arguments : std::vector<std::vector<const char*>>{
           {},
           {"fly"},
           {"load"},
           {"models", "--fast"},
           {"serve", "--max-models"},
           {"serve", "--max-models", "many"},
           {"serve", "--policy", "nonsense"},
           {"logs", "a", "--tail", "x"},
           {"run", "a", "b", "c"},
           {"models", "--url", "ftp://x"},
       }) {
    const Outcome outcome = minerva(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << (arguments.empty() ? "" : arguments.front());
    EXPECT_FALSE(outcome.err.empty());
    EXPECT_FALSE(outcome.served);
  }
}

TEST(Cli, HelpAndVersionAreNoErrors) {
  const Outcome help = minerva({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* command :
       {"serve", "models", "ps", "load", "preload", "park", "unload", "pin", "unpin", "stats", "chat", "run", "logs"}) {
    EXPECT_NE(help.out.find(command), std::string::npos) << command;
    EXPECT_EQ(minerva({command, "--help"}).exit_code, 0) << command;
  }
  EXPECT_EQ(minerva({"--version"}).out, "minerva " MINERVA_VERSION "\n");
}

TEST(Cli, AnUnreachableServerIsThree) {
  for (const std::vector<const char*>& arguments : std::vector<std::vector<const char*>>{{"models"},
                                                                                         {"ps"},
                                                                                         {"load", "a"},
                                                                                         {"preload", "a", "--json"},
                                                                                         {"park", "a", "--force"},
                                                                                         {"unload", "a"},
                                                                                         {"pin", "a"},
                                                                                         {"unpin", "a"},
                                                                                         {"stats"},
                                                                                         {"chat", "a"},
                                                                                         {"logs", "a", "-f"}}) {
    std::vector<const char*> all = arguments;
    all.insert(all.end(), {"--url", kNowhere});
    const Outcome outcome = minerva(all);
    EXPECT_EQ(outcome.exit_code, 3) << arguments.front();
    EXPECT_EQ(outcome.out, "") << arguments.front();
    EXPECT_NE(outcome.err.find(std::string("nothing answers at ") + kNowhere + "; start it with `minerva serve`"),
              std::string::npos)
        << outcome.err;
  }
}

TEST(Cli, TheEnvironmentNamesTheServerAndAFlagWins) {
  ::setenv("MINERVA_URL", kNowhere, 1);
  EXPECT_NE(minerva({"models"}).err.find(kNowhere), std::string::npos);
  EXPECT_NE(minerva({"models", "--url", "unix:/nonexistent/other"}).err.find("/other"), std::string::npos);
  EXPECT_NE(minerva({"--url", "unix:/nonexistent/other", "models"}).err.find("/other"), std::string::npos);
  ::unsetenv("MINERVA_URL");
}

TEST(Cli, ServePassesItsFlagsOn) {
  const Outcome outcome = minerva({"serve", "--listen", "127.0.0.1:0", "--max-models", "1", "--max-models", "3",
                                   "--policy", "fifo", "--models-dir", "/a", "--models-dir", "/b"});
  EXPECT_EQ(outcome.exit_code, 7) << outcome.err;
  ASSERT_TRUE(outcome.served);
  EXPECT_EQ(outcome.served->max_models, 3U);
  EXPECT_EQ(outcome.served->policy, "fifo");
  EXPECT_EQ(outcome.served->models_dirs, (std::vector<std::string>{"/a", "/b"}));
}

TEST(Cli, AFlagThatIsAPairSaysYesAndNo) {
  ::setenv("MINERVA_PARK", "false", 1);
  const std::vector<std::pair<std::vector<const char*>, bool>> cases = {{{"serve"}, false},
                                                                        {{"serve", "--park"}, true},
                                                                        {{"serve", "--park", "--no-park"}, false},
                                                                        {{"serve", "--no-park", "--park"}, true}};
  for (const auto& [arguments, expected] : cases) {
    const Outcome outcome = minerva(arguments);
    ASSERT_TRUE(outcome.served) << outcome.err;
    EXPECT_EQ(outcome.served->park, expected) << arguments.back();
  }
  ::unsetenv("MINERVA_PARK");
  EXPECT_FALSE(minerva({"serve", "--no-park"}).served->park);
  EXPECT_NE(minerva({"serve", "--no-park", "--check"}).out.find("default: true; --park | --no-park, MINERVA_PARK)"),
            std::string::npos);
}

TEST(Cli, ServeCheckPrintsTheConfigAndServesNothing) {
  const Outcome outcome = minerva({"serve", "--check", "--max-models", "3"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("max_models = 3"), std::string::npos) << outcome.out;
  EXPECT_FALSE(outcome.served);
  const Outcome missing = minerva({"serve", "--config", "/nonexistent/minerva.toml"});
  EXPECT_NE(missing.exit_code, 0);
  EXPECT_NE(missing.err.find("/nonexistent/minerva.toml"), std::string::npos) << missing.err;
}

}  // namespace
}  // namespace minerva::cli
