#include "pull/hub_answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "pull/asked.h"

namespace minerva::pull {
namespace {

using nlohmann::json;

constexpr int kDeepestJson = 16;
constexpr std::int64_t kLargestFile = std::int64_t{1} << 50U;
constexpr auto kLongestWait = std::chrono::hours(1);
constexpr std::size_t kLongestWord = 100;

Failure not_understood(std::string_view what) {
  return fail(
      ErrorCode::kIo,
      fmt::format("The hub's answer cannot be read ({}). Try again, or check that HF_ENDPOINT is a model hub.", what));
}

// Parses JSON. Discarded if it is no JSON, or nested too deep.
json parse(std::string_view text) {
  const auto shallow = [](int depth, json::parse_event_t, json&) { return depth <= kDeepestJson; };
  return json::parse(text, shallow, /*allow_exceptions=*/false);
}

std::string text_of(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::optional<Bytes> size_of(const json& object) {
  const auto it = object.find("size");
  if (it == object.end() || !it->is_number_integer()) return std::nullopt;
  const auto size = it->get<std::int64_t>();
  if (size < 0 || size > kLargestFile) return std::nullopt;
  return Bytes(static_cast<std::uint64_t>(size));
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > static_cast<std::uint64_t>(kLargestFile)) {
    return std::nullopt;
  }
  return value;
}

const std::string* find(const Fields& fields, const char* name) {
  const auto it = fields.find(name);
  return it == fields.end() ? nullptr : &it->second;
}

// The name of a licence if it is one word, else nothing: people see it.
std::string word(std::string text) {
  const bool plain =
      text.size() <= kLongestWord && std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return plain ? std::move(text) : std::string();
}

std::string licence_of(const json& object) {
  if (const auto card = object.find("cardData"); card != object.end() && card->is_object()) {
    if (std::string licence = word(text_of(*card, "license")); !licence.empty()) return licence;
  }
  const auto tags = object.find("tags");
  if (tags == object.end() || !tags->is_array()) return {};
  for (const json& tag : *tags) {
    constexpr std::string_view kPrefix = "license:";
    if (!tag.is_string()) continue;
    const auto& text = tag.get_ref<const std::string&>();
    if (text.starts_with(kPrefix)) return word(text.substr(kPrefix.size()));
  }
  return {};
}

std::optional<RemoteFile> read_file(const json& entry) {
  if (!entry.is_object() || text_of(entry, "type") != "file") return std::nullopt;
  RemoteFile file;
  file.path = text_of(entry, "path");
  auto size = size_of(entry);
  file.proof = proof_of_etag(text_of(entry, "oid"));
  if (const auto lfs = entry.find("lfs"); lfs != entry.end() && lfs->is_object()) {
    file.proof = proof_of_etag(text_of(*lfs, "oid"));
    if (const auto linked = size_of(*lfs)) size = linked;
  }
  if (!size || !is_safe_path(file.path)) return std::nullopt;
  file.size = *size;
  return file;
}

}  // namespace

Proof proof_of_etag(std::string_view etag) {
  if (is_hex(etag, 64)) return {Proof::Kind::kSha256, std::string(etag)};
  if (is_hex(etag, 40)) return {Proof::Kind::kGitBlob, std::string(etag)};
  return {};
}

Result<RepoFacts> parse_repo_facts(std::string_view text) {
  const json object = parse(text);
  if (!object.is_object()) return not_understood("a repository's facts are no JSON object");
  RepoFacts facts;
  facts.commit = text_of(object, "sha");
  if (!is_commit(facts.commit)) return not_understood("it names no commit");
  facts.licence = licence_of(object);
  // false, "auto" or "manual".
  const auto gated = object.find("gated");
  facts.gated = gated != object.end() && (gated->is_string() || (gated->is_boolean() && gated->get<bool>()));
  return facts;
}

Result<std::vector<RemoteFile>> parse_tree(std::string_view text, std::size_t most) {
  const json list = parse(text);
  if (!list.is_array()) return not_understood("a repository's files are no list");
  if (list.size() > most) return not_understood(fmt::format("it lists more than {} files", most));
  std::vector<RemoteFile> files;
  for (const json& entry : list) {
    if (auto file = read_file(entry)) files.push_back(*std::move(file));
  }
  return files;
}

std::optional<std::string> next_page(const Fields& fields) {
  const std::string* const link = find(fields, "link");
  if (link == nullptr) return std::nullopt;
  const std::size_t end = link->find('>');
  if (!link->starts_with('<') || end == std::string::npos) return std::nullopt;
  if (link->find("rel=\"next\"", end) == std::string::npos) return std::nullopt;
  return link->substr(1, end - 1);
}

FileFacts read_file_facts(const Fields& fields) {
  FileFacts facts;
  if (const auto* commit = find(fields, "x-repo-commit"); commit != nullptr && is_commit(*commit)) {
    facts.commit = *commit;
  }
  const std::string* etag = find(fields, "x-linked-etag");
  facts.linked = etag != nullptr;
  if (etag == nullptr) etag = find(fields, "etag");
  if (etag != nullptr) {
    std::string_view text = *etag;
    facts.weak = text.starts_with("W/");
    if (facts.weak) text.remove_prefix(2);
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
    facts.etag = text.substr(0, 200);
  }
  const std::string* size = find(fields, "x-linked-size");
  if (size == nullptr && !facts.linked) size = find(fields, "content-length");
  const auto count = size == nullptr ? std::nullopt : number(*size);
  if (count) facts.size = Bytes(*count);
  return facts;
}

std::optional<ContentRange> parse_content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  const std::size_t dash = text.find('-');
  const std::size_t slash = text.find('/');
  if (!text.starts_with(kUnit) || dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) {
    return std::nullopt;
  }
  const auto first = number(text.substr(kUnit.size(), dash - kUnit.size()));
  const auto last = number(text.substr(dash + 1, slash - dash - 1));
  const auto total = number(text.substr(slash + 1));
  if (!first || !last || !total || *first > *last || *last >= *total) return std::nullopt;
  return ContentRange{*first, *total};
}

