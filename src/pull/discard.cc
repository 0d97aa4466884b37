#include "pull/discard.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/log.h"
#include "pull/hub_answers.h"
#include "pull/layout.h"
#include "pull/part_file.h"

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

void remove_file(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(fs::symlink_status(path, error))) return;
  if (!fs::remove(path, error) && error) {
    log::warn("cannot remove {}: {}. It is no part of a model: remove it yourself.", path.string(), error.message());
  }
}

// Whether a file of any commit is a link to that blob. Also true if that cannot be found out.
bool has_links(const HubLayout& layout, const std::string& etag) {
  const fs::path blob = layout.blob(etag);
  const fs::path snapshots = layout.folder() / "snapshots";
  std::error_code error;
  if (!fs::exists(snapshots, error)) return bool{error};
  fs::recursive_directory_iterator it(snapshots, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    std::error_code ignored;
    if (fs::equivalent(it->path(), blob, ignored)) return true;
  }
  return bool{error};
}

}  // namespace

void discard(const FetchSettings& settings, const Asked& asked, const std::vector<std::string>& made) {
  if (asked.repo.empty()) {
    for (const std::string& name : made) {
      const bool is_part = name.ends_with(kPartEnding) && name.find('/') == std::string::npos;
      if (is_part) remove_file(parts_folder(settings.models_dir) / name);
    }
    return;
  }
  const HubLayout layout(settings.hub_cache, asked.repo);
  for (const std::string& etag : made) {
    if (proof_of_etag(etag).kind == Proof::Kind::kNone) continue;
    const FileLock lock(layout.lock(etag));
    if (!lock.owned()) {
      log::warn("{} stays: another program fetches it now, or its lock cannot be opened", layout.part(etag).string());
      continue;
    }
    PartFile::remove(layout.part(etag));
    remove_file(layout.unproven(etag));
    if (!has_links(layout, etag)) remove_file(layout.blob(etag));
  }
}

}  // namespace minerva::pull
