// What the model hub answers, read as foreign bytes: its JSON, its header fields, its refusals.
//
// Pure functions; any thread. They fetch nothing.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/result.h"

namespace minerva::pull {

// Header fields by their names in small letters; of a field that is there twice the last counts.
using Fields = std::map<std::string, std::string>;

// What proves a file's content.
struct Proof {
  enum class Kind { kNone, kSha256, kGitBlob };
  Kind kind = Kind::kNone;
  std::string hex;  // 64 digits, or git's 40: SHA-1 over "blob SIZE\0" and the content

  bool operator==(const Proof&) const = default;
};

struct RemoteFile {
  std::string path;  // in the repository: is_safe_path()
  Bytes size;
  Proof proof;

  bool operator==(const RemoteFile&) const = default;
};

struct RepoFacts {
  std::string commit;
  std::string licence;  // empty: it says none
  bool gated = false;   // its licence must be accepted on the hub's page first
};
// Of GET /api/models/{repo}/revision/{revision}. Errors: kIo.
Result<RepoFacts> parse_repo_facts(std::string_view json);

// Of GET /api/models/{repo}/tree/{commit}?recursive=true: its files; those whose paths are not safe are left out.
// Errors: kIo, also for more than `most`.
Result<std::vector<RemoteFile>> parse_tree(std::string_view json, std::size_t most);
// The address in `Link: <...>; rel="next"`; nothing if that was the last page.
std::optional<std::string> next_page(const Fields& fields);

// What HEAD of a file says about it, the linked file's fields before those of the answer itself.
struct FileFacts {
  std::string commit;         // empty: it says none
  std::string etag;           // without quotes and W/; empty: none
  bool weak = false;          // the ETag names a meaning, no bytes
  std::optional<Bytes> size;  // of the linked file where there is one
  bool linked = false;        // X-Linked-Etag is there
};
FileFacts read_file_facts(const Fields& fields);
// What an ETag of the hub proves: 64 hex digits or 40.
Proof proof_of_etag(std::string_view etag);

// "bytes 5-9/10".
struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t total = 0;
};
std::optional<ContentRange> parse_content_range(std::string_view text);

// Seconds to wait, at most an hour; dates are not read.
std::optional<std::chrono::seconds> retry_after(const Fields& fields);

// Whether a later try may go better: 408, 429 and 5xx.
bool may_pass(int status);
// What an answer that is no 2xx means, in a sentence that says what to do. `what`: "org/repo". `page`: where people
// read about it. `has_token`: one was sent.
Error refusal(int status, const Fields& fields, std::string_view what, std::string_view page, bool has_token);

}  // namespace minerva::pull
