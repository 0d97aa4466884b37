#include "conversations/tenants.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <utility>

#include "io/state_file.h"
#include "minerva/base/check.h"

namespace minerva::conversations {
namespace {

constexpr io::StateFile::Format kSecretFormat = {"conversations-secret", 1, "conversations that were kept are lost"};
constexpr const char* kSecretFile = "/conversations.secret";
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kNameBytes = 16;

template <typename Range>
std::string in_hex(const Range& bytes, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

}  // namespace

Result<Tenants> Tenants::open(const std::string& state_folder, io::Files& files) {
  const io::StateFile file(state_folder + kSecretFile, kSecretFormat, files);
  std::string secret = file.read().value_or("");
  if (secret.size() == 2 * kSecretBytes) return Tenants(std::move(secret));
  Tenants tenants = fresh();
  if (auto written = file.write(tenants.secret_); !written) return fail(written.error());
  return tenants;
}

void Tenants::forget(const std::string& state_folder, io::Files& files) {
  files.unlink(state_folder + kSecretFile);
  files.unlink(state_folder + kSecretFile + ".damaged");  // which may have a secret, too
}

Tenants Tenants::fresh() {
  std::array<unsigned char, kSecretBytes> bytes{};
  check(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1, "the system has random numbers");
  return Tenants(in_hex(bytes, bytes.size()));
}

std::string Tenants::name(UserId user) const {
  const std::string text = fmt::to_string(static_cast<std::uint64_t>(user));
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data(), nullptr);
  return in_hex(hash, kNameBytes);
}

}  // namespace minerva::conversations
