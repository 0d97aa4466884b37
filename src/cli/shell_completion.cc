#include "cli/shell_completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

// Readline also splits words at ':' and '=', which model ids may hold, and replaces only what follows the last of them.
constexpr std::string_view kBash = R"(# minerva: completion for bash. Try it: source <(minerva completion bash)
_minerva() {
  local line=${COMP_LINE:0:COMP_POINT} current out
  local -a words
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  current=${words[-1]}
  COMPREPLY=()
  if ! out=$("${words[0]/#\~/$HOME}" __complete "${words[@]:1}" 2>/dev/null); then
    compopt -o default
    return
  fi
  [[ -z $out ]] && return
  mapfile -t COMPREPLY < <(cut -f1 <<<"$out")
  COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*[:=]}"}"}")
}
complete -F _minerva minerva
)";

constexpr std::string_view kZsh = R"(#compdef minerva
# minerva: completion for zsh. Try it: source <(minerva completion zsh)
_minerva() {
  local out line
  local -a found shown
  if ! out=$("${(Q)words[1]/#\~/$HOME}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null); then
    _files
    return
  fi
  for line in "${(@f)out}"; do
    [[ -z $line ]] && continue
    found+=("${line%%$'\t'*}")
    shown+=("${line//$'\t'/  }")
  done
  (( $#found )) && compadd -l -d shown -a found
}
if [[ $funcstack[1] == _minerva ]]; then
  _minerva "$@"
else
  compdef _minerva minerva
fi
)";

constexpr std::string_view kFish = R"(# minerva: completion for fish. Try it: minerva completion fish | source
function __minerva_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  set -l out ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
  if test $status -ne 0
    __fish_complete_path "$current"
    return
  end
  printf '%s\n' $out
end
complete -c minerva -f -a '(__minerva_complete)'
)";

const std::map<std::string, std::string_view, std::less<>>& scripts() {
  static const std::map<std::string, std::string_view, std::less<>> all = {
      {"bash", kBash}, {"zsh", kZsh}, {"fish", kFish}};
  return all;
}

bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

const CLI::Option* find_option(const CLI::App& app, const std::string& word) {
  const CLI::Option* const option = app.get_option_no_throw(word);
  return option == nullptr || option->get_positional() ? nullptr : option;
}

// Where a command line is before its last word.
struct Place {
  const CLI::App* command;
  const CLI::Option* awaits_value = nullptr;  // the word before is an option that takes a value
  std::size_t positionals = 0;                // how many the command has got so far
  bool only_positionals = false;              // after "--"
  std::string url = {};
  std::string api_key = {};

  void note_value(const CLI::Option& option, const std::string& value) {
    if (option.check_name("--url")) url = value;
    if (option.check_name("--api-key")) api_key = value;
  }
};

Place walk(const CLI::App& app, const std::vector<std::string>& words) {
  Place place{&app};
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (place.awaits_value != nullptr) {
      place.note_value(*std::exchange(place.awaits_value, nullptr), word);
    } else if (word == "--" && !place.only_positionals) {
      place.only_positionals = true;
    } else if (word.starts_with('-') && word.size() > 1 && !place.only_positionals) {
      const std::size_t equals = word.find('=');
      const CLI::Option* const option = find_option(*place.command, word.substr(0, equals));
      if (option == nullptr || is_flag(*option)) continue;
      if (equals == std::string::npos) {
        place.awaits_value = option;
      } else {
        place.note_value(*option, word.substr(equals + 1));
      }
    } else if (const auto commands = place.command->get_subcommands(nullptr); !commands.empty()) {
      for (const CLI::App* command : commands) {
        if (command->get_name() == word) place.command = command;
      }
    } else {
      ++place.positionals;
    }
  }
  return place;
}

class Completer {
 public:
  Completer(const ModelIds& model_ids, Place place) : model_ids_(model_ids), place_(std::move(place)) {}

