#include "config/api_keys.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "api/digest.h"
#include "io/descriptor.h"
#include "minerva/base/check.h"

namespace minerva {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kBehindName = ": ";  // no key holds a space
constexpr std::size_t kMaxKeyBytes = 512;
constexpr std::size_t kMaxNameBytes = 64;
constexpr std::size_t kMaxFileBytes = 1 << 20;

// The same number as long as the key is the same.
UserId user_of(const api::Sha256& hash) {
  std::uint64_t user = 0;
  std::memcpy(&user, hash.data(), sizeof(user));
  return UserId{user};
}

// Splits "NAME: KEY" into the name and the key. Without a name the first is empty.
std::pair<std::string_view, std::string_view> split_name(std::string_view text) {
  const std::size_t at = text.find(kBehindName);
  if (at == std::string_view::npos) return {{}, text};
  return {text.substr(0, at), text.substr(at + kBehindName.size())};
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes && name.front() != ' ' && name.back() != ' ' &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c < 0x7f && c != ':'; });
}

Failure bad_file(const std::string& path, std::string_view problem) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("{}: {}", path, problem));
}

// Reads the whole file, and refuses it if others may read it. It checks the file that is open, so that nobody can
// exchange the file in between.
Result<std::string> read_private_file(const std::string& path) {
  const io::Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) return bad_file(path, std::strerror(errno));
  struct stat info{};
  const bool known = ::fstat(*fd, &info) == 0;
  std::string text;
  ssize_t n = 0;
  const bool may_read = known && S_ISREG(info.st_mode) && (info.st_mode & 0077) == 0;
  if (may_read) {
    text.resize(kMaxFileBytes + 1);
    n = ::read(*fd, text.data(), text.size());
  }
  if (!known || !S_ISREG(info.st_mode)) return bad_file(path, "is no regular file");
  if (!may_read) return bad_file(path, fmt::format("others may read or change it; run: chmod 600 {}", path));
  if (n < 0) return bad_file(path, "cannot be read");
  text.resize(static_cast<std::size_t>(n));
  if (text.size() > kMaxFileBytes) return bad_file(path, "is larger than a file of keys can be (1 MiB)");
  return text;
}

}  // namespace

Result<std::string> hash_api_key(std::string_view text) {
  if (text.find(kBehindName) != std::string_view::npos) {
    const auto [name, key] = split_name(text);
    if (!is_name(name)) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("before \": \" and a key is its name: 1 to {} printable ASCII characters without \":\"",
                              kMaxNameBytes));
    }
    const Result<std::string> hash = hash_api_key(key);
    if (!hash) return fail(hash.error());
    return fmt::format("{}{}{}", name, kBehindName, *hash);
  }
  const bool is_hash = text.starts_with(kPrefix);
  const std::string_view digits = text.substr(is_hash ? kPrefix.size() : 0);
  if (is_hash) {
    if (digits.size() == 64 && digits.find_first_not_of(kHexDigits) == std::string_view::npos) return std::string(text);
    return fail(ErrorCode::kInvalidArgument,
                "\"sha256:\" must be followed by the 64 hex digits (in lower case) of a key's hash");
  }
  const bool printable = std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (text.empty() || text.size() > kMaxKeyBytes || !printable) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("an API key has 1 to {} printable ASCII characters and no spaces", kMaxKeyBytes));
  }
  return std::string(kPrefix) + api::hex(api::sha256(text));
}

Result<std::vector<std::string>> read_api_key_file(const std::string& path) {
  const Result<std::string> text = read_private_file(path);
  if (!text) return fail(text.error());
  std::vector<std::string> hashes;
  std::string_view rest = *text;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    Result<std::string> hash = hash_api_key(line);
    if (!hash) return bad_file(fmt::format("{}:{}", path, number), hash.error().message);
    hashes.push_back(*std::move(hash));
  }
  if (hashes.empty()) return bad_file(path, "holds no key");
  return hashes;
}

void ApiKeys::add(std::string_view key, Priority priority) {
  const auto [name, hash] = split_name(key);
  check(hash.size() == kPrefix.size() + 64, "an API key that was not hashed");
  api::Sha256 bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto digit = [digits = hash.substr(kPrefix.size())](std::size_t at) { return kHexDigits.find(digits[at]); };
    bytes[i] = static_cast<unsigned char>(digit(2 * i) << 4 | digit(2 * i + 1));
  }
  keys_.push_back({bytes, priority, std::string(name)});
}

std::optional<Caller> ApiKeys::find(std::string_view key) const {
  const api::Sha256 hash = api::sha256(key);
  bool found = false;
  Priority priority = Priority::kNormal;
  // Compares with every key: the time must not tell which key it was, or how much of a key was right.
  for (const Key& own : keys_) {
    const bool same = CRYPTO_memcmp(own.hash.data(), hash.data(), hash.size()) == 0;
    found |= same;
    priority = same ? own.priority : priority;
  }
  if (!found) return std::nullopt;
  return Caller{user_of(hash), priority};
}

std::optional<Caller> ApiKeys::find_user(UserId user) const {
  // As in find(): the priority that was added last counts.
  const auto own =
      std::find_if(keys_.rbegin(), keys_.rend(), [&](const Key& key) { return user_of(key.hash) == user; });
  if (own == keys_.rend()) return std::nullopt;
  return Caller{user, own->priority};
}

std::set<UserId> ApiKeys::users() const {
  std::set<UserId> users;
  for (const Key& key : keys_) users.insert(user_of(key.hash));
  return users;
}

std::string ApiKeys::name_of(UserId user) const {
  const auto own = std::find_if(keys_.rbegin(), keys_.rend(),
                                [&](const Key& key) { return !key.name.empty() && user_of(key.hash) == user; });
  return own == keys_.rend() ? std::string() : own->name;
}

}  // namespace minerva
