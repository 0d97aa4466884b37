#include "catalog/model_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <system_error>

#include "catalog/names.h"
#include "io/descriptor.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".gguf";

// Five digits, as llama.cpp writes them; 0 for anything else.
unsigned part_number(std::string_view text) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return text.size() == 5 && error == std::errc() && end == text.data() + text.size() ? number : 0;
}

bool is_inside(const fs::path& path, const fs::path& folder) {
  const auto [in_folder, in_path] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return in_folder == folder.end() && in_path != path.end();
}

std::vector<fs::path> canonical_folders(const std::vector<std::string>& folders) {
  std::vector<fs::path> result;
  for (const std::string& folder : folders) {
    std::error_code error;
    fs::path canonical = fs::canonical(folder, error);
    if (!error) result.push_back(std::move(canonical));
  }
  return result;
}

// Does not block: to open a FIFO for reading would wait for a writer.
io::Descriptor open_to_read(const std::string& path) {
  return io::Descriptor(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

// Opens the file first, and asks afterwards where it is: so a symlink that is swapped in between does no harm.
bool is_usable(const std::string& path, const std::vector<fs::path>& folders) {
  const io::Descriptor file = open_to_read(path);
  struct stat status{};
  if (!file || ::fstat(*file, &status) != 0 || !S_ISREG(status.st_mode)) return false;
  std::error_code error;
  const fs::path real = fs::read_symlink(fmt::format("/proc/self/fd/{}", *file), error);
  return !error && std::any_of(folders.begin(), folders.end(),
                               [&real](const fs::path& folder) { return is_inside(real, folder); });
}

std::int64_t modified_ns(const struct stat& status) {
  return std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

}  // namespace

ModelFileName parse_model_file_name(std::string_view name) {
  if (!lower_case(name).ends_with(kExtension)) return {std::string(name)};
  name.remove_suffix(kExtension.size());
  constexpr std::size_t kSuffix = std::string_view("-00001-of-00003").size();
  if (name.size() <= kSuffix) return {std::string(name)};
  const std::string_view suffix = name.substr(name.size() - kSuffix);
  const unsigned part = part_number(suffix.substr(1, 5));
  const unsigned parts = part_number(suffix.substr(10, 5));
  if (suffix[0] != '-' || suffix.substr(6, 4) != "-of-" || part == 0 || part > parts) return {std::string(name)};
  return {std::string(name.substr(0, name.size() - kSuffix)), parts, part};
}

bool is_gguf_file_name(std::string_view name) {
  return name.size() > kExtension.size() && lower_case(name).ends_with(kExtension) && name.front() != '.';
}

Result<std::vector<std::string>> model_parts(const std::string& path) {
  const auto gone = [&path] { return fail(ErrorCode::kModelNotFound, fmt::format("the file {} is gone", path)); };
  const fs::path file(path);
  const std::string file_name = file.filename().string();
  const ModelFileName name = parse_model_file_name(file_name);
  const std::string extension = file.extension().string();  // as it is spelled
  std::error_code error;
  const fs::path canonical = fs::canonical(file, error);
  if (error) return gone();
  if (name.parts == 0) return std::vector<std::string>{canonical.string()};
  const fs::path folder = fs::canonical(file.parent_path(), error);
  if (error) return gone();
  // The parts find each other by their names, so the names stay, even if they are symlinks.
  std::vector<std::string> parts;
  for (unsigned part = 1; part <= name.parts; ++part) {
    const std::string part_name = fmt::format("{}-{:05}-of-{:05}{}", name.stem, part, name.parts, extension);
    if (!fs::is_regular_file(folder / part_name, error)) {
      return fail(ErrorCode::kInvalidModel, fmt::format("the model \"{}\" in {} is incomplete: {} is missing",
                                                        name.stem, folder.string(), part_name));
    }
    parts.push_back((folder / part_name).string());
  }
  return parts;
}

std::string files_identity(const ModelSpec& spec) {
  if (!spec.command.argv.empty()) return {};
  std::string identity;
  const auto add = [&identity](const std::string& file) {
    struct stat status{};
    identity += ::stat(file.c_str(), &status) != 0
                    ? "gone "
                    : fmt::format("{}:{}:{} ", status.st_ino, status.st_size, modified_ns(status));
  };
  add(spec.path);
  if (!spec.mmproj.empty()) add(spec.mmproj);
  for (const std::string& file : spec.more_files) add(file);
  return identity;
}

Result<void> describe_files(ModelSpec& spec) {
  if (!spec.command.argv.empty()) return {};
  // First: if files are replaced meanwhile, this is the old identity, so that the change is noticed.
  std::string identity = files_identity(spec);
  auto files = model_parts(spec.path);
  if (!files) return fail(files.error());
  if (!spec.mmproj.empty()) files->push_back(spec.mmproj);
  Bytes size;
  std::int64_t newest = 0;
  const auto look_at = [&newest](const std::string& file) -> Result<Bytes> {
    struct stat status{};
    if (::stat(file.c_str(), &status) != 0) {
      return fail(ErrorCode::kModelNotFound, fmt::format("the file {} is gone", file));
    }
    newest = std::max(newest, modified_ns(status));
    return Bytes(static_cast<std::uint64_t>(status.st_size));
  };
  for (const std::string& file : *files) {
    const Result<Bytes> its_size = look_at(file);
    if (!its_size) return fail(its_size.error());
    size += *its_size;
  }
  for (const std::string& file : spec.more_files) {
    if (const Result<Bytes> its_size = look_at(file); !its_size) return fail(its_size.error());
  }
  spec.size = size;
  spec.modified_ns = newest;
  spec.identity = std::move(identity);
  return {};
}

Result<std::string> resolve_model_path(std::string_view path, const std::vector<std::string>& folders) {
  const auto refused = [] {
    return fail(ErrorCode::kModelNotFound,
                "there is no such file, or it may not be used: it must be a readable regular file inside a models "
                "folder (symlinks resolved)");
  };
  if (path.empty() || path.size() > 4096 || path.find('\0') != std::string_view::npos) return refused();
  const std::vector<fs::path> inside = canonical_folders(folders);
  std::vector<fs::path> candidates;
  if (fs::path(path).is_absolute()) {
    candidates.emplace_back(path);
  } else {
    for (const fs::path& folder : inside) candidates.push_back(folder / path);
  }
  for (const fs::path& candidate : candidates) {
    if (!is_usable(candidate.string(), inside)) continue;
    const auto parts = model_parts(candidate.string());
    if (!parts) return fail(parts.error());
    const bool all_usable = std::all_of(parts->begin(), parts->end(),
                                        [&inside](const std::string& part) { return is_usable(part, inside); });
    if (all_usable) return parts->front();
  }
  return refused();
}

std::string file_identity(const std::string& path) {
  ModelSpec alone;
  alone.path = path;
  return files_identity(alone);
}

std::string projector_of(const std::string& path) {
  const std::string stem = parse_model_file_name(fs::path(path).filename().string()).stem;
  std::vector<std::string> models = {stem};
  std::map<std::string, std::string> projectors;  // by stem
  std::error_code error;
  for (fs::directory_iterator it(fs::path(path).parent_path(), error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!is_gguf_file_name(name)) continue;
    const std::string other = parse_model_file_name(name).stem;
    const FileKind kind = kind_by_name(other);
    if (kind == FileKind::kProjector) projectors.emplace(other, it->path().string());
    if (kind == FileKind::kModel && other != stem) models.push_back(other);
  }
  for (const auto& [name, file] : projectors) {
    const std::vector<std::size_t> owners = owners_of(name, models);
    if (owners.empty() || owners.front() != 0) continue;
    const fs::path canonical = fs::canonical(file, error);
    if (!error) return canonical.string();
  }
  return {};
}

}  // namespace minerva
