// Long because the scan of JSON and the scan of forms look for the same members of a body.
#include "api/routing_scan.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "minerva/base/check.h"

namespace minerva::api {
namespace {

constexpr std::size_t kMaxKey = kLongestLimitedName;  // a longer name is none that the scan knows
constexpr std::size_t kMaxScalar = 32;                // a longer scalar can only be a number

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool is_scalar_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '+' || c == '.';
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

// The position of `c` in `piece` from `at` on; the size of `piece` if there is none.
std::size_t position_of(char c, std::string_view piece, std::size_t at) {
  const void* found = std::memchr(piece.data() + at, c, piece.size() - at);
  return found == nullptr ? piece.size() : static_cast<std::size_t>(static_cast<const char*>(found) - piece.data());
}

// The characters that can change the depth of a nested value, begin a string, or divide members.
constexpr std::array<bool, 256> structure_table() {
  std::array<bool, 256> table{};
  for (const char c : {'"', '{', '}', '[', ']', ','}) table[static_cast<unsigned char>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kIsStructure = structure_table();

}  // namespace

// ---- JSON ---------------------------------------------------------------------------------------------------------

void RoutingScan::broken(std::string_view why, std::string_view param) {
  if (failed()) return;
  error_ = why;
  error_param_ = param;
}

RoutingScan::Member RoutingScan::member_named(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, Member>, 11> kMembers = {{{"model", Member::kModel},
                                                                             {"cache_prompt", Member::kCachePrompt},
                                                                             {"stream", Member::kStream},
                                                                             {"id_slot", Member::kIdSlot},
                                                                             {"n", Member::kN},
                                                                             {"n_cmpl", Member::kNCmpl},
                                                                             {"prompt", Member::kPrompt},
                                                                             {"input", Member::kInput},
                                                                             {"content", Member::kContent},
                                                                             {"documents", Member::kDocuments},
                                                                             {"texts", Member::kTexts}}};
  const auto* const found =
      std::find_if(kMembers.begin(), kMembers.end(), [&](const auto& row) { return row.first == name; });
  return found == kMembers.end() ? Member::kOther : found->second;
}

// Sets the count of the current member. Requires: the member has a count.
void RoutingScan::set_count(unsigned count) {
  const auto index = [](Member member) {
    return static_cast<std::size_t>(member) - static_cast<std::size_t>(Member::kN);
  };
  static_assert(static_cast<std::size_t>(Member::kTexts) - static_cast<std::size_t>(Member::kN) + 1 == kCounts);
  counts_[index(member_)] = count;
  routing_.slots = std::max(counts_[index(Member::kN)], counts_[index(Member::kNCmpl)]);
  routing_.prompts = *std::max_element(counts_.begin() + index(Member::kPrompt), counts_.end());
}

// Ends a list of prompts that is still counted: its last element may be a number.
void RoutingScan::list_ends() {
  counts_prompts_ = false;
  if (list_prompts_ > list_commas_) set_count(static_cast<unsigned>(std::min<std::size_t>(list_prompts_, kMaxPrompts)));
}

void RoutingScan::over_limit() { broken(describe(*limit_), limit_->name); }

void RoutingScan::enter(char bracket) {
  if (++depth_ > kMaxDepth) broken("The body is nested too deeply.");
  if (limit_ == nullptr || limit_->is_number()) return;
  if (depth_ > limit_->max_depth) return over_limit();
  members_in_[depth_] = bracket == '{' ? 1 : kList;
}

// Counts a member at a comma inside a nested value.
void RoutingScan::count_member() {
  if (limit_ == nullptr || limit_->max_members == 0 || members_in_[depth_] == kList) return;
  if (++members_in_[depth_] > limit_->max_members) over_limit();
}

// Counts bytes of a value that is passed over.
void RoutingScan::count_bytes(std::size_t bytes) {
  if (limit_ == nullptr || limit_->is_number()) return;
  value_bytes_ += bytes;
  if (value_bytes_ > limit_->max_bytes) over_limit();
}

void RoutingScan::feed(std::string_view piece) {
  feed_piece(piece);
  fed_ += piece.size();
}

// Long because it is one loop over one byte at a time, with a case for each state.
void RoutingScan::feed_piece(std::string_view piece) {
  std::size_t at = 0;
  while (at < piece.size() && !failed()) {
    const char c = piece[at];
    switch (state_) {
      case State::kInKey:
      case State::kModelString:
      case State::kGrammarString:
        at = read_string(piece, at);
        continue;
      case State::kString:
      case State::kNestedString:
      case State::kNested: {
        const std::size_t end = state_ != State::kNested ? skip_string(piece, at)
                                : counts_prompts_        ? skip_nested</*kCountsPrompts=*/true>(piece, at)
                                                         : skip_nested</*kCountsPrompts=*/false>(piece, at);
        count_bytes(end - at);
        at = end;
        continue;
      }
      case State::kScalar:
        if (is_scalar_char(c)) {
          append(c);
          ++at;
        } else {
          end_scalar();  // c belongs to what follows the scalar
        }
        continue;
      default:
        break;
    }
    ++at;
    if (is_space(c)) continue;
    switch (state_) {
      case State::kStart:
        if (c != '{') return broken("The body must be a JSON object.");
        state_ = State::kFirstKeyOrEnd;
        break;
      case State::kFirstKeyOrEnd:
      case State::kKey:
        if (c == '}' && state_ == State::kFirstKeyOrEnd) {
          state_ = State::kEnd;
        } else if (c == '"') {
          state_ = State::kInKey;
          member_span_.key = fed_ + at - 1;
          text_.clear();
          text_limit_ = kMaxKey;
          text_overflow_ = false;
        } else {
          return broken("The body is broken JSON: a member's name was expected.");
        }
        break;
      case State::kColon:
        if (c != ':') return broken("The body is broken JSON: a colon was expected after a member's name.");
        state_ = State::kValue;
        break;
      case State::kValue:
        member_span_.value = fed_ + at - 1;
        start_value(c);
        break;
      case State::kCommaOrEnd:
        if (c != ',' && c != '}') return broken("The body is broken JSON: a comma or the object's end was expected.");
        state_ = c == ',' ? State::kKey : State::kEnd;
        member_span_.end = fed_ + at - 1;
        if (notes_members_ && members_.size() <= kMaxMembers) members_.push_back(member_span_);
        break;
      default:
        return broken("The body holds something after its JSON object.");
    }
  }
}

void RoutingScan::start_value(char c) {
  if (member_ == Member::kModel) {
    routing_.model.reset();
    model_is_no_text_ = c != '"';
  } else if (member_ == Member::kStream) {
    routing_.stream = false;
  } else if (member_ == Member::kCachePrompt) {
    routing_.is_private = false;
  } else if (member_ == Member::kIdSlot) {
    routing_.names_slot = true;  // unless the value turns out to be none
  } else if (is_answers() || is_prompts()) {
    set_count(1);
  }
  text_.clear();
  text_overflow_ = false;
  value_bytes_ = 0;
  if (c == '"') {
    const bool is_grammar = limit_ != nullptr && limit_->name == "grammar";
    state_ = member_ == Member::kModel ? State::kModelString : is_grammar ? State::kGrammarString : State::kString;
    text_limit_ = kMaxModel;
    grammar_ = {};
  } else if (c == '{' || c == '[') {
    state_ = State::kNested;
    depth_ = 0;
    if (c == '{' && limit_ != nullptr && limit_->name == "response_format") routing_.response_format = true;
    enter(c);
    counts_prompts_ = c == '[' && is_prompts();
    list_commas_ = list_prompts_ = 0;
  } else if ((c >= '0' && c <= '9') || c == '-' || c == 't' || c == 'f' || c == 'n') {
    state_ = State::kScalar;
    text_limit_ = kMaxScalar;
    append(c);
  } else {
    broken("The body is broken JSON: a value was expected.");
  }
}

void RoutingScan::end_scalar() {
  const bool number = text_[0] == '-' || (text_[0] >= '0' && text_[0] <= '9');
  if (!number && text_ != "true" && text_ != "false" && text_ != "null") {
    return broken("The body is broken JSON: a value was expected.");
  }
  if (number && limit_ != nullptr && limit_->is_number() && (text_overflow_ || !within(*limit_, text_))) {
    return over_limit();
  }
  if (number && is_answers()) set_count(static_cast<unsigned>(std::strtod(text_.c_str(), nullptr)));
  if (member_ == Member::kIdSlot) {
    const bool any_slot = number && !text_overflow_ && std::strtod(text_.c_str(), nullptr) == -1;
    routing_.names_slot = !any_slot && text_ != "null";
  }
  if (member_ == Member::kStream) routing_.stream = text_ == "true";
  if (member_ == Member::kCachePrompt) routing_.is_private = text_ == "false";
  if (member_ == Member::kModel && text_ == "null") model_is_no_text_ = false;
  state_ = State::kCommaOrEnd;
}

// Looks for the quote that ends the string. A quote after an odd number of backslashes does not end it.
std::size_t RoutingScan::skip_string(std::string_view piece, std::size_t at) {
  const State then = state_ == State::kNestedString ? State::kNested : State::kCommaOrEnd;
  if (escaped_) {
    escaped_ = false;
    ++at;
  }
  while (at < piece.size()) {
    const std::size_t quote = position_of('"', piece, at);
    std::size_t first_backslash = quote;
    while (first_backslash > at && piece[first_backslash - 1] == '\\') --first_backslash;
    const bool escaped = (quote - first_backslash) % 2 == 1;
    if (quote == piece.size()) {
      escaped_ = escaped;
      return quote;
    }
    at = quote + 1;
    if (!escaped) {
      state_ = then;
      return at;
    }
  }
  return at;
}

// Counts brackets of both kinds together: whether they match is for the engine to say. A list of prompts has no limit
// of its own, so it has a variant that counts; without counts the scan of everything else is faster.
template <bool kCountsPrompts>
std::size_t RoutingScan::skip_nested(std::string_view piece, std::size_t at) {
  for (; at < piece.size(); ++at) {
    const char c = piece[at];
    if (!kIsStructure[static_cast<unsigned char>(c)]) continue;
    if (c == '"') {
      if (kCountsPrompts && depth_ == 1) ++list_prompts_;
      state_ = State::kNestedString;
      return at + 1;
    }
    if (c == '{' || c == '[') {
      if (kCountsPrompts && depth_ == 1) ++list_prompts_;
      enter(c);
      if (failed()) return at + 1;
    } else if (c == ',') {
      if (kCountsPrompts && depth_ == 1 && ++list_commas_ > list_prompts_) {
        // The element before the comma was no prompt by itself. So the list is one prompt, and needs no more counting.
        counts_prompts_ = false;
        return at + 1;
      }
      count_member();
      if (failed()) return at + 1;
    } else if (--depth_ == 0) {
      if (kCountsPrompts) list_ends();
      state_ = State::kCommaOrEnd;
      return at + 1;
    }
  }
  return at;
}

std::size_t RoutingScan::read_string(std::string_view piece, std::size_t at) {
  for (; at < piece.size(); ++at) {
    const char c = piece[at];
    if (escaped_ || hex_digits_ > 0) {
      if (!read_escape(c)) {
        broken("The body is broken JSON: a bad escape in a string.");
        return at;
      }
    } else if (c == '\\') {
      escaped_ = true;
    } else if (high_surrogate_ != 0) {
      broken("The body is broken JSON: half of a surrogate pair in a string.");
      return at;
    } else if (c == '"') {
      string_ends();
      return at + 1;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      broken("The body is broken JSON: a control character in a string.");
      return at;
    } else {
      append(c);
    }
  }
  return at;
}

// Reads one character of an escape, after its backslash.
bool RoutingScan::read_escape(char c) {
  if (escaped_) {
    escaped_ = false;
    if (c == 'u') {
      hex_digits_ = 4;
      code_unit_ = 0;
      return true;
    }
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const std::size_t which = kNames.find(c);
    if (which == std::string_view::npos || high_surrogate_ != 0) return false;
    append(kMeanings[which]);
    return true;
  }
  const char digit = lower(c);
  if (digit >= '0' && digit <= '9') {
    code_unit_ = code_unit_ * 16 + static_cast<std::uint32_t>(digit - '0');
  } else if (digit >= 'a' && digit <= 'f') {
    code_unit_ = code_unit_ * 16 + static_cast<std::uint32_t>(digit - 'a' + 10);
  } else {
    return false;
  }
  if (--hex_digits_ > 0) return true;
  const bool high = code_unit_ >= 0xD800 && code_unit_ < 0xDC00;
  const bool low = code_unit_ >= 0xDC00 && code_unit_ < 0xE000;
  if (low != (high_surrogate_ != 0)) return false;
  if (high) {
    high_surrogate_ = code_unit_;
  } else if (low) {
    append_code_point(0x10000 + ((high_surrogate_ - 0xD800) << 10) + (code_unit_ - 0xDC00));
    high_surrogate_ = 0;
  } else {
    append_code_point(code_unit_);
  }
  return true;
}

void RoutingScan::append(char c) {
  if (state_ == State::kGrammarString) {
    if (!grammar_.feed(c, *limit_)) over_limit();
    return;
  }
  if (text_.size() < text_limit_) {
    text_.push_back(c);
  } else {
    text_overflow_ = true;
  }
}

void RoutingScan::append_code_point(std::uint32_t code_point) {
  const auto tail = [&](unsigned shift) { append(static_cast<char>(0x80 | ((code_point >> shift) & 0x3F))); };
  if (code_point < 0x80) {
    append(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    append(static_cast<char>(0xC0 | (code_point >> 6)));
    tail(0);
  } else if (code_point < 0x10000) {
    append(static_cast<char>(0xE0 | (code_point >> 12)));
    tail(6);
    tail(0);
  } else {
    append(static_cast<char>(0xF0 | (code_point >> 18)));
    tail(12);
    tail(6);
    tail(0);
  }
}

void RoutingScan::string_ends() {
  if (state_ == State::kInKey) {
    member_ = text_overflow_ ? Member::kOther : member_named(text_);
    limit_ = text_overflow_ ? nullptr : find_field_limit(text_);
    state_ = State::kColon;
    return;
  }
  if (state_ == State::kGrammarString) {
    state_ = State::kCommaOrEnd;
    return;
  }
  // The last byte over the limit is enough to refuse the body, since no model has such a name.
  if (text_overflow_) return broken("\"model\" is too long to be the name of a model.", "model");
  routing_.model = text_;
  state_ = State::kCommaOrEnd;
}

Result<Routing> RoutingScan::finish() {
  if (failed()) return fail(ErrorCode::kInvalidArgument, error_, error_param_);
  if (state_ == State::kStart) return fail(ErrorCode::kInvalidArgument, "The body is empty; send a JSON object.");
  if (state_ != State::kEnd) return fail(ErrorCode::kInvalidArgument, "The body ends inside its JSON object.");
  if (model_is_no_text_) {
    return fail(ErrorCode::kInvalidArgument, "\"model\" must be a string: the id of a model.", "model");
  }
  return routing_;
}

// ---- multipart/form-data ------------------------------------------------------------------------------------------

namespace {

// The value of the parameter `name` of a header field ("form-data; name=\"x\"; filename=\"y\"").
std::optional<std::string> header_parameter(std::string_view value, std::string_view name) {
  std::size_t at = value.find(';');
  while (at < value.size()) {
    ++at;
    while (at < value.size() && (value[at] == ' ' || value[at] == '\t')) ++at;
    const std::size_t name_end = std::min(value.find_first_of("=;", at), value.size());
    std::string_view found = value.substr(at, name_end - at);
    while (!found.empty() && is_space(found.back())) found.remove_suffix(1);
    at = name_end;
    std::string text;
    if (at < value.size() && value[at] == '=') {
      ++at;
      while (at < value.size() && (value[at] == ' ' || value[at] == '\t')) ++at;
      if (at < value.size() && value[at] == '"') {
        for (++at; at < value.size() && value[at] != '"'; ++at) {
          if (value[at] == '\\' && at + 1 < value.size()) ++at;
          text.push_back(value[at]);
        }
        at = std::min(value.find(';', at), value.size());
      } else {
        const std::size_t end = std::min(value.find(';', at), value.size());
        text = value.substr(at, end - at);
        while (!text.empty() && is_space(text.back())) text.pop_back();
        at = end;
      }
    }
    if (equals_ignoring_case(found, name)) return text;
  }
  return std::nullopt;
}

}  // namespace

MultipartScan::MultipartScan(std::string_view boundary) : delimiter_("\r\n--") {
  check(!boundary.empty() && boundary.find('\r') == std::string_view::npos, "an unusable multipart boundary");
  delimiter_ += boundary;
}

void MultipartScan::feed(std::string_view piece) {
  std::size_t at = 0;
  while (at < piece.size() && !failed() && state_ != State::kEnd) {
    at = state_ == State::kPartHead ? read_head(piece, at) : read_value(piece, at);
  }
}

// Reads bytes up to the next delimiter. The delimiter holds one CR, at its start. So after a mismatch only the
// mismatching byte itself can begin another delimiter.
std::size_t MultipartScan::read_value(std::string_view piece, std::size_t at) {
  if (matched_ == 0) {
    const std::size_t cr = position_of('\r', piece, at);
    keep(piece.substr(at, cr - at));
    if (cr == piece.size()) return cr;
    matched_ = 1;
    at = cr + 1;
  }
  while (at < piece.size() && piece[at] == delimiter_[matched_]) {
    ++at;
    if (++matched_ == delimiter_.size()) {
      value_ends();
      return at;
    }
  }
  if (at < piece.size()) {
    keep(std::string_view(delimiter_).substr(0, matched_));
    matched_ = 0;
  }
  return at;
}

void MultipartScan::keep(std::string_view bytes) {
  if (state_ != State::kValue) return;
  const std::size_t room = kMaxValue - text_.size();
  if (bytes.size() > room) text_overflow_ = true;
  text_ += bytes.substr(0, room);
}

void MultipartScan::value_ends() {
  if (state_ == State::kValue && member_ == Member::kStream) {
    routing_.stream = text_ == "true" || text_ == "1";
  } else if (state_ == State::kValue) {
    if (text_overflow_) {
      error_ = "\"model\" is too long to be the name of a model.";
      error_param_ = "model";
      return;
    }
    routing_.model = text_;
  }
  state_ = State::kPartHead;
  text_.clear();
  text_overflow_ = false;
}

// Reads what follows a delimiter: "--" for the end of the form, or a line end and the header fields of a part, up to an
// empty line.
std::size_t MultipartScan::read_head(std::string_view piece, std::size_t at) {
  while (at < piece.size()) {
    text_.push_back(piece[at++]);
    if (text_ == "--") {
      state_ = State::kEnd;
      return at;
    }
    if (text_.ends_with("\r\n\r\n")) {
      head_ends();
      return at;
    }
    if (text_.size() >= kMaxPartHead) {
      error_ = "The form is broken: the head of a part is too long.";
      return at;
    }
  }
  return at;
}

void MultipartScan::head_ends() {
  member_ = Member::kOther;
  std::string_view rest = text_;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find("\r\n"), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 2, rest.size()));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !equals_ignoring_case(line.substr(0, colon), "content-disposition")) {
      continue;
    }
    const std::string_view value = line.substr(colon + 1);
    if (header_parameter(value, "filename") || header_parameter(value, "filename*")) continue;
    const std::optional<std::string> name = header_parameter(value, "name");
    if (name == "model") member_ = Member::kModel;
    if (name == "stream") member_ = Member::kStream;
  }
  state_ = member_ == Member::kOther ? State::kSkippedValue : State::kValue;
  matched_ = 0;
  text_.clear();
}

Result<Routing> MultipartScan::finish() {
  if (failed()) return fail(ErrorCode::kInvalidArgument, error_, error_param_);
  if (state_ != State::kEnd) return fail(ErrorCode::kInvalidArgument, "The form ends before its last boundary.");
  return routing_;
}

Result<std::unique_ptr<BodyScan>> make_scan(std::string_view content_type, bool note_members) {
  constexpr std::size_t kMaxBoundary = 200;  // RFC 2046 allows 70
  std::string_view media_type = content_type.substr(0, content_type.find(';'));
  while (!media_type.empty() && is_space(media_type.back())) media_type.remove_suffix(1);
  while (!media_type.empty() && is_space(media_type.front())) media_type.remove_prefix(1);
  if (!equals_ignoring_case(media_type, "multipart/form-data")) return std::make_unique<RoutingScan>(note_members);
  const std::optional<std::string> boundary = header_parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > kMaxBoundary ||
      boundary->find_first_of("\r\n") != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "The Content-Type of a form must name its boundary.");
  }
  return std::make_unique<MultipartScan>(*boundary);
}

}  // namespace minerva::api
