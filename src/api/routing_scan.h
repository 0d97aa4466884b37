// Scans a request's body while it arrives, for what routing needs: the model, whether the answer is a stream, and how
// much of an engine the request takes.
//
// A scan takes the body in pieces of any size and keeps no copy of it. On the way it refuses values that would harm an
// engine (field_limits.h). It looks at nothing else: the engine validates the rest. For a caller that will rewrite the
// body (preset.h) the scan notes where the members are. Memory and nesting are bounded.
// Threading: one thread per scan, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_limits.h"
#include "minerva/base/result.h"

namespace minerva::api {

struct Routing {
  std::optional<std::string> model;  // not set: the body names no model. Not validated: may hold any bytes
  bool stream = false;
  bool response_format = false;  // a JSON body has a response_format that is an object
  // How many slots the request takes at once: one for each answer. In a JSON body: the larger one of "n" and "n_cmpl",
  // which is llama.cpp's name for the same. A fraction is cut, as the engine cuts it. A value that is no number counts
  // as 1.
  unsigned slots = 1;
  // How many prompts the engine answers one by one, as slots come free: the elements of "prompt", "input", "content",
  // "documents" or "texts", at most kMaxPrompts. A list that holds a number is one prompt, made of token ids. The route
  // says what such a member means: the list of /v1/responses is one conversation.
  unsigned prompts = 1;
  // A JSON body has an "id_slot" that picks a slot: it is neither null nor -1, which llama.cpp takes for any slot.
  bool names_slot = false;
  bool is_private = false;  // a JSON body has "cache_prompt": false
};

// Where a member of the body's outermost object is: offsets in bytes from the beginning of the body.
struct MemberSpan {
  std::size_t key = 0;    // the quote that begins the name
  std::size_t value = 0;  // the first byte of the value
  std::size_t end = 0;    // the comma or brace after the value
};

class BodyScan {
 public:
  static constexpr std::size_t kMaxMembers = 1024;  // the most members that are noted

  virtual ~BodyScan() = default;
  // Takes the next piece. After the first error the rest of the body is ignored.
  virtual void feed(std::string_view piece) = 0;
  // Whether the body is broken. Further pieces change nothing; finish() has the reason.
  virtual bool failed() const = 0;
  // Whether the end of the object or form was seen. Before that end a later "model" may replace an earlier one.
  virtual bool complete() const = 0;
  // What was seen so far. It is enough to send a large upload on before its end has come.
  virtual const Routing& seen() const = 0;
  // The members so far, duplicates included, if the scan notes them: one more than kMaxMembers if there are too many.
  // nullptr: the body is a form, or the scan notes no members.
  virtual const std::vector<MemberSpan>* members() const { return nullptr; }
  // To be called after the last piece. Errors: kInvalidArgument (the body is broken or incomplete; param "model" if the
  // model is at fault).
  virtual Result<Routing> finish() = 0;
};

// The scan of a JSON object: reads the members of the outermost object that Routing has. If a name comes several times,
// the last one counts, as in JSON parsers. A member that is null counts as absent.
class RoutingScan final : public BodyScan {
 public:
  static constexpr std::size_t kMaxModel = 512;  // bytes of the decoded value
  static constexpr std::size_t kMaxDepth = 256;  // nested arrays and objects
  static constexpr unsigned kMaxPrompts = 1024;  // more are not counted

  explicit RoutingScan(bool note_members = false) : notes_members_(note_members) { counts_.fill(1); }

  void feed(std::string_view piece) override;
  bool failed() const override { return !error_.empty(); }
  bool complete() const override { return state_ == State::kEnd; }
  const Routing& seen() const override { return routing_; }
  const std::vector<MemberSpan>* members() const override { return notes_members_ ? &members_ : nullptr; }
  Result<Routing> finish() override;

 private:
  enum class State : std::uint8_t {
    kStart,          // before the object
    kFirstKeyOrEnd,  // after {
    kKey,            // after a comma
    kInKey,          // inside a member's name
    kColon,          // after a member's name
    kValue,          // before a value
    kScalar,         // inside a number or literal
    kModelString,    // inside the model's name
    kGrammarString,  // inside a grammar
    kString,         // inside another string of the object
    kNested,         // inside a nested value
    kNestedString,   // inside a string of a nested value
    kCommaOrEnd,     // after a value
    kEnd,            // after the object
  };
  enum class Member : std::uint8_t {
    kOther,
    kModel,
    kStream,
    kCachePrompt,
    kIdSlot,
    // The members with a count.
    kN,
    kNCmpl,
    kPrompt,
    kInput,
    kContent,
    kDocuments,
    kTexts,
  };
  static constexpr std::size_t kCounts = 7;
  static constexpr std::uint16_t kList = 0xFFFF;

