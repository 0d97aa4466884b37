// The answers of the model hub, read as foreign bytes: its JSON, its header fields, its refusals.
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

// Header fields by their names in lower case. If a field comes twice, the last one counts.
using Fields = std::map<std::string, std::string>;

// The hash that proves a file's content.
struct Proof {
  enum class Kind { kNone, kSha256, kGitBlob };
  Kind kind = Kind::kNone;
  std::string hex;  // 64 digits of SHA-256, or 40 of git's SHA-1 over "blob SIZE\0" and the content

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
  std::string licence;  // empty: the repository says none
  bool gated = false;   // the user must first accept the licence on the hub's page
};
// Parses the answer of GET /api/models/{repo}/revision/{revision}. Errors: kIo.
Result<RepoFacts> parse_repo_facts(std::string_view json);

// Parses the answer of GET /api/models/{repo}/tree/{commit}?recursive=true. Returns its files, without those whose
// paths are not safe. Errors: kIo, also for more than `most` files.
Result<std::vector<RemoteFile>> parse_tree(std::string_view json, std::size_t most);
// The address in `Link: <...>; rel="next"`; nothing on the last page.
std::optional<std::string> next_page(const Fields& fields);

// What the answer to HEAD says about a file. The fields about the linked file come before those of the answer itself.
struct FileFacts {
  std::string commit;         // empty: the answer says none
  std::string etag;           // without quotes and W/; empty: none
  bool weak = false;          // a weak ETag: it does not name exact bytes
  std::optional<Bytes> size;  // of the linked file if there is one
  bool linked = false;        // the answer has X-Linked-Etag
};
FileFacts read_file_facts(const Fields& fields);
// The proof in an ETag of the hub: 64 hex digits or 40.
Proof proof_of_etag(std::string_view etag);

// "bytes 5-9/10".
struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t total = 0;
};
std::optional<ContentRange> parse_content_range(std::string_view text);

// How long to wait, at most an hour. Dates are not read.
std::optional<std::chrono::seconds> retry_after(const Fields& fields);

// Whether a later try may succeed: 408, 429 and 5xx.
bool may_pass(int status);
// What an answer that is no 2xx means, in a sentence that says what to do. `what`: "org/repo". `page`: the page for
// people. `has_token`: the request had a token.
Error refusal(int status, const Fields& fields, std::string_view what, std::string_view page, bool has_token);

}  // namespace minerva::pull
