#include "api/query.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace minerva::api {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A model may have the name of its file, in any script. Whether there is such a model is found by looking it up.
bool may_name_a_model(std::string_view text) {
  constexpr std::size_t kMaxLength = 800;  // 200 letters of any script
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (text.empty() || is_reserved_id(text) || text.size() > kMaxLength) return false;
  if (text.front() == '/' || text.back() == '/' || std::any_of(text.begin(), text.end(), control)) return false;
  return fmt::format("/{}/", text).find("/../") == std::string::npos;
}

}  // namespace

Result<std::string> percent_decode(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result.push_back(text[i]);
      continue;
    }
    const int high = i + 1 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return fail(ErrorCode::kInvalidArgument, "The address holds a % that is not followed by two hex digits.");
    }
    if (high == 0 && low == 0) return fail(ErrorCode::kInvalidArgument, "The address holds an encoded NUL.");
    result.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return result;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  constexpr std::string_view kPlain = "-._~";
  std::string result;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || kPlain.find(c) != std::string_view::npos) {
      result.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      result += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return result;
}

Target split_target(std::string_view target) {
  if (!target.starts_with('/')) {
    const std::size_t scheme = target.find("://");
    if (scheme != std::string_view::npos) {
      const std::size_t path = target.find_first_of("/?", scheme + 3);
      target = path == std::string_view::npos ? std::string_view("/") : target.substr(path);
    }
  }
  target = target.substr(0, target.find('#'));
  const std::size_t mark = target.find('?');
  if (mark == std::string_view::npos) return {target, {}};
  return {target.substr(0, mark), target.substr(mark + 1)};
}

Result<Query> Query::parse(std::string_view query) {
  Query result;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    std::string parameter(query.substr(0, end));
    query.remove_prefix(std::min(end + 1, query.size()));
    if (parameter.empty()) continue;
    if (result.parameters_.size() == kMaxParameters) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("More than {} query parameters.", kMaxParameters));
    }
    for (char& c : parameter) {
      if (c == '+') c = ' ';
    }
    const std::size_t equals = std::min(parameter.find('='), parameter.size());
    Result<std::string> name = percent_decode(std::string_view(parameter).substr(0, equals));
    if (!name) return fail(name.error());
    Result<std::string> value =
        percent_decode(std::string_view(parameter).substr(std::min(equals + 1, parameter.size())));
    if (!value) return fail(value.error());
    result.parameters_.emplace_back(*std::move(name), *std::move(value));
  }
  return result;
}

std::size_t Query::count(std::string_view name) const {
  const auto has_name = [&](const auto& parameter) { return parameter.first == name; };
  return static_cast<std::size_t>(std::count_if(parameters_.begin(), parameters_.end(), has_name));
}

const std::string* Query::find(std::string_view name) const {
  const std::string* found = nullptr;
  for (const auto& [own_name, value] : parameters_) {
    if (own_name == name) found = &value;
  }
  return found;
}

Result<bool> Query::flag(std::string_view name, bool otherwise) const {
  const std::string* value = find(name);
  if (value == nullptr) return otherwise;
  if (value->empty() || *value == "true" || *value == "1") return true;
  if (*value == "false" || *value == "0") return false;
  return fail(ErrorCode::kInvalidArgument, fmt::format("?{}= must be true or false.", name), std::string(name));
}

Result<unsigned> Query::number(std::string_view name, unsigned otherwise, unsigned max) const {
  const std::string* value = find(name);
  if (value == nullptr) return otherwise;
  unsigned number = 0;
  const char* end = value->data() + value->size();
  const auto [stop, error] = std::from_chars(value->data(), end, number);
  if (error != std::errc() || stop != end || number > max) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("?{}= must be a number from 0 to {}.", name, max),
                std::string(name));
  }
  return number;
}

Result<ModelPath> parse_model_path(std::string_view rest, std::span<const std::string_view> actions) {
  ModelPath result;
  std::string_view id = rest;
  const std::size_t slash = id.rfind('/');
  if (slash != std::string_view::npos) {
    for (const std::string_view action : actions) {
      if (id.substr(slash + 1) == action) result.action = action;
    }
    if (!result.action.empty()) id = id.substr(0, slash);
  }
  Result<std::string> decoded = percent_decode(id);
  if (!decoded) return fail(decoded.error());
  if (!may_name_a_model(*decoded)) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("\"{}\" cannot be the id of a model; GET /v1/models lists them.", *decoded), "model_id");
  }
  result.id = *std::move(decoded);
  return result;
}

std::string normalized_path(std::string_view path) {
  std::string result;
  result.reserve(path.size());
  for (const char c : path) {
    if (c != '/' || result.empty() || result.back() != '/') result.push_back(c);
  }
  if (result.size() > 1 && result.back() == '/') result.pop_back();
  return result;
}

}  // namespace minerva::api
