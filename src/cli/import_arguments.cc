// Turns arguments of llama.cpp's server into Minerva's settings.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>

#include "cli/import.h"
#include "engine/user_arguments.h"

namespace minerva::cli {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kMostContext = 1U << 24;  // the most that the config's key takes
constexpr unsigned kMostParallel = 256;

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// A whole number from 1 to `most`; nothing if it is none.
std::optional<unsigned> count_of(std::string_view text, unsigned most) {
  unsigned count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count == 0 || count > most) return std::nullopt;
  return count;
}

std::string absolute(const std::string& path) {
  std::error_code error;
  return fs::absolute(path, error).lexically_normal().string();
}

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    part.remove_prefix(std::min(part.find_first_not_of(' '), part.size()));
    part = part.substr(0, part.find_last_not_of(' ') + 1);
    if (!part.empty()) parts.emplace_back(part);
  }
  return parts;
}

// Whether the word begins like an argument and is no negative number.
bool is_name(std::string_view word) {
  return word.size() > 1 && word[0] == '-' && (word[1] < '0' || word[1] > '9') && word[1] != '.';
}

}  // namespace

bool ServerArguments::knows(const std::string& name) {
  return check_user_arguments({name}) || check_user_arguments({name, "x"}) || check_user_arguments({name, "x", "x"}) ||
         is_one_of(name, {"-m", "--model", "-c", "--ctx-size", "-np", "--parallel", "-a", "--alias", "-hf", "-hfr",
                          "--hf-repo", "--host", "--port"});
}

bool ServerArguments::take_own(const std::string& name, const std::string& value) {
  if (is_one_of(name, {"-m", "--model"})) {
    path_ = value;
  } else if (is_one_of(name, {"-hf", "-hfr", "--hf-repo"})) {
    repository_ = value;
  } else if (is_one_of(name, {"-c", "--ctx-size"})) {
    context_ = value;
  } else if (is_one_of(name, {"-np", "--parallel"})) {
    parallel_ = value;
  } else if (is_one_of(name, {"-a", "--alias"})) {
    aliases_ = split_at_commas(value);
  } else if (name == "--sleep-idle-seconds") {
    ttl_ = value;
  } else {
    // Each engine has its own address.
    return is_one_of(name, {"--host", "--port"});
  }
  return true;
}

void ServerArguments::take(const std::string& name, const std::vector<std::string>& values) {
  if (values.size() == 1 && take_own(name, values[0])) return;
  std::vector<std::string> words = {name};
  words.insert(words.end(), values.begin(), values.end());
  if (const auto allowed = check_user_arguments(words); allowed) {
    args_.insert(args_.end(), words.begin(), words.end());
  } else {
    notes_.push_back(fmt::format("No counterpart: {} ({}).", fmt::join(words, " "), allowed.error().message));
  }
}

void ServerArguments::take_line(const std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size();) {
    const std::string& name = words[i++];
    std::vector<std::string> values;
    while (i < words.size() && !is_name(words[i])) values.push_back(words[i++]);
    take(name, values);
  }
}

ImportedModel ServerArguments::model(Imported& into, std::string_view name) const {
  ImportedModel model;
  model.notes = notes_;
  model.id = take_name(into, repository_.empty() || !path_.empty() ? name : std::string_view(repository_), model.notes);
  if (!path_.empty()) {
    model.path = absolute(path_);
    into.folders.insert(fs::path(model.path).parent_path().string());
  } else if (!repository_.empty()) {
    if (model.id != name) take_aliases(into, {std::string(name)}, model.aliases, model.notes);
    model.notes.push_back(
        fmt::format("It is looked for in the Hugging Face cache. If it is not there: minerva pull {}", repository_));
    into.uses_hub = true;
  }
  take_aliases(into, aliases_, model.aliases, model.notes);

  const auto parallel = count_of(parallel_, kMostParallel);
  if (parallel) model.parallel = *parallel;
  const auto context = count_of(context_, kMostContext);
  const bool is_shared = std::any_of(args_.begin(), args_.end(),
                                     [](const std::string& arg) { return arg == "-kvu" || arg == "--kv-unified"; });
  if (context) {
    model.context = is_shared ? *context : std::max(1U, *context / std::max(1U, model.parallel));
    if (model.context != *context) {
      model.notes.push_back(fmt::format("{} tokens for {} conversations together.", *context, model.parallel));
    }
  } else if (!context_.empty()) {
    model.notes.push_back(
        fmt::format("A context of \"{}\": Minerva takes the smaller of what it was trained with and 8192, unless "
                    "context says more.",
                    context_));
  }
  if (const auto ttl = count_of(ttl_, 365 * 24 * 3600)) model.ttl = std::chrono::seconds(*ttl);

  const auto place = [&](const std::string& file) -> Result<std::string> {
    into.folders.insert(fs::path(absolute(file)).parent_path().string());
    return absolute(file);
  };
  if (const auto placed = place_argument_files(args_, place); placed) {
    model.args = placed->args;
  } else {
    model.notes.push_back(fmt::format("No counterpart: {} ({}).", fmt::join(args_, " "), placed.error().message));
  }
  return model;
}

}  // namespace minerva::cli
