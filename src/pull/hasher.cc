#include "pull/hasher.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <span>
#include <system_error>
#include <utility>

#include "api/digest.h"

namespace minerva::pull {
namespace {

constexpr std::size_t kBlock = 1 << 20;  // bytes
constexpr std::size_t kMostWaiting = 8;  // blocks

}  // namespace

void Hasher::ContextDeleter::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Hasher::Hasher(Proof::Kind kind, std::uint64_t size) : context_(EVP_MD_CTX_new()) {
  const bool is_git = kind == Proof::Kind::kGitBlob;
  EVP_DigestInit_ex(context_.get(), is_git ? EVP_sha1() : EVP_sha256(), nullptr);
  if (!is_git) return;
  const std::string head = fmt::format("blob {}", size);
  EVP_DigestUpdate(context_.get(), head.c_str(), head.size() + 1);  // with its zero
}

Hasher::~Hasher() { end_thread(); }

void Hasher::hash(std::string_view block) { EVP_DigestUpdate(context_.get(), block.data(), block.size()); }

void Hasher::update(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), kBlock - block_.size());
    block_.append(bytes.substr(0, count));
    bytes.remove_prefix(count);
    if (block_.size() == kBlock) pass_on();
  }
}

void Hasher::pass_on() {
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::system_error&) {  // no thread is to be had: slower, and as right
      hash(block_);
      block_.clear();
      return;
    }
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.size() < kMostWaiting; });
  waiting_.push_back(std::move(block_));
  block_ = std::string();
  if (!spare_.empty()) {
    block_ = std::move(spare_.back());
    spare_.pop_back();
  }
  lock.unlock();
  changed_.notify_all();
}

void Hasher::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    std::string block = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    changed_.notify_all();
    hash(block);
    block.clear();
    lock.lock();
    spare_.push_back(std::move(block));
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

std::string Hasher::hex() {
  end_thread();
  hash(block_);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_DigestFinal_ex(context_.get(), digest.data(), &size);
  return api::hex(std::span(digest).first(size));
}

}  // namespace minerva::pull
