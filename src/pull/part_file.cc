#include "pull/part_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "io/descriptor.h"

namespace minerva::pull {

namespace fs = std::filesystem;

namespace {
constexpr std::uint64_t kWriteBehind = 64 << 20;  // bytes
}  // namespace

void PartFile::HashDeleter::operator()(evp_md_ctx_st* hash) const { EVP_MD_CTX_free(hash); }

PartFile::PartFile(int fd, fs::path path, Bytes size, Proof proof)
    : fd_(fd), path_(std::move(path)), size_(size.count()), proof_(std::move(proof)) {
  begin_hash();
}

PartFile::PartFile(PartFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      size_(other.size_),
      proof_(std::move(other.proof_)),
      have_(other.have_),
      behind_(other.behind_),
      resumed_(other.resumed_),
      hash_(std::move(other.hash_)) {}

PartFile::~PartFile() {
  if (fd_ >= 0) ::close(fd_);
}

Failure PartFile::failed(std::string_view what) const {
  const int error = errno;
  if (error == ENOSPC || error == EDQUOT) {
    return fail(ErrorCode::kIo, fmt::format("The disk is full: {} of {} are kept in {}. Make room and pull it again.",
                                            format_bytes(Bytes(have_)), format_bytes(Bytes(size_)), path_.string()));
  }
  return fail(ErrorCode::kIo, fmt::format("cannot {} {}: {}. Check the folder's owner, mode and disk.", what,
                                          path_.string(), std::strerror(error)));
}

Result<PartFile> PartFile::open(const fs::path& path, Bytes size, const Proof& proof, const Stop& stop) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0644);
  PartFile part(fd, path, size, proof);
  struct stat status{};
  if (fd < 0 || ::fstat(fd, &status) != 0) return part.failed("open");
  if (!S_ISREG(status.st_mode)) {
    errno = EINVAL;
    return part.failed("open");
  }
  if (static_cast<std::uint64_t>(status.st_size) > part.size_) {
    if (const auto anew = part.begin_anew(); !anew) return fail(anew.error());
  } else if (const auto hashed = part.hash_what_is_there(stop); !hashed) {
    return fail(hashed.error());
  }
  part.resumed_ = part.have_ > 0;
  return part;
}

void PartFile::begin_hash() {
  hash_.reset();
  if (proof_.kind == Proof::Kind::kNone) return;
  hash_.reset(EVP_MD_CTX_new());
  const bool is_git = proof_.kind == Proof::Kind::kGitBlob;
  EVP_DigestInit_ex(hash_.get(), is_git ? EVP_sha1() : EVP_sha256(), nullptr);
  if (!is_git) return;
  const std::string head = fmt::format("blob {}", size_);
  EVP_DigestUpdate(hash_.get(), head.c_str(), head.size() + 1);  // with its zero
}

Result<void> PartFile::hash_what_is_there(const Stop& stop) {
  std::vector<char> buffer(1U << 20U);
  while (true) {
    if (stop.is_set()) return fail(ErrorCode::kCancelled, "cancelled");
    const ssize_t got = ::read(fd_, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("read");
    if (got == 0) return {};
    if (hash_) EVP_DigestUpdate(hash_.get(), buffer.data(), static_cast<std::size_t>(got));
    have_ += static_cast<std::uint64_t>(got);
  }
}

Result<void> PartFile::append(std::string_view bytes) {
  if (bytes.size() > size_ - have_) {
    return fail(ErrorCode::kIo, fmt::format("more than the {} bytes come that were said", size_));
  }
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(have_));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failed("write");
    const auto count = static_cast<std::size_t>(written);
    if (hash_) EVP_DigestUpdate(hash_.get(), bytes.data(), count);
    have_ += count;
    bytes.remove_prefix(count);
  }
  // The disk has work meanwhile, and the sync in the end little left to wait for.
  if (have_ - behind_ >= kWriteBehind) {
    ::sync_file_range(fd_, static_cast<off_t>(behind_), static_cast<off_t>(have_ - behind_), SYNC_FILE_RANGE_WRITE);
    behind_ = have_;
  }
  return {};
}

Result<void> PartFile::begin_anew() {
  if (::ftruncate(fd_, 0) != 0) return failed("empty");
  have_ = 0;
  behind_ = 0;
  resumed_ = false;
  begin_hash();
  return {};
}

bool PartFile::proven() {
  if (!hash_) return true;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_DigestFinal_ex(hash_.get(), digest.data(), &size);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex == proof_.hex;
}

Result<void> PartFile::finish(const fs::path& path) {
  if (::fsync(fd_) != 0) return failed("finish");
  int renamed = ::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE);
  // Not every file system can say no.
  if (renamed != 0 && errno == EINVAL && ::access(path.c_str(), F_OK) != 0) {
    renamed = ::rename(path_.c_str(), path.c_str());
  }
  if (renamed != 0 && errno == EEXIST) {
    return fail(ErrorCode::kConflict,
                fmt::format("There is a file {} already, which is left as it is. Move it away and "
                            "pull it again.",
                            path.string()));
  }
  if (renamed != 0) return failed("finish");
  // The name too; where a folder cannot be synced, the next start sees the part.
  const io::Descriptor folder(::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder) ::fsync(*folder);
  return {};
}

void PartFile::discard() { ::unlink(path_.c_str()); }

std::optional<Bytes> free_disk(const fs::path& path) {
  std::error_code error;
  fs::path folder = path;
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  const fs::space_info space = fs::space(folder, error);
  if (error) return std::nullopt;
  return Bytes(space.available);
}

}  // namespace minerva::pull
