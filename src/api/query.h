// Request targets: the path, the parameters, and the model that a path names.
//
// Plain functions; any thread. They do not know which routes exist.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "minerva/base/ids.h"
#include "minerva/base/result.h"

namespace minerva::api {

// "%2F" -> "/". Errors: kInvalidArgument for a broken escape or an encoded NUL.
Result<std::string> percent_decode(std::string_view text);
// The reverse, for one segment of a path: everything but letters, digits and -._~ is escaped.
std::string percent_encode(std::string_view text);

struct Target {
  std::string_view path;   // not decoded
  std::string_view query;  // not decoded, without "?"
};
// Splits an origin-form target ("/v1/models?x=1"). An absolute target loses its scheme and host. Returns views into
// `target`.
Target split_target(std::string_view target);

class Query {
 public:
  static constexpr std::size_t kMaxParameters = 64;

  // Errors: kInvalidArgument for a broken escape or too many parameters.
  static Result<Query> parse(std::string_view query);

  // How many parameters have that name.
  std::size_t count(std::string_view name) const;
  // The last value of that name, or nullptr.
  const std::string* find(std::string_view name) const;
  // The parameter as a flag: "true", "1" and the bare name are true, "false" and "0" are false. `otherwise`: if it is
  // absent. Errors: kInvalidArgument with the name.
  Result<bool> flag(std::string_view name, bool otherwise) const;
  // The parameter as a decimal number of at most `max`. Errors: kInvalidArgument with the name.
  Result<unsigned> number(std::string_view name, unsigned otherwise, unsigned max) const;

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
};

// What follows "/v1/models/" and the like: "ID" or "ID/ACTION". An ID may hold slashes, raw or as %2F. The last raw
// segment is the action if it is one of `actions`. So an id that ends in such a word needs its slash escaped
// ("org%2Fload").
struct ModelPath {
  ModelId id;
  std::string_view action;  // one of `actions`, or empty
};
// Errors: kInvalidArgument if the id is not valid.
Result<ModelPath> parse_model_path(std::string_view rest, std::span<const std::string_view> actions);

// The path in the form in which routes are looked up: each run of slashes is one slash, and there is none at the end
// ("/" stays).
std::string normalized_path(std::string_view path);

}  // namespace minerva::api
