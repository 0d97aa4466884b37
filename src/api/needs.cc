#include "api/needs.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "api/json.h"
#include "api/routing_scan.h"

namespace minerva::api {
namespace {

constexpr std::array<std::pair<std::string_view, Work>, 22> kWork = {{
    {"/chat/completions", Work::kChat},
    {"/responses", Work::kChat},
    {"/messages", Work::kChat},
    {"/chat/completions/input_tokens", Work::kTemplate},
    {"/responses/input_tokens", Work::kTemplate},
    {"/messages/input_tokens", Work::kTemplate},
    {"/messages/count_tokens", Work::kTemplate},
    {"/chat/completions/count_tokens", Work::kTemplate},
    {"/responses/count_tokens", Work::kTemplate},
    {"/apply-template", Work::kTemplate},
    {"/completions", Work::kComplete},
    {"/completion", Work::kComplete},
    {"/infill", Work::kInfill},
    {"/v1/embeddings", Work::kEmbed},
    {"/v/embeddings", Work::kEmbed},
    {"/embeddings", Work::kEmbedRaw},
    {"/embedding", Work::kEmbedRaw},
    {"/rerank", Work::kRerank},
    {"/reranking", Work::kRerank},
    {"/audio/transcriptions", Work::kTranscribe},
    // No other route that may have a version in front, such as /v1/health, is in this table.
    {"/v1/embedding", Work::kEmbedRaw},
    {"/v/embedding", Work::kEmbedRaw},
}};

// The values of "type" that mean media; and the member of llama.cpp's prompts that holds media.
constexpr std::array<std::pair<std::string_view, Media::Kind>, 9> kTypes = {{
    {"image_url", Media::Kind::kImage},    // OpenAI's chat
    {"input_image", Media::Kind::kImage},  // OpenAI's responses
    {"image", Media::Kind::kImage},        // Anthropic's
    {"input_audio", Media::Kind::kAudio},
    {"input_video", Media::Kind::kVideo},
    {"video_url", Media::Kind::kVideo},
    {"file", Media::Kind::kDocument},        // OpenAI's chat
    {"input_file", Media::Kind::kDocument},  // OpenAI's responses
    {"document", Media::Kind::kDocument},    // Anthropic's
}};
constexpr std::string_view kMediaMember = "multimodal_data";

std::optional<Media::Kind> kind_of_type(std::string_view type) {
  for (const auto& [name, kind] : kTypes) {
    if (name == type) return kind;
  }
  return std::nullopt;
}

// Whether the body holds, as a whole string, a word for media that the model does not take.
bool may_hold_media(std::string_view body, const MediaKinds& taken) {
  const auto ends_with_quoted = [](std::string_view text, std::string_view word) {
    return text.ends_with(word) && text.size() > word.size() && text[text.size() - word.size() - 1] == '"';
  };
  for (std::size_t quote = body.find('"'); quote != std::string_view::npos; quote = body.find('"', quote + 1)) {
    const std::string_view before = body.substr(0, quote);
    if (taken.empty() && ends_with_quoted(before, kMediaMember)) return true;
    for (const auto& [name, kind] : kTypes) {
      if (!taken.contains(kind) && ends_with_quoted(before, name)) return true;
    }
  }
  return false;
}

// Searches the members of the body that hold what people and models say, for a part that is no text. It skips a tool's
// schema, the arguments of a call and the like, since these may hold any words.
class MediaSearch final : public nlohmann::json_sax<Json> {
 public:
  explicit MediaSearch(const MediaKinds& taken) : taken_(taken) {}

  std::optional<Media> found() const { return found_; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

  bool key(string_t& name) override {
    frames_.back().key = name == "type" ? Key::kType : meaning(frames_.back().place, name);
    return true;
  }
  bool string(string_t& text) override {
    if (frames_.empty()) return true;
    const Frame& frame = frames_.back();
    if (frame.place == Place::kMedia) return !taken_.empty() || take(Media::Kind::kImage);
    if (frame.place != Place::kPart || frame.key != Key::kType) return true;
    const auto kind = kind_of_type(text);
    return !kind || taken_.contains(*kind) || take(*kind);
  }
  bool start_object(std::size_t) override {
    if (frames_.empty()) return enter(Place::kRoot);
    const bool said = frames_.back().place == Place::kList || frames_.back().key == Key::kSaid;
    return enter(said ? Place::kPart : Place::kOther);
  }
  bool end_object() override { return leave(); }
  bool start_array(std::size_t) override {
    if (frames_.empty()) return false;
    const Frame& frame = frames_.back();
    if (frame.key == Key::kMedia) return enter(Place::kMedia);
    return enter(frame.place == Place::kList || frame.key == Key::kSaid ? Place::kList : Place::kOther);
  }
  bool end_array() override { return leave(); }

 private:
  enum class Place : std::uint8_t {
    kOther,  // not searched
    kRoot,   // the body
    kList,   // of messages, parts or prompts
    kPart,   // one of them
    kMedia,  // llama.cpp's list of media
  };
  // The kind of the member that is being read.
  enum class Key : std::uint8_t { kOther, kType, kSaid, kMedia };
  struct Frame {
    Place place = Place::kOther;
    Key key = Key::kOther;
  };

  Key meaning(Place place, std::string_view name) {
    if (place == Place::kRoot) {
      constexpr std::array<std::string_view, 5> kSaid = {"messages", "input", "prompt", "system", "content"};
      const auto* const member = std::find(kSaid.begin(), kSaid.end(), name);
      if (member == kSaid.end()) return Key::kOther;
      member_ = *member;
      return Key::kSaid;
    }
    if (place != Place::kPart) return Key::kOther;
    if (name == kMediaMember) return Key::kMedia;
    return name == "content" || name == "output" ? Key::kSaid : Key::kOther;
  }
  bool enter(Place place) {
    frames_.push_back({place, Key::kOther});
    return frames_.size() <= RoutingScan::kMaxDepth;
  }
  bool leave() {
    frames_.pop_back();
    return true;
  }
  // false: ends the search.
  bool take(Media::Kind kind) {
    found_ = Media{kind, member_};
    return false;
  }

  const MediaKinds& taken_;
  std::vector<Frame> frames_;
  std::string_view member_;  // the member of the body that is being read; static storage
  std::optional<Media> found_;
};

}  // namespace

Work work_of(std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  const auto work = [](std::string_view name) -> std::optional<Work> {
    const auto* const row = std::find_if(kWork.begin(), kWork.end(), [&](const auto& r) { return r.first == name; });
    return row == kWork.end() ? std::nullopt : std::optional(row->second);
  };
  if (const auto found = work(path)) return *found;
  for (const std::string_view version : {"/v1", "/v"}) {
    if (path.starts_with(version)) return work(path.substr(version.size())).value_or(Work::kAny);
  }
  return Work::kAny;
}

std::optional<Media> find_media(std::string_view body, const MediaKinds& taken) {
  if (!may_hold_media(body, taken)) return std::nullopt;
  MediaSearch search(taken);
  Json::sax_parse(body, &search);
  return search.found();
}

}  // namespace minerva::api
