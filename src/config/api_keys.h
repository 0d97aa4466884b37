// API keys: kept as SHA-256 hashes only, and compared in constant time.
//
// Plain values; any thread. Errors never repeat a key. Does not know where a request carries its key (server/access.h).
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/digest.h"
#include "minerva/base/result.h"
#include "minerva/context/types.h"

namespace minerva {

// A key in the form of the config: "sha256:" and 64 hex digits, with its name in front if it has one ("anna:
// sha256:..."). `text` is a key, or already such a hash (which can stand in a file instead of the key). A name and ": "
// may stand in front; no key can hold ": ". Errors: kInvalidArgument for a key that cannot be sent in a header, and for
// a name that cannot be shown.
Result<std::string> hash_api_key(std::string_view text);

// Reads one key (or hash) per line, with or without a name. Skips empty lines and lines that start with "#".
// Errors: kInvalidArgument: the file cannot be read, others may read it, or it holds no key.
Result<std::vector<std::string>> read_api_key_file(const std::string& path);

class ApiKeys {
 public:
  // If a key is added twice, the last priority and the last name count. Requires: `key` comes from hash_api_key().
  void add(std::string_view key, Priority priority = Priority::kNormal);
  bool empty() const { return keys_.empty(); }
  // The holder of the key: the same user as long as the key is the same. Nothing if it is none of these keys.
  std::optional<Caller> find(std::string_view key) const;
  // The same for a user whose key was found before. Nothing if the key is no longer among these.
  std::optional<Caller> find_user(UserId user) const;
  // The holders of all keys, each once.
  std::set<UserId> users() const;
  // The name of that user's key; empty: the key has no name, or is none of these.
  std::string name_of(UserId user) const;

 private:
  struct Key {
    api::Sha256 hash;
    Priority priority;
    std::string name;  // empty: none
  };
  std::vector<Key> keys_;
};

}  // namespace minerva
