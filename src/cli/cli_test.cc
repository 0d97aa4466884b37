#include "cli/cli.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
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
           {"policy"},
           {"policy", "compare", "--capacity", "101"},
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
  for (const char* command : {"serve", "models", "ps", "load", "preload", "park", "unload", "pin", "unpin", "stats",
                              "top", "chat", "run", "logs", "policy", "pull"}) {
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
                                                                                         {"top"},
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

TEST(Cli, AVariableThatNobodyKnowsStopsNoServer) {
  ::setenv("MINERVA_MAX_MODLES", "1", 1);
  EXPECT_TRUE(minerva({"serve"}).served);
  EXPECT_NE(minerva({"serve", "--check"}).err.find("MINERVA_MAX_MODLES"), std::string::npos);
  ::unsetenv("MINERVA_MAX_MODLES");
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

TEST(Cli, PoliciesAreComparedWithoutAServer) {
  const std::string path = testing::TempDir() + "cli_test_trace.csv";
  {
    std::ofstream trace(path);
    trace << "arrival_s,model,user,service_s,size_bytes,reload_s\n";
    for (int i = 0; i < 40; ++i) trace << i << ',' << "abac"[i % 4] << ",u,1,1000,2\n";
  }
  // Two of the three models fit. The one that is used most is never the least recently used one.
  const std::vector<const char*> command = {"policy",       "compare",      path.c_str(),   "--memory-budget",
                                            "2000",         "--models-dir", "/nonexistent", "--state-dir",
                                            "/nonexistent", "--url",        kNowhere};
  const Outcome text = minerva(command);
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_NE(text.out.find("40 requests for 3 models in 39 s."), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("\nhazard (in use) "), std::string::npos) << text.out;
  for (const char* row : {"\nlru ", "\nno policy can do better ", "\nmemory for all ", "\nknowing the future "}) {
    EXPECT_NE(text.out.find(row), std::string::npos) << row << text.out;
  }
  std::vector<const char*> as_json = command;
  as_json.insert(as_json.end(), {"--json", "--policy", "fifo", "--capacity", "70,100"});
  const Outcome outcome = minerva(as_json);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const nlohmann::json json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["policy"], "fifo");
  ASSERT_EQ(json["tables"].size(), 2U);
  EXPECT_GT(json["tables"][0]["saves_s"], 0);
  EXPECT_EQ(json["tables"][1]["best_policy"], "fifo") << "all fit";
  EXPECT_EQ(json["tables"][1]["rows"][0]["cold_wait_s"]["mean"], 6);
  std::remove(path.c_str());

  const Outcome nothing = minerva({"policy", "compare", "--models-dir", "/nonexistent", "--state-dir", "/nonexistent"});
  EXPECT_EQ(nothing.exit_code, 1);
  EXPECT_NE(nothing.err.find("no requests were recorded in /nonexistent/trace"), std::string::npos) << nothing.err;
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
