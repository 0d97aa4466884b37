// Tenants: which name the conversations of a user have on disk and in engines.
//
// The name is a keyed hash of the user. Its secret is in the state folder, so that nobody who sees a name can find out
// by trying whose it is, though a user's number comes from an API key that may be weak.
// Threading: plain value; open() blocks.
#pragma once

#include <string>

#include "io/files.h"
#include "minerva/base/ids.h"
#include "minerva/base/result.h"

namespace minerva::conversations {

class Tenants {
 public:
  // Reads the secret in `state_folder`, or makes one. With another secret all conversations are another tenant's.
  // Errors: kIo: it cannot be kept.
  static Result<Tenants> open(const std::string& state_folder, io::Files& files = io::real_files());
  // Removes the secret in `state_folder`.
  static void forget(const std::string& state_folder, io::Files& files = io::real_files());
  // With a secret that only this process knows: for engines, while nothing is kept on disk.
  static Tenants fresh();
  // As protocol::is_tenant() has it.
  std::string name(UserId user) const;

 private:
  explicit Tenants(std::string secret) : secret_(std::move(secret)) {}
  std::string secret_;
};

}  // namespace minerva::conversations