std::optional<std::chrono::seconds> retry_after(const Fields& fields) {
  const std::string* const text = find(fields, "retry-after");
  const auto count = text == nullptr ? std::nullopt : number(*text);
  if (!count) return std::nullopt;
  const std::chrono::seconds longest = kLongestWait;
  return std::min(std::chrono::seconds(static_cast<std::int64_t>(std::min<std::uint64_t>(*count, 1U << 20U))), longest);
}

bool may_pass(int status) { return status == 408 || status == 429 || (status >= 500 && status <= 599); }

Error refusal(int status, const Fields& fields, std::string_view what, std::string_view page, bool has_token) {
  const std::string* const given = find(fields, "x-error-code");
  const std::string code = given == nullptr ? std::string() : *given;
  if (code == "GatedRepo" || (status == 403 && code.empty())) {
    return {ErrorCode::kForbidden,
            fmt::format("{} is gated: accept its licence at {}, {}, then pull it again.", what, page,
                        has_token ? "with the account that the token (HF_TOKEN) belongs to"
                                  : "then set HF_TOKEN to a token of that account in the server's environment"),
            "model"};
  }
  if (status == 401 || status == 403) {
    return {ErrorCode::kForbidden,
            has_token ? fmt::format("The hub does not let this token see {}: check the name, and that HF_TOKEN is a "
                                    "valid token of an account that may read it ({}).",
                                    what, page)
                      : fmt::format("There is no {} that everybody may see: check the name; if it is private or gated, "
                                    "set HF_TOKEN in the server's environment ({}).",
                                    what, page),
            "model"};
  }
  if (status == 404) {
    return {ErrorCode::kModelNotFound, fmt::format("The hub has no {}: check the name at {}.", what, page), "model"};
  }
  if (status == 429) {
    const auto wait = retry_after(fields);
    return {ErrorCode::kUnreachable,
            fmt::format("The hub answers too many requests from here ({}). Pull it again later{}.", status,
                        has_token ? "" : "; with HF_TOKEN set it allows more"),
            "", static_cast<int>(wait.value_or(std::chrono::seconds(60)).count())};
  }
  if (status >= 500) {
    return {
        ErrorCode::kUnreachable,
        fmt::format("The hub fails for {} (status {}). What was fetched is kept: pull it again later.", what, status)};
  }
  return {ErrorCode::kIo,
          fmt::format("The hub answers {} with status {}, which is not understood. See {}.", what, status, page)};
}

}  // namespace minerva::pull
