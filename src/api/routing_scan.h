// Scans of a request body as it arrives, for what routing needs: which model, whether the answer is a stream, and how
// much of an engine the request takes.
//
// They take the body in pieces of any size and keep no copy of it. On the way they refuse what would harm an engine
// (field_limits.h), and look at nothing else: the engine validates the rest. Who will rewrite the body (preset.h) lets
// them note where its members are. Memory and nesting are bounded. Threading: one thread per scan, any thread.
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
  std::optional<std::string> model;  // not set: the body names none. Not validated, may hold any bytes
  bool stream = false;
  bool response_format = false;  // a JSON body has one that is an object
  // Slots that the engine gives the request at once: one for each answer. The larger one of a JSON body's "n" and
  // "n_cmpl", llama.cpp's name for the same. A fraction is cut, as the engine cuts it; what is no number counts as 1.
  unsigned slots = 1;
  // Prompts that the engine answers one by one, as slots come free: elements of "prompt", "input", "content",
  // "documents" or "texts", kMaxPrompts at most. A list that holds a number is one prompt, made of token ids. The
  // route says what such a member means: the list of /v1/responses is one conversation.
  unsigned prompts = 1;
  // A JSON body has an "id_slot" that is neither -1, which is llama.cpp's word for any slot, nor null.
  bool names_slot = false;
};

// Where a member of the body's outermost object is: offsets in bytes.
struct MemberSpan {
  std::size_t key = 0;    // of the quote that begins its name
  std::size_t value = 0;  // of its value's first byte
  std::size_t end = 0;    // of the comma or brace after it
};

class BodyScan {
 public:
  static constexpr std::size_t kMaxMembers = 1024;  // that are noted

  virtual ~BodyScan() = default;
  // The next piece. After the first error in the body the rest is ignored.
  virtual void feed(std::string_view piece) = 0;
  // The body is broken: reading on will not mend it, finish() has the reason.
  virtual bool failed() const = 0;
  // The end of the object or form was seen. Before that a later "model" may still replace an earlier one.
  virtual bool complete() const = 0;
  // What was seen so far: enough to start a large upload on its way before its end has come.
  virtual const Routing& seen() const = 0;
  // The members so far, duplicates included, if they are noted; one more than kMaxMembers if there are too many.
  // nullptr: of a form, or not noted.
  virtual const std::vector<MemberSpan>* members() const { return nullptr; }
  // After the last piece. Errors: kInvalidArgument (broken or incomplete body; param "model" if that is at fault).
  virtual Result<Routing> finish() = 0;
};

// A JSON object: the members of the outermost object that Routing has. Of several of one name the last counts, as in
// JSON parsers. A member that is null counts as absent.
class RoutingScan final : public BodyScan {
 public:
  static constexpr std::size_t kMaxModel = 512;  // bytes of the decoded value
  static constexpr std::size_t kMaxDepth = 256;  // nested arrays and objects
  static constexpr unsigned kMaxPrompts = 1024;  // that are counted

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
    kColon,          // after it
    kValue,          // before a value
    kScalar,         // inside a number or literal
    kModelString,    // inside the model's name
    kGrammarString,  // inside a grammar
    kString,         // inside another string of the object
    kNested,         // inside a nested value
    kNestedString,   // inside a string there
    kCommaOrEnd,     // after a value
    kEnd,            // after the object
  };
  enum class Member : std::uint8_t {
    kOther,
    kModel,
    kStream,
    kIdSlot,
    // Those with a count.
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
  bool escaped_ = false;         // the next character of a string follows a backslash
  std::uint8_t hex_digits_ = 0;  // still to come of a \uXXXX
  std::uint32_t code_unit_ = 0;  // of the \uXXXX being read
  std::uint32_t high_surrogate_ = 0;
  std::size_t depth_ = 0;              // of nested values
  bool counts_prompts_ = false;        // of the list that is being read, whose elements are at depth 1
  std::size_t list_commas_ = 0;        // between them
  std::size_t list_prompts_ = 0;       // those that are texts, lists or objects
  const FieldLimit* limit_ = nullptr;  // of the member
  std::size_t value_bytes_ = 0;        // of its value, if that is limited
  // Members so far of each object around, if its field is limited; kList for a list.
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
  std::size_t fed_ = 0;  // bytes of the pieces before
  MemberSpan member_span_;
  std::vector<MemberSpan> members_;
};

// multipart/form-data: the fields "model" and "stream" ("true" or "1"). Files are passed over. A form takes one slot
// and names none: its fields are texts, in which an engine reads no number of answers or slot.
class MultipartScan final : public BodyScan {
 public:
  static constexpr std::size_t kMaxPartHead = 8 * 1024;
  static constexpr std::size_t kMaxValue = 512;  // bytes of a field it keeps

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
  std::size_t matched_ = 2;  // bytes of it seen; the first delimiter needs no line end before it
  std::string text_;         // a part's head, or the value of a field
  bool text_overflow_ = false;
  Routing routing_;
  std::string error_;
  std::string error_param_;
};

// The scan for a Content-Type (of a request): multipart/form-data, or JSON for everything else, since many clients send
// JSON without saying so. Errors: kInvalidArgument for multipart without a usable boundary.
Result<std::unique_ptr<BodyScan>> make_scan(std::string_view content_type, bool note_members = false);

}  // namespace minerva::api
