// API keys: kept as SHA-256 hashes only, and compared in constant time.
//
// Plain values; any thread. Errors never repeat a key. Does not know where a request carries its key (server/access.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/digest.h"
#include "minerva/base/result.h"
#include "minerva/context/types.h"

namespace minerva {

// A key as the config holds it: "sha256:" and 64 hex digits, behind its name where it has one ("anna: sha256:...").
// `text` is a key, or already such a hash (which can be written into a file instead of the key); behind a name and ":
// ", which no key can hold. Errors: kInvalidArgument for what cannot be sent in a header, and for a name that cannot be
// shown.
Result<std::string> hash_api_key(std::string_view text);

// One key (or hash, with its name or without) per line; empty lines and those that start with "#" are passed over.
// Errors: kInvalidArgument: it cannot be read, others may read it, or it holds no key.
Result<std::vector<std::string>> read_api_key_file(const std::string& path);

class ApiKeys {
 public:
  // A key that is added twice has the priority and the name it was given last. Requires: `key` comes from
  // hash_api_key().
  void add(std::string_view key, Priority priority = Priority::kNormal);
  bool empty() const { return keys_.empty(); }
  // Whose key it is: the same user as long as the key is the same. Nothing if it is none of these.
  std::optional<Caller> find(std::string_view key) const;
  // The same of somebody whose key was found before. Nothing if that key is none of these (any more).
  std::optional<Caller> find_user(UserId user) const;
  // The name of that key; empty: the key has no name, or is none of these.
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
