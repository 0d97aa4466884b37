#include "cli/shell_completion.h"

#include <gtest/gtest.h>

#include "cli/command.h"

namespace minerva::cli {
namespace {

class ShellCompletion : public testing::Test {
 protected:
  ShellCompletion() : app_("test", "minerva") { add_all_commands(app_, session_); }

  Completion complete(const std::vector<std::string>& words) {
    return complete_words(app_, words, [this](const std::string& url, const std::string& key) {
      asked_ = url + "|" + key;
      return std::vector<std::string>{"llama-7b", "llama:70b", "qwen"};
    });
  }
  std::vector<std::string> words(const std::vector<std::string>& line) {
    const Completion completion = complete(line);
    EXPECT_FALSE(completion.files);
    std::vector<std::string> found;
    for (const auto& candidate : completion.candidates) found.push_back(candidate.word);
    return found;
  }
  using Words = std::vector<std::string>;

  Session session_;
  CLI::App app_;
  std::string asked_;
};

TEST_F(ShellCompletion, CommandsAndTheirFlags) {
  EXPECT_EQ(words({"pre"}), Words{"preload"});
  EXPECT_EQ(words({"un"}), (Words{"unload", "unpin"}));
  EXPECT_EQ(words({"load", "--dry"}), Words{"--dry-run"});
  EXPECT_EQ(words({"serve", "--max-m"}), Words{"--max-models"});
  EXPECT_EQ(words({"policy", ""}), Words{"compare"});
  EXPECT_EQ(words({"policy", "compare", "--cap"}), Words{"--capacity"});
  EXPECT_TRUE(complete({"policy", "compare", ""}).files);
  EXPECT_EQ(words({"serve", "--dry"}), Words{});
  EXPECT_EQ(words({"serve", "--par"}), Words{"--park"});
  EXPECT_EQ(words({"serve", "--no-"}), Words{"--no-park"});
  EXPECT_EQ(words({"serve", "--no-park", "--policy", "l"}), (Words{"lru", "lfu"})) << "it takes no value";
  EXPECT_EQ(words({"--js"}), Words{"--json"});
  // Every command is offered.
  const Words all = words({""});
  EXPECT_EQ(all.size(), app_.get_subcommands(nullptr).size());
  for (const auto& candidate : complete({"load", "--"}).candidates) EXPECT_FALSE(candidate.meaning.empty());
}

TEST_F(ShellCompletion, ValuesOfOptions) {
  EXPECT_EQ(words({"serve", "--policy", "l"}), (Words{"lru", "lfu"}));
  EXPECT_EQ(words({"serve", "--policy=lr"}), Words{"--policy=lru"});
  EXPECT_EQ(words({"serve", "--log-format", ""}), (Words{"text", "json"}));
  EXPECT_EQ(words({"completion", "z"}), Words{"zsh"});
  EXPECT_TRUE(complete({"serve", "--config", ""}).files);
  EXPECT_TRUE(complete({"serve", "--models-dir", "/"}).files);
  EXPECT_TRUE(complete({"load", "a", "/models/"}).files);
  EXPECT_EQ(words({"serve", "--listen", ""}), Words{});
}

TEST_F(ShellCompletion, ModelsOfTheServerInQuestion) {
  EXPECT_EQ(words({"load", "llama"}), (Words{"llama-7b", "llama:70b"}));
  EXPECT_EQ(asked_, "|");
  EXPECT_EQ(words({"run", "--max-tokens", "8", "q"}), Words{"qwen"});
  EXPECT_EQ(words({"unload", "--url", "http://x:1", "--api-key=k", "--force", ""}).size(), 3U);
  EXPECT_EQ(asked_, "http://x:1|k");
  EXPECT_EQ(words({"--url", "unix:/x", "pin", "--", "q"}), Words{"qwen"});
  EXPECT_EQ(asked_, "unix:/x|");
  // Nobody can guess a prompt.
  EXPECT_EQ(words({"run", "qwen", "q"}), Words{});
  EXPECT_EQ(words({"models", ""}), Words{});
}

TEST_F(ShellCompletion, TheManualNamesEveryCommandFlagAndKey) {
  const std::string text = manual(app_);
  std::string plain = text;
  for (std::size_t at = 0; (at = plain.find("\\-", at)) != std::string::npos;) plain.erase(at, 1);
  EXPECT_NE(plain.find(".SS minerva policy compare [PATH] [OPTIONS]"), std::string::npos);
  for (const CLI::App* command : app_.get_subcommands(nullptr)) {
    EXPECT_NE(plain.find(".SS minerva " + command->get_name()), std::string::npos) << command->get_name();
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        EXPECT_NE(plain.find("--" + name), std::string::npos) << name;
      }
    }
  }
  for (const ConfigKey& key : config_keys()) EXPECT_NE(plain.find(key.name), std::string::npos) << key.name;
  EXPECT_NE(plain.find("\\fB--max-models integer\\fR"), std::string::npos);
  EXPECT_NE(plain.find("\\fB--dry-run\\fR"), std::string::npos);
  EXPECT_NE(plain.find("\\fB--park, --no-park\\fR"), std::string::npos);
  // No line becomes a command of roff by accident.
  for (std::size_t at = 0; (at = text.find("\n.", at)) != std::string::npos; ++at) {
    EXPECT_TRUE(std::isupper(static_cast<unsigned char>(text[at + 2]))) << text.substr(at, 40);
  }
}

}  // namespace
}  // namespace minerva::cli
