#include "pull/asked.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "catalog/model_files.h"

namespace minerva::pull {
namespace {

constexpr std::size_t kLongestName = 96;   // of an organisation or a repository, by the hub's rules
constexpr std::size_t kLongestPath = 500;  // bytes
constexpr std::size_t kDeepest = 4;        // folders; the catalog looks only three deep

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  });
}

bool is_name_part(std::string_view text) {
  return is_word(text) && text.size() <= kLongestName && text.front() != '-' && text.front() != '.' &&
         text.back() != '-' && text.back() != '.' && text.find("--") == std::string_view::npos &&
         text.find("..") == std::string_view::npos;
}

Failure unreadable(std::string_view text) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("\"{}\" is nothing to pull. Write org/repo, org/repo:QUANTIZATION (org/repo:Q4_K_M), "
                          "org/repo/file.gguf or https://host/file.gguf",
                          text.substr(0, 200)),
              "model");
}

// The part of `text` behind the hub's address or name; nothing if it begins with neither.
std::optional<std::string_view> behind_hub(std::string_view text, const Url& hub) {
  for (const std::string_view prefix : {"hf.co/", "huggingface.co/", "https://hf.co/", "https://huggingface.co/"}) {
    if (text.starts_with(prefix)) return text.substr(prefix.size());
  }
  if (!text.starts_with("https://") && !text.starts_with("http://")) return std::nullopt;
  const auto url = parse_url(text.substr(0, text.find('?')));
  const std::string base = hub.path.ends_with('/') ? hub.path : hub.path + "/";
  if (!url || !url->same_origin(hub) || !url->path.starts_with(base)) return std::nullopt;
  return text.substr(text.find('/', text.find("://") + 3) + base.size());
}

Result<Asked> parse_repo(std::string_view text, std::string_view whole) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return unreadable(whole);
  const std::size_t end = std::min(text.find_first_of("/:", slash + 1), text.size());
  Asked asked;
  asked.repo = text.substr(0, end);
  std::string_view rest = text.substr(end);
  if (!is_repo_name(asked.repo)) return unreadable(whole);
  if (rest.starts_with(':')) {
    rest.remove_prefix(1);
    if (!is_word(rest) || rest.size() > kLongestName) return unreadable(whole);
    if (rest != "latest") asked.quant = rest;
    return asked;
  }
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty()) return asked;
  rest.remove_prefix(1);
  // The forms of the hub's pages: /resolve/main/x.gguf, /blob/main/x.gguf, /tree/main.
  for (const std::string_view kind : {"resolve/", "blob/", "tree/"}) {
    if (!rest.starts_with(kind)) continue;
    rest.remove_prefix(kind.size());
    const std::size_t at = std::min(rest.find('/'), rest.size());
    asked.revision = rest.substr(0, at);
    if (!is_word(asked.revision) || asked.revision.starts_with('.')) return unreadable(whole);
    rest.remove_prefix(std::min(at + 1, rest.size()));
    if (kind == "tree/" && rest.empty()) return asked;
    break;
  }
  if (!is_safe_path(rest)) return unreadable(whole);
  const std::string_view name = rest.substr(rest.rfind('/') + 1);
  if (!is_gguf_file_name(name)) {
    // "org/repo/stem" is the name of a model if several files of the repository end alike.
    if (rest != name) return unreadable(whole);
    asked.quant = rest;
    return asked;
  }
  asked.file = rest;
  return asked;
}

}  // namespace

bool is_hex(std::string_view text, std::size_t digits) {
  return text.size() == digits &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_commit(std::string_view text) { return is_hex(text, 40); }

bool is_repo_name(std::string_view name) {
  const std::size_t slash = name.find('/');
  return slash != std::string_view::npos && is_name_part(name.substr(0, slash)) && is_name_part(name.substr(slash + 1));
}

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > kLongestPath) return false;
  std::size_t folders = 0;
  while (true) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    // Hidden names are not safe either; these include "." and "..".
    if (part.empty() || part.size() > 255 || part.starts_with('.')) return false;
    if (std::any_of(part.begin(), part.end(), [](char c) {
          const auto byte = static_cast<unsigned char>(c);
          return byte < 0x20 || byte == 0x7f || c == '\\';
        })) {
      return false;
    }
    if (end == path.size()) return true;
    if (++folders > kDeepest) return false;
    path.remove_prefix(end + 1);
  }
}

Result<Asked> parse_asked(std::string_view text, const Url& hub) {
  if (const auto rest = behind_hub(text, hub)) return parse_repo(rest->substr(0, rest->find('?')), text);
  if (text.find("://") == std::string_view::npos) return parse_repo(text, text);
  const auto url = parse_url(text);
  if (!url) return fail(url.error());
  const std::string path = url->path.substr(0, url->path.find('?'));
  const std::string name = path.substr(path.rfind('/') + 1);
  if (!is_gguf_file_name(name) || !is_safe_path(name) || parse_model_file_name(name).parts > 1 ||
      name.find('%') != std::string::npos) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("\"{}\" is no address of one GGUF file: it ends in a name such as model.gguf", text.substr(0, 200)),
        "model");
  }
  Asked asked;
  asked.url = text;
  return asked;
}

}  // namespace minerva::pull