  Completion run(const std::string& last) {
    const std::size_t equals = last.find('=');
    if (place_.awaits_value != nullptr) {
      add_value(*place_.awaits_value, "", last);
    } else if (last.starts_with('-') && !place_.only_positionals && equals != std::string::npos) {
      const CLI::Option* const option = find_option(*place_.command, last.substr(0, equals));
      if (option != nullptr) add_value(*option, last.substr(0, equals + 1), last);
    } else if (last.starts_with('-') && !place_.only_positionals) {
      for (const CLI::Option* option : place_.command->get_options()) {
        for (const std::string& name : option->get_lnames()) add("--" + name, option->get_description(), last);
      }
    } else if (const auto commands = place_.command->get_subcommands(nullptr); !commands.empty()) {
      for (const CLI::App* command : commands) {
        add(command->get_name(), command->get_description(), last);
      }
    } else {
      add_positional(last);
    }
    return std::move(result_);
  }

 private:
  void add(const std::string& word, const std::string& meaning, const std::string& prefix) {
    if (word.starts_with(prefix)) result_.candidates.push_back({word, meaning});
  }

  // "a | b" in the type of an option lists its values.
  void add_value(const CLI::Option& option, const std::string& before, const std::string& last) {
    const std::string type = option.get_type_name();
    if (type == "FILE" || type == "path" || type == "text") {
      result_.files = true;  // options of the type text take paths
      return;
    }
    if (type.find(" | ") == std::string::npos) return;
    for (std::size_t at = 0; at < type.size();) {
      const std::size_t end = std::min(type.find(" | ", at), type.size());
      add(before + type.substr(at, end - at), "", last);
      at = end + 3;
    }
  }

  void add_positional(const std::string& last) {
    std::size_t position = 0;
    for (const CLI::Option* option : place_.command->get_options()) {
      if (!option->get_positional() || position++ != place_.positionals) continue;
      if (option->get_name() == "ID") {
        for (const std::string& id : model_ids_(place_.url, place_.api_key)) add(id, "", last);
      } else if (option->get_name() == "PATH") {
        result_.files = true;
      } else {
        add_value(*option, "", last);
      }
      return;
    }
  }

  const ModelIds& model_ids_;
  Place place_;
  Completion result_;
};

std::vector<std::string> ask_for_model_ids(const std::string& url, const std::string& api_key) {
  Session session = session_from_environment();
  if (!url.empty()) session.url = url;
  if (!api_key.empty()) session.api_key = api_key;
  Result<HttpClient> client = HttpClient::connect(session.url, session.api_key);
  if (!client) return {};
  const Result<std::string> answer = client->call({"GET", "/v1/models", {}, {}});
  const Result<nlohmann::json> json = answer ? parse_answer(*answer) : fail(answer.error());
  std::vector<std::string> ids;
  if (!json) return ids;
  for (const nlohmann::json& model : list_of(*json, "data")) {
    ids.push_back(text_of(model, "id"));
    for (const nlohmann::json& alias : list_of(model, "aliases")) {
      if (alias.is_string()) ids.push_back(alias.get<std::string>());
    }
  }
  return ids;
}

}  // namespace

Completion complete_words(const CLI::App& app, const std::vector<std::string>& words, const ModelIds& model_ids) {
  return Completer(model_ids, walk(app, words)).run(words.back());
}

int print_completion(const CLI::App& app, const std::vector<std::string>& words) {
  const Completion completion =
      complete_words(app, words.empty() ? std::vector<std::string>{""} : words, ask_for_model_ids);
  for (const Completion::Candidate& candidate : completion.candidates) {
    fmt::print("{}\t{}\n", printable(candidate.word), printable(candidate.meaning));
  }
  return completion.files ? 1 : 0;
}

void add_completion(CLI::App& app, Session& session) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "Print a script that completes command lines in a shell");
  command->add_option("SHELL", *shell, "Which shell")->required()->type_name("bash | zsh | fish");
  command->callback([shell, &session] {
    const auto script = scripts().find(*shell);
    if (script == scripts().end()) {
      session.exit_code =
          report({ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not one of bash, zsh, fish", *shell)});
    } else {
      fmt::print("{}", script->second);
    }
  });
}

}  // namespace minerva::cli
