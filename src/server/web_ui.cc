#include "server/web_ui.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include "api/digest.h"
#include "io/beside.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBelow = "/chat/";
constexpr std::string_view kPage = "index.html";
constexpr std::size_t kMostFiles = 2000;
constexpr std::uintmax_t kLargestFile = std::uintmax_t{32} << 20;
// SvelteKit puts a hash of the content into the names of these files.
constexpr std::string_view kImmutable = "/_app/immutable/";

struct FileType {
  std::string_view extension;
  std::string_view type;
};
constexpr std::array kTypes = {
    FileType{".html", "text/html; charset=utf-8"},
    FileType{".css", "text/css; charset=utf-8"},
    FileType{".js", "text/javascript; charset=utf-8"},
    FileType{".mjs", "text/javascript; charset=utf-8"},
    FileType{".json", "application/json"},
    FileType{".webmanifest", "application/manifest+json"},
    FileType{".svg", "image/svg+xml"},
    FileType{".png", "image/png"},
    FileType{".jpg", "image/jpeg"},
    FileType{".ico", "image/x-icon"},
    FileType{".webp", "image/webp"},
    FileType{".wasm", "application/wasm"},
    FileType{".woff", "font/woff"},
    FileType{".woff2", "font/woff2"},
    FileType{".ttf", "font/ttf"},
    FileType{".txt", "text/plain; charset=utf-8"},
};

// 'sha256-...' of one script, in the form of a policy.
std::string script_source(std::string_view script) {
  const api::Sha256 hash = api::sha256(script);
  std::array<unsigned char, 4 * ((std::tuple_size_v<api::Sha256> + 2) / 3) + 1> text{};
  const int length = EVP_EncodeBlock(text.data(), hash.data(), static_cast<int>(hash.size()));
  return fmt::format("'sha256-{}'", std::string(text.begin(), text.begin() + length));
}

std::string etag_of(std::string_view content) {
  constexpr std::size_t kDigits = 32;
  return fmt::format("\"{}\"", api::hex(api::sha256(content)).substr(0, kDigits));
}

std::optional<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  if (file) content << file.rdbuf();
  if (!file) return std::nullopt;
  return std::move(content).str();
}

std::map<std::string, std::string> find_files(const std::string& folder) {
  std::map<std::string, std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator() && files.size() < kMostFiles; entry.increment(error)) {
    std::error_code gone;
    // Skips links: they may lead out of the folder.
    if (entry->symlink_status(gone).type() != fs::file_type::regular) continue;
    if (entry->file_size(gone) > kLargestFile) continue;
    files.emplace(std::string(kBelow) + entry->path().lexically_relative(folder).generic_string(),
                  entry->path().string());
  }
  return files;
}

}  // namespace

WebUi::WebUi(const std::string& folder) {
  std::error_code error;
  // The folder itself may be a link: `make ui` makes one.
  const fs::path real = folder.empty() ? fs::path() : fs::canonical(folder, error);
  if (error || real.empty()) return;
  files_ = find_files(real.string());
  const auto page = files_.find(std::string(kBelow) + std::string(kPage));
  if (page == files_.end()) {
    files_.clear();
    return;
  }
  files_[std::string(kBelow)] = page->second;
}

bool WebUi::has(std::string_view path) const { return path == kBelow || files_.contains(std::string(path)); }

io::Task<void> WebUi::answer(io::Loop& loop, Exchange& x, std::string path) const {
  const auto file = files_.find(path);
  if (file == files_.end()) {
    co_return co_await x.error({ErrorCode::kRouteNotFound,
                                "The web UI is not built here. `make ui` builds it; then start minerva again, or say "
                                "with --ui-dir where it is."});
  }
  std::string etag;
  const auto content = co_await io::beside<std::optional<std::string>>(loop, io::Lane::kAwaited, [&] {
    auto read = read_file(file->second);
    if (read) etag = etag_of(*read);
    return read;
  });
  if (!content) {
    co_return co_await x.error(
        {ErrorCode::kRouteNotFound, "This file of the web UI is gone. `make ui` builds it again."});
  }
  io::ResponseHead head;
  head.headers.add("ETag", etag);
  const bool immutable = path.find(kImmutable) != std::string::npos;
  head.headers.add("Cache-Control", immutable ? "private, max-age=31536000, immutable" : "no-cache");
  head.headers.add("x-request-id", x.request_id);
  const std::string* const seen = x.request.headers.find("if-none-match");
  if (seen != nullptr && (*seen == etag || *seen == "W/" + etag)) {
    head.status = x.status = 304;
    co_await x.connection.respond(std::move(head), "");
    co_return;
  }
  const std::string_view type = content_type_of(file->second);
  head.headers.add("Content-Type", std::string(type));
  head.headers.add("X-Content-Type-Options", "nosniff");
  head.headers.add("Referrer-Policy", "no-referrer");
  if (type.starts_with("text/html")) head.headers.add("Content-Security-Policy", content_security_policy(*content));
  head.status = x.status = 200;
  co_await x.connection.respond(std::move(head), *content);
}

std::string content_security_policy(std::string_view html) {
  std::string scripts;
  constexpr std::string_view kOpen = "<script";
  constexpr std::string_view kClose = "</script>";
  for (std::size_t at = html.find(kOpen); at != std::string_view::npos; at = html.find(kOpen, at)) {
    const std::size_t tag_end = html.find('>', at);
    const std::size_t end = html.find(kClose, at);
    if (tag_end == std::string_view::npos || end == std::string_view::npos || end < tag_end) break;
    const std::string_view tag = html.substr(at, tag_end - at);
    if (tag.find(" src") == std::string_view::npos) {
      scripts += " " + script_source(html.substr(tag_end + 1, end - tag_end - 1));
    }
    at = end + kClose.size();
  }
  return fmt::format(
      "default-src 'self'; script-src 'self'{}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
      "media-src 'self' data: blob:; font-src 'self' data:; worker-src blob:; object-src 'none'; base-uri 'self'; "
      "form-action 'self'; frame-ancestors 'self'",
      scripts);
}

std::string_view content_type_of(std::string_view file) {
  for (const FileType& type : kTypes) {
    if (file.ends_with(type.extension)) return type.type;
  }
  return "application/octet-stream";
}

}  // namespace minerva
