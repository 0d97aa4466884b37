#include "pull/hasher.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <span>
#include <system_error>

#include "api/digest.h"

namespace minerva::pull {
namespace {

constexpr std::size_t kBlock = 1 << 20;  // bytes
// a Stop cannot wake a thread that also waits for something else
constexpr auto kStopPeriod = std::chrono::milliseconds(100);

}  // namespace

void Hasher::ContextDeleter::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Hasher::Hasher(int file, Proof::Kind kind, std::uint64_t size) : file_(file), size_(size), context_(EVP_MD_CTX_new()) {
  const bool is_git = kind == Proof::Kind::kGitBlob;
  EVP_DigestInit_ex(context_.get(), is_git ? EVP_sha1() : EVP_sha256(), nullptr);
  if (!is_git) return;
  const std::string head = fmt::format("blob {}", size);
  EVP_DigestUpdate(context_.get(), head.c_str(), head.size() + 1);  // with the zero at its end
}

Hasher::~Hasher() { end_thread(); }

bool Hasher::hash_some(std::uint64_t end) {
  buffer_.resize(kBlock);
  while (true) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kBlock, end - hashed_));
    const ssize_t got = ::pread(file_, buffer_.data(), count, static_cast<off_t>(hashed_));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    EVP_DigestUpdate(context_.get(), buffer_.data(), static_cast<std::size_t>(got));
    const std::lock_guard lock(mutex_);
    hashed_ += static_cast<std::uint64_t>(got);
    return true;
  }
}

bool Hasher::is_worth_it() const { return reached_ - hashed_ >= kBlock || reached_ == size_; }

void Hasher::reach(std::uint64_t end) {
  bool worth_it = false;
  {
    const std::lock_guard lock(mutex_);
    reached_ = end;
    worth_it = is_worth_it();
  }
  if (thread_.joinable() && worth_it) changed_.notify_all();
  if (thread_.joinable()) return;
  if (end < kBlock) return;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {  // no more threads: hex() hashes later, with the same result
  }
}

void Hasher::run() {
  std::unique_lock lock(mutex_);
  while (!ending_ && !failed_ && hashed_ < size_) {
    changed_.wait(lock, [this] { return ending_ || is_worth_it(); });
    const std::uint64_t end = reached_;
    if (ending_) return;
    lock.unlock();
    const bool read = hash_some(end);
    lock.lock();
    failed_ = !read;
    if (failed_ || hashed_ == size_) changed_.notify_all();
  }
}

void Hasher::end_thread() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Result<std::string> Hasher::hex(const Stop& stop) {
  if (thread_.joinable()) {
    std::unique_lock lock(mutex_);
    while (!stop.is_set() && !failed_ && hashed_ < size_) changed_.wait_for(lock, kStopPeriod);
  }
  end_thread();
  while (!stop.is_set() && !failed_ && hashed_ < size_) failed_ = !hash_some(size_);
  if (failed_) return fail(ErrorCode::kIo, "what was fetched cannot be read again. Check the disk.");
  if (hashed_ < size_) return fail(ErrorCode::kCancelled, "cancelled");
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_DigestFinal_ex(context_.get(), digest.data(), &size);
  return api::hex(std::span(digest).first(size));
}

}  // namespace minerva::pull
