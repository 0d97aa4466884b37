#include "catalog/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

namespace minerva {
namespace {

constexpr std::size_t kLongestId = 200;  // as is_model_id() has it

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Replaces each run of characters that an id may not have by "-"; drops the runs at the ends.
std::string typable(std::string_view text) {
  std::string result;
  bool gap = false;
  for (const char c : text) {
    if (is_letter(c) || is_digit(c) || std::string_view("._:@-").find(c) != std::string_view::npos) {
      const bool after_dash = !result.empty() && result.back() == '-';
      const bool joins = std::exchange(gap, false) && !result.empty();
      if (joins && !after_dash && c != '-') result += '-';
      if (!joins || !after_dash || c != '-') result += c;
    } else {
      gap = true;
    }
  }
  const auto first = std::find_if(result.begin(), result.end(), [](char c) { return is_letter(c) || is_digit(c); });
  result.erase(result.begin(), first);
  while (!result.empty() && !is_letter(result.back()) && !is_digit(result.back())) result.pop_back();
  return result;
}

std::vector<std::string> tokens_of(std::string_view stem) {
  std::vector<std::string> tokens;
  std::string token;
  for (const char c : lower_case(stem) + "-") {
    if (std::string_view("-._ +=()&#[],").find(c) == std::string_view::npos) {
      token += c;
    } else if (!token.empty()) {
      tokens.push_back(std::move(token));
      token.clear();
    }
  }
  return tokens;
}

constexpr std::string_view kMtpMark = "mtp";
constexpr std::array<std::string_view, 4> kDraftMarks = {kMtpMark, "eagle3", "dflash", "dspark"};

bool is_draft_mark(std::string_view token) {
  return std::find(kDraftMarks.begin(), kDraftMarks.end(), token) != kDraftMarks.end();
}

// Whether the token says what a file is for, and not which model it is.
bool is_mark(std::string_view token) {
  return is_draft_mark(token) || token == "mmproj" || token == "draft" || token == "lora" || token == "adapter" ||
         token == "model" || token == "ggml" || token == "gguf";
}

// Whether the token says the precision of weights: "q4", "iq2", "tq1", "bf16". Tokens such as "k" and "m" may follow.
bool is_precision(std::string_view token) {
  static const std::set<std::string_view> kWords = {"f16", "f32", "bf16", "fp16", "fp32", "fp8", "mxfp4", "nvfp4"};
  if (kWords.contains(token)) return true;
  if (token.starts_with('i') || token.starts_with('t')) token.remove_prefix(1);
  return token.size() > 1 && token.front() == 'q' && std::all_of(token.begin() + 1, token.end(), is_digit);
}

bool follows_precision(std::string_view token) {
  static const std::set<std::string_view> kWords = {"k", "m", "s", "l", "xl", "xs", "xxs", "nl", "0", "1"};
  return kWords.contains(token);
}

// Whether the token says how the precision was reached: "UD-Q4_K_XL", "i1-Q4_0".
bool precedes_precision(std::string_view token) { return token == "ud" || token == "i1" || token == "imat"; }

// The tokens that say which model it is, without purpose and precision.
std::vector<std::string> core_of(std::string_view stem) {
  std::vector<std::string> tokens = tokens_of(stem);
  std::erase_if(tokens, is_mark);
  std::size_t end = tokens.size();
  while (end > 0 && follows_precision(tokens[end - 1])) --end;
  if (end == 0 || !is_precision(tokens[end - 1])) return tokens;
  --end;
  while (end > 0 && precedes_precision(tokens[end - 1])) --end;
  tokens.resize(end);
  return tokens;
}

bool begins_with(const std::vector<std::string>& whole, const std::vector<std::string>& start) {
  return start.size() <= whole.size() && std::equal(start.begin(), start.end(), whole.begin());
}

}  // namespace

bool is_usable_id(std::string_view id) { return is_model_id(id) && !is_reserved_id(id); }

std::string short_hash(std::string_view text) {
  // FNV-1a, 32 bits: http://www.isthe.com/chongo/tech/comp/fnv/
  std::uint32_t hash = 2166136261U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return fmt::format("{:08x}", hash);
}

ModelId id_of_stem(std::string_view stem, std::string_view place) {
  if (is_usable_id(stem)) return std::string(stem);
  std::string id = typable(stem);
  if (id.size() > kLongestId) id = id.substr(0, kLongestId - 9) + "-" + short_hash(place);
  return is_usable_id(id) ? id : "model-" + short_hash(place);
}

std::vector<ModelId> hub_ids(std::string_view repo, const std::vector<std::string>& stems) {
  // All ends of all stems, and how many stems have each.
  const auto ends_of = [](const std::string& stem) {
    std::vector<std::string> ends;  // the shortest one first
    for (std::size_t at = stem.size(); at-- > 1;) {
      if (stem[at - 1] == '-' || stem[at - 1] == '.') ends.push_back(stem.substr(at));
    }
    // The tag is written as llama.cpp writes it.
    if (!ends.empty()) {
      std::transform(ends[0].begin(), ends[0].end(), ends[0].begin(),
                     [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
    }
    return ends;
  };
  std::map<std::string, int> owners;
  for (const std::string& stem : stems) {
    ++owners[lower_case(stem)];
    for (const std::string& end : ends_of(stem)) ++owners[lower_case(end)];
  }
  std::vector<ModelId> ids;
  for (const std::string& stem : stems) {
    const std::vector<std::string> ends = ends_of(stem);
    const auto own = std::find_if(ends.begin(), ends.end(), [&](const std::string& end) {
      return owners[lower_case(end)] == 1 && is_usable_id(fmt::format("{}:{}", repo, end));
    });
    ids.push_back(own != ends.end() ? fmt::format("{}:{}", repo, *own)
                                    : fmt::format("{}/{}", repo, id_of_stem(stem, stem)));
  }
  return ids;
}

FileKind kind_by_name(std::string_view stem) {
  const std::string name = lower_case(stem);
  if (name.find("mmproj") != std::string::npos) return FileKind::kProjector;
  const std::vector<std::string> tokens = tokens_of(stem);
  if (tokens.empty()) return FileKind::kModel;
  if (is_draft_mark(tokens.front()) && tokens.size() > 1) return FileKind::kDraft;
  // Many models were quantized with an importance matrix and say so in the middle of their names: only a name that
  // begins or ends with it is one of a matrix.
  if (tokens.front() == "imatrix" || tokens.back() == "imatrix") return FileKind::kImportanceMatrix;
  return FileKind::kModel;
}

bool is_mtp_name(std::string_view stem) {
  return kind_by_name(stem) == FileKind::kDraft && tokens_of(stem).front() == kMtpMark;
}

std::vector<std::size_t> owners_of(std::string_view companion_stem, const std::vector<std::string>& model_stems) {
  std::vector<std::vector<std::string>> cores;
  for (const std::string& stem : model_stems) cores.push_back(core_of(stem));
  const auto all_of_one_name = [&](const std::vector<std::size_t>& list) {
    return std::all_of(list.begin(), list.end(), [&](std::size_t i) { return cores[i] == cores[list.front()]; });
  };
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < cores.size(); ++i) all.push_back(i);
  if (all.empty()) return {};
  if (all.size() == 1 || (all_of_one_name(all) && !cores[0].empty())) return all;
  const std::vector<std::string> core = core_of(companion_stem);
  if (core.empty()) return {};
  std::vector<std::size_t> best;
  std::size_t shared = 0;
  for (const std::size_t i : all) {
    if (cores[i].empty() || !(begins_with(cores[i], core) || begins_with(core, cores[i]))) continue;
    const std::size_t both = std::min(cores[i].size(), core.size());
    if (both > shared) best.clear();
    shared = std::max(shared, both);
    if (both == shared) best.push_back(i);
  }
  if (best.empty() || all_of_one_name(best)) return best;
  // Several models begin with the same tokens: the one with exactly these, if there is one.
  std::erase_if(best, [&](std::size_t i) { return cores[i] != core; });
  return best;
}

std::vector<std::string> other_readings(std::string_view name) {
  std::vector<std::string> readings;
  const auto shorten = [&](auto matches, std::string_view what, bool front) {
    if (name.size() <= what.size() || !matches) return;
    front ? name.remove_prefix(what.size()) : name.remove_suffix(what.size());
    readings.emplace_back(name);
  };
  const auto ends = [&](std::string_view what) { return lower_case(name).ends_with(what); };
  const auto starts = [&](std::string_view what) { return lower_case(name).starts_with(what); };
  shorten(ends(":latest"), ":latest", false);
  shorten(starts("hf.co/"), "hf.co/", true);
  shorten(starts("huggingface.co/"), "huggingface.co/", true);
  shorten(ends(".gguf"), ".gguf", false);
  return readings;
}

std::string lower_case(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

}  // namespace minerva
