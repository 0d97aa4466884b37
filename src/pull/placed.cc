#include "pull/placed.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>

#include "base/log.h"
#include "io/descriptor.h"
#include "pull/hub_answers.h"
#include "pull/layout.h"
#include "pull/part_file.h"

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

constexpr off_t kSlice = 64 << 20;  // bytes: a sync cannot be interrupted, and a server that ends waits for one slice

HubLayout layout_of(const FetchSettings& settings, const Asked& asked) { return {settings.hub_cache, asked.repo}; }

bool is_regular(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(fs::symlink_status(path, error));
}

bool sync_refused(const fs::path& path) {
  log::warn("cannot sync {}: {}. Check the disk.", path.string(), std::strerror(errno));
  return false;
}

// Syncs a file or a folder that exists. false: see Outcome::kUnknown.
bool sync(const fs::path& path, const Stop& stop) {
  const io::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status{};
  if (!file) return errno == ENOENT || sync_refused(path);
  if (::fstat(*file, &status) != 0) return sync_refused(path);
  for (off_t at = 0; S_ISREG(status.st_mode) && at < status.st_size; at += kSlice) {
    if (stop.is_set()) return false;
    // On a file system without this call everything is left to fsync().
    ::sync_file_range(*file, at, kSlice,
                      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  }
  return !stop.is_set() && (::fsync(*file) == 0 || errno == EINVAL || sync_refused(path));
}

// Puts a blob back in its place, or removes it. Needs no lock of the hub's: nobody else knows the unproven name, and a
// blob that is in its place stays.
Outcome prove_blob(const HubLayout& layout, const std::string& etag, const Stop& stop) {
  const fs::path unproven = layout.unproven(etag);
  // Another program may have fetched it since.
  if (!is_regular(unproven)) return is_regular(layout.blob(etag)) ? Outcome::kDone : Outcome::kWrong;
  std::error_code error;
  const Bytes size(fs::file_size(unproven, error));
  if (error) return Outcome::kWrong;
  const auto opened = PartFile::open(unproven, size, proof_of_etag(etag));
  if (!opened) {
    log::warn("{}", opened.error().message);
    return Outcome::kWrong;
  }
  const Result<bool> proven = (*opened)->proven(stop);
  if (!proven && proven.error().code == ErrorCode::kCancelled) return Outcome::kUnknown;
  if (!proven) log::warn("{}: {}", unproven.string(), proven.error().message);
  if (proven && *proven && (*opened)->finish(layout.blob(etag), PartFile::Durability::kLater)) return Outcome::kDone;
  (*opened)->discard();
  return Outcome::kWrong;
}

bool names_commit(const fs::path& ref) {
  std::string text;
  std::getline(std::ifstream(ref), text);
  return is_commit(text);
}

}  // namespace

Outcome sync_placed(const FetchSettings& settings, const Placed& placed, const Stop& stop) {
  const HubLayout layout = layout_of(settings, placed.asked);
  std::set<fs::path, std::greater<>> folders;  // inner folders before outer ones
  const auto sync_file = [&](const fs::path& path) {
    for (fs::path folder = path.parent_path(); folder.has_relative_path(); folder = folder.parent_path()) {
      folders.insert(folder);
      if (folder == layout.folder().parent_path()) break;
    }
    return sync(path, stop);
  };
  for (const std::string& file : placed.files) {
    const fs::path link = layout.snapshot(placed.commit, file);
    std::error_code error;
    const fs::path blob = fs::read_symlink(link, error);
    if (error) continue;
    if (!sync_file((link.parent_path() / blob).lexically_normal()) || !sync_file(link)) return Outcome::kUnknown;
  }
  if (!is_commit(placed.asked.revision) && !sync_file(layout.ref(placed.asked.revision))) return Outcome::kUnknown;
  const bool synced =
      std::all_of(folders.begin(), folders.end(), [&](const fs::path& folder) { return sync(folder, stop); });
  return synced ? Outcome::kDone : Outcome::kUnknown;
}

void withdraw(const FetchSettings& settings, const Asked& asked, const std::vector<std::string>& etags) {
  const HubLayout layout = layout_of(settings, asked);
  for (const std::string& etag : etags) {
    if (proof_of_etag(etag).kind == Proof::Kind::kNone || !is_regular(layout.blob(etag))) continue;
    std::error_code error;
    fs::rename(layout.blob(etag), layout.unproven(etag), error);
    if (error) log::warn("cannot prove {} again: {}", layout.blob(etag).string(), error.message());
  }
}

Outcome prove_again(const FetchSettings& settings, const Placed& placed, const std::vector<std::string>& etags,
                    const Stop& stop) {
  const HubLayout layout = layout_of(settings, placed.asked);
  Outcome outcome = Outcome::kDone;
  for (const std::string& etag : etags) {
    if (proof_of_etag(etag).kind == Proof::Kind::kNone) continue;
    const Outcome one = prove_blob(layout, etag, stop);
    if (one == Outcome::kUnknown) return one;
    if (one == Outcome::kWrong) outcome = one;
  }
  const auto is_there = [&](const std::string& file) {
    std::error_code error;
    return fs::is_regular_file(layout.snapshot(placed.commit, file), error);
  };
  if (!std::all_of(placed.files.begin(), placed.files.end(), is_there)) return Outcome::kWrong;
  const std::string& revision = placed.asked.revision;
  if (placed.files.empty() || is_commit(revision) || names_commit(layout.ref(revision))) return outcome;
  return layout.set_ref(revision, placed.commit) ? outcome : Outcome::kWrong;
}

}  // namespace minerva::pull
