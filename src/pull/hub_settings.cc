#include "pull/hub_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "catalog/names.h"

namespace minerva::pull {
namespace {

constexpr const char* kPublicHub = "https://huggingface.co";
constexpr std::size_t kLongestToken = 1000;

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

// The token without white space around it; empty if it cannot be sent in a header.
std::string as_token(std::string text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!text.empty() && is_space(text.back())) text.pop_back();
  text.erase(0, static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_space) - text.begin()));
  const bool plain =
      text.size() <= kLongestToken && std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return plain ? std::move(text) : std::string();
}

std::string token_file() {
  if (std::string path = variable("HF_TOKEN_PATH"); !path.empty()) return path;
  if (const std::string home = variable("HF_HOME"); !home.empty()) return home + "/token";
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty()) return cache + "/huggingface/token";
  const std::string home = variable("HOME");
  return home.empty() ? home : home + "/.cache/huggingface/token";
}

std::string read_token() {
  for (const char* const name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    if (std::string token = as_token(variable(name)); !token.empty()) return token;
  }
  std::ifstream file(token_file());
  std::string text(kLongestToken, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return as_token(std::move(text));
}

}  // namespace

Result<Url> hub_endpoint() {
  std::string text = variable("HF_ENDPOINT");
  if (text.empty()) text = kPublicHub;
  auto url = parse_url(text);
  if (!url) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("HF_ENDPOINT is no address of a hub such as {}: {}", kPublicHub, url.error().message));
  }
  while (url->path.ends_with('/')) url->path.pop_back();
  return url;
}

Result<HubSettings> hub_settings_from_environment() {
  auto endpoint = hub_endpoint();
  if (!endpoint) return fail(endpoint.error());
  const std::string offline = lower_case(variable("HF_HUB_OFFLINE"));
  HubSettings settings;
  settings.endpoint = *std::move(endpoint);
  settings.token = read_token();
  settings.authorities = variable("SSL_CERT_FILE");
  settings.offline = offline == "1" || offline == "on" || offline == "yes" || offline == "true";
  return settings;
}

}  // namespace minerva::pull