  static Member member_named(std::string_view name);
  bool is_answers() const { return member_ == Member::kN || member_ == Member::kNCmpl; }
  bool is_prompts() const { return member_ >= Member::kPrompt; }
  void feed_piece(std::string_view piece);
  std::size_t skip_string(std::string_view piece, std::size_t at);
  template <bool kCountsPrompts>
  std::size_t skip_nested(std::string_view piece, std::size_t at);
  std::size_t read_string(std::string_view piece, std::size_t at);
  bool read_escape(char c);
  void append(char c);
  void append_code_point(std::uint32_t code_point);
  void string_ends();
  void start_value(char c);
  void end_scalar();
  void count_bytes(std::size_t bytes);
  void enter(char bracket);
  void count_member();
  void set_count(unsigned count);
  void list_ends();
  void over_limit();
  void broken(std::string_view why, std::string_view param = {});

  State state_ = State::kStart;
  Member member_ = Member::kOther;
  bool escaped_ = false;         // the last character of a string was a backslash
  std::uint8_t hex_digits_ = 0;  // still to come of a \uXXXX
  std::uint32_t code_unit_ = 0;  // of the \uXXXX that is being read
  std::uint32_t high_surrogate_ = 0;
  std::size_t depth_ = 0;              // of nested values
  bool counts_prompts_ = false;        // in the list that is being read; its elements are at depth 1
  std::size_t list_commas_ = 0;        // between the elements of that list
  std::size_t list_prompts_ = 0;       // the elements that are texts, lists or objects
  const FieldLimit* limit_ = nullptr;  // of the current member
  std::size_t value_bytes_ = 0;        // bytes of the current member's value, if it has a limit
  // The members so far of each object around, if the field has a limit; kList for a list.
  std::array<std::uint16_t, kDeepestLimit + 1> members_in_{};
  GrammarScan grammar_;
  std::size_t text_limit_ = 0;  // of text_
  bool text_overflow_ = false;
  std::string text_;  // a key, the model's name, or a scalar
  Routing routing_;
  std::array<unsigned, kCounts> counts_;  // of the members from kN on
  bool model_is_no_text_ = false;
  std::string error_;
  std::string error_param_;
  bool notes_members_;
  std::size_t fed_ = 0;  // bytes of the earlier pieces
  MemberSpan member_span_;
  std::vector<MemberSpan> members_;
};

// The scan of multipart/form-data: the fields "model" and "stream" ("true" or "1"). Files are passed over. A form takes
// one slot and names none: its fields are texts, and an engine reads no number of answers and no slot from texts.
class MultipartScan final : public BodyScan {
 public:
  static constexpr std::size_t kMaxPartHead = 8 * 1024;
  static constexpr std::size_t kMaxValue = 512;  // bytes of a field that is kept

  // Requires: `boundary` is not empty and holds no CR (make_scan() checks).
  explicit MultipartScan(std::string_view boundary);

  void feed(std::string_view piece) override;
  bool failed() const override { return !error_.empty(); }
  bool complete() const override { return state_ == State::kEnd; }
  const Routing& seen() const override { return routing_; }
  Result<Routing> finish() override;

 private:
  enum class State : std::uint8_t { kPreamble, kPartHead, kValue, kSkippedValue, kEnd };
  enum class Member : std::uint8_t { kOther, kModel, kStream };

  std::size_t read_head(std::string_view piece, std::size_t at);
  std::size_t read_value(std::string_view piece, std::size_t at);
  void keep(std::string_view bytes);
  void head_ends();
  void value_ends();

  State state_ = State::kPreamble;
  Member member_ = Member::kOther;
  std::string delimiter_;    // CR LF -- boundary
  std::size_t matched_ = 2;  // matching bytes so far; the first delimiter needs no line end before it
  std::string text_;         // the head of a part, or the value of a field
  bool text_overflow_ = false;
  Routing routing_;
  std::string error_;
  std::string error_param_;
};

// The scan for a request's Content-Type: multipart/form-data has one, and JSON is assumed for everything else, since
// many clients send JSON without saying so. Errors: kInvalidArgument for multipart without a usable boundary.
Result<std::unique_ptr<BodyScan>> make_scan(std::string_view content_type, bool note_members = false);

}  // namespace minerva::api
