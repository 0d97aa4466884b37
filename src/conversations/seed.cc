#include "conversations/seed.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>

#include "io/descriptor.h"

namespace minerva::conversations {
namespace {

// Of each file. The beginning has the header's values, and most of the vocabulary.
constexpr std::uint64_t kBeginning = std::uint64_t{256} << 10;
constexpr std::uint64_t kSamples = 32;
constexpr std::uint64_t kSample = 4096;

class Hash {
 public:
  Hash() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  // The length keeps a text apart from the one that follows.
  void add(std::string_view text) {
    const std::uint64_t size = text.size();
    EVP_DigestUpdate(context_.get(), &size, sizeof(size));
    EVP_DigestUpdate(context_.get(), text.data(), text.size());
  }
  std::string digits() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    EVP_DigestFinal_ex(context_.get(), bytes.data(), nullptr);
    std::string text;
    for (std::size_t i = 0; i < kSeedDigits / 2; ++i) text += fmt::format("{:02x}", bytes[i]);
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

// false: errno says why.
bool add_range(Hash& hash, int file, std::uint64_t from, std::uint64_t size) {
  std::string bytes(size, '\0');
  std::size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t n = ::pread(file, bytes.data() + got, bytes.size() - got, static_cast<off_t>(from + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) break;  // it became shorter meanwhile, so its time differs too
    got += static_cast<std::size_t>(n);
  }
  hash.add(std::string_view(bytes).substr(0, got));
  return true;
}

bool add_file(Hash& hash, const std::string& path) {
  const io::Descriptor file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat status{};
  if (!file || ::fstat(*file, &status) != 0) return false;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  hash.add(fmt::to_string(size));
  if (!add_range(hash, *file, 0, std::min(size, kBeginning))) return false;
  if (size <= kBeginning) return true;
  for (std::uint64_t i = 1; i <= kSamples; ++i) {
    // The last sample is the file's end.
    const std::uint64_t from = kBeginning + (size - kBeginning) / kSamples * i;
    const std::uint64_t place = i == kSamples ? size - std::min(size, kSample) : std::min(from, size - kSample);
    if (!add_range(hash, *file, place, kSample)) return false;
  }
  return true;
}

}  // namespace

Result<std::string> files_digest(const std::vector<std::string>& files) {
  Hash hash;
  for (const std::string& file : files) {
    if (!add_file(hash, file)) {
      return fail(ErrorCode::kIo, fmt::format("cannot read {}: {}", file, std::strerror(errno)));
    }
  }
  return hash.digits();
}

std::string seed_of(std::string_view meaning, std::string_view files_digest) {
  Hash hash;
  hash.add(meaning);
  hash.add(files_digest);
  return hash.digits();
}

}  // namespace minerva::conversations
