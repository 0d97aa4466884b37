#include "pull/fetch.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <utility>

#include "api/query.h"
#include "catalog/names.h"
#include "pull/discard.h"
#include "pull/layout.h"
#include "pull/part_file.h"
#include "pull/transfer.h"

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostText = 16 << 20;  // bytes of a list of files
constexpr std::size_t kMostFiles = 20'000;   // in a repository
constexpr int kMostPages = 40;               // of the list of files
constexpr int kMostFailures = 5;             // in a row without a new byte
constexpr auto kFirstPause = std::chrono::seconds(1);
constexpr auto kLongestPause = std::chrono::seconds(30);
constexpr auto kLockPeriod = std::chrono::seconds(1);  // nobody reports when another program's lock is free
constexpr Bytes kDiskReserve = Bytes::mib(64);         // stays free

bool is_file_of(const fs::path& path, Bytes size) {
  std::error_code error;
  return fs::is_regular_file(path, error) && fs::file_size(path, error) == size.count() && !error;
}

// Encodes each part of a path, and leaves the slashes between the parts.
std::string encode_path(std::string_view path) {
  std::string text;
  while (true) {
    const std::size_t end = std::min(path.find('/'), path.size());
    text += api::percent_encode(std::string(path.substr(0, end)));
    if (end == path.size()) return text;
    text += '/';
    path.remove_prefix(end + 1);
  }
}

// A piece is so large that one more request costs nothing, and so small that the hash still finds most of it in the
// page cache.
Bytes piece_size(Bytes size, unsigned parallel) {
  constexpr std::uint64_t kPieces = 32;
  return parallel < 2 ? Bytes() : std::clamp(Bytes(size.count() / kPieces), Bytes::mib(16), Bytes::mib(256));
}

bool begins_as_gguf(const fs::path& file) {
  std::string magic(4, '\0');
  std::ifstream(file, std::ios::binary).read(magic.data(), 4);
  return magic == "GGUF";
}

}  // namespace

Fetch::Fetch(FetchSettings settings, const Stop& stop, Report report, IsRecorded is_recorded)
    : settings_(std::move(settings)), stop_(stop), report_(std::move(report)), is_recorded_(std::move(is_recorded)) {}

Fetch::~Fetch() = default;

// ---- the hub, and how it is asked ----

Result<void> Fetch::connect() {
  auto hub = hub_settings_from_environment();
  if (!hub) return fail(hub.error());
  hub_ = *std::move(hub);
  if (hub_.offline) {
    return fail(
        ErrorCode::kConflict,
        "HF_HUB_OFFLINE is set in the server's environment, so nothing is fetched. Unset it and start the server "
        "again.");
  }
  const HostRules rules(hub_.endpoint, settings_.hosts);
  if (const auto allowed = rules.check(hub_.endpoint); !allowed) return fail(allowed.error());
  transfer_ = make_transfer(stop_, settings_.max_rate);
  return {};
}

std::unique_ptr<Transfer> Fetch::make_transfer(const Stop& stop, Bytes max_rate) const {
  return std::make_unique<Transfer>(
      HostRules(hub_.endpoint, settings_.hosts),
      TransferOptions{hub_.token, hub_.authorities, settings_.agent, max_rate, settings_.stall_timeout}, stop);
}

Url Fetch::hub_url(const std::string& path) const {
  Url url = hub_.endpoint;
  url.path += path;
  return url;
}

std::string Fetch::page_of(const std::string& repo) const {
  Url url = hub_url("/" + repo);
  std::string text = url.text();
  // The hub's address for a person's browser, which needs no port.
  if (const std::size_t at = text.find(":443/"); at != std::string::npos) text.erase(at, 4);
  return text;
}

Error Fetch::refused(const Answer& answer, const std::string& repo) const {
  return refusal(answer.status, answer.fields, repo, page_of(repo), transfer_->has_token());
}

template <typename T>
Result<T> Fetch::with_retries(const std::function<Result<T>()>& step) {
  int failures = 0;
  std::uint64_t before = progress_.received;
  while (true) {
    if (stop_.is_set()) return fail(ErrorCode::kCancelled, "cancelled");
    Result<T> result = step();
    if (result || result.error().code != ErrorCode::kUnreachable) return result;
    if (progress_.received != before) failures = 0;
    before = progress_.received;
    if (++failures >= kMostFailures) return result;
    std::chrono::seconds pause = std::min<std::chrono::seconds>(kFirstPause * (1 << (failures - 1)), kLongestPause);
    if (result.error().retry_after_s > 0) pause = std::chrono::seconds(result.error().retry_after_s);
    const std::string doing = progress_.doing;
    say(fmt::format("waiting {} s to try again: {}", pause.count(), result.error().message));
    if (stop_.wait_for(pause)) return fail(ErrorCode::kCancelled, "cancelled");
    say(doing);
  }
}

Result<std::string> Fetch::read_text(const Url& url, const Asked& asked, Fields* fields) {
  return with_retries<std::string>([&]() -> Result<std::string> {
    auto answer = transfer_->read(url, kMostText);
    if (!answer) return fail(answer.error());
    if (!answer->first.good()) return fail(refused(answer->first, asked.repo));
    if (fields != nullptr) *fields = std::move(answer->first.fields);
    return std::move(answer->second);
  });
}

Result<std::vector<RemoteFile>> Fetch::read_tree(const Asked& asked, const std::string& commit) {
  std::vector<RemoteFile> files;
  Url url = hub_url(fmt::format("/api/models/{}/tree/{}?recursive=true", asked.repo, commit));
  for (int page = 0; page < kMostPages; ++page) {
    Fields fields;
    const auto text = read_text(url, asked, &fields);
    if (!text) return fail(text.error());
    auto more = parse_tree(*text, kMostFiles - files.size());
    if (!more) return fail(more.error());
    files.insert(files.end(), std::make_move_iterator(more->begin()), std::make_move_iterator(more->end()));
    const auto next = next_page(fields);
    if (!next) return files;
    auto where = pull::follow(url, *next);
    if (!where) return fail(where.error());
    if (!where->same_origin(hub_.endpoint)) return fail(ErrorCode::kForbidden, "the hub's list goes on elsewhere");
    url = *std::move(where);
  }
  return fail(ErrorCode::kIo, fmt::format("the hub's list of {}'s files has no end", asked.repo));
}

Result<Fetch::Repo> Fetch::look_up(Asked asked, const std::string& commit) {
  say(fmt::format("looking up {}", asked.repo));
  const std::string revision = commit.empty() ? asked.revision : commit;
  const auto text = read_text(hub_url(fmt::format("/api/models/{}/revision/{}", asked.repo, revision)), asked, nullptr);
  if (!text) return fail(text.error());
  auto facts = parse_repo_facts(*text);
  if (!facts) return fail(facts.error());
  if (!commit.empty()) facts->commit = commit;
  const auto files = read_tree(asked, facts->commit);
  if (!files) return fail(files.error());
  auto choices = choices_of(asked.repo, *files, settings_.budget, asked.with);
  return Repo{std::move(asked), *std::move(facts), std::move(choices)};
}

// ---- what it is for ----

Result<Listing> Fetch::list(const std::string& name, With with) {
  if (const auto connected = connect(); !connected) return fail(connected.error());
  auto asked = parse_asked(name, hub_.endpoint);
  if (!asked) return fail(asked.error());
  if (asked->repo.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "An address is one file: there is nothing to choose from. Pull it as it is.", "model");
  }
  asked->with = with;
  auto repo = look_up(*std::move(asked), {});
  if (!repo) return fail(repo.error());
  Listing listing{repo->asked.repo, repo->facts.licence, repo->facts.gated, free_disk(settings_.hub_cache), {}, {}, {}};
  const auto chosen = choose(repo->asked, repo->choices, settings_.budget);
  listing.chosen = chosen ? chosen->choice.name : std::string();
  listing.why = chosen ? chosen->why : chosen.error().message;
  listing.choices = std::move(repo->choices);
  return listing;
}

Result<Fetched> Fetch::run(const std::string& name, With with, const Pinned& pinned) {
  if (const auto connected = connect(); !connected) return fail(connected.error());
  auto asked = parse_asked(name, hub_.endpoint);
  if (!asked) return fail(asked.error());
  progress_.made = pinned.made;
  asked->with = with;
  if (asked->repo.empty()) return run_url(*asked);
  return run_repo(*std::move(asked), pinned);
}

Result<Fetched> Fetch::run_repo(Asked asked, const Pinned& pinned) {
  if (!pinned.file.empty()) asked.file = pinned.file;
  const auto repo = look_up(std::move(asked), pinned.commit);
  if (!repo) return fail(repo.error());
  const auto chosen = choose(repo->asked, repo->choices, settings_.budget);
  if (!chosen) return fail(chosen.error());
  const std::vector<RemoteFile>& files = chosen->choice.files;
  const std::string& commit = repo->facts.commit;
  progress_.commit = commit;
  progress_.file = files.front().path;
  progress_.why = chosen->why;
  progress_.licence = repo->facts.licence;
  progress_.size = chosen->choice.size;
  progress_.files.clear();
  for (const RemoteFile& file : files) progress_.files.push_back(file.path);

  const HubLayout layout(settings_.hub_cache, repo->asked.repo);
  Bytes needed;
  for (const RemoteFile& file : files) {
    const std::string& etag = file.proof.hex;
    if (is_file_of(layout.blob(etag), file.size) || is_file_of(layout.snapshot(commit, file.path), file.size)) continue;
    needed += file.size - PartFile::kept(layout.part(etag), file.size);
  }
  if (const auto enough = check_disk(layout.folder(), needed); !enough) return fail(enough.error());
  if (const auto made = layout.make_folders(); !made) return fail(made.error());

  std::vector<std::pair<const RemoteFile*, std::string>> fetched;
  for (const RemoteFile& file : files) {
    if (!is_file_of(layout.snapshot(commit, file.path), file.size)) {
      auto etag = fetch_file(layout, *repo, file);
      if (!etag) return fail(etag.error());
      fetched.emplace_back(&file, *std::move(etag));
    }
    complete_ += file.size;
    progress_.done = complete_;
  }
  for (const auto& [file, etag] : fetched) {
    if (const auto linked = layout.link(commit, file->path, etag); !linked) return fail(linked.error());
  }
  if (const auto set = layout.set_ref(repo->asked.revision, commit); !set) return fail(set.error());
  return Fetched{repo->asked.repo, files.front().path};
}

Result<void> Fetch::check_disk(const fs::path& where, Bytes needed) const {
  const auto free = free_disk(where);
  if (needed == Bytes() || !free || needed + kDiskReserve <= *free) return {};
  return fail(ErrorCode::kIo, fmt::format("{} are needed in {}, and {} are free: make room, or pull a smaller one.",
                                          format_bytes(needed + kDiskReserve), where.string(), format_bytes(*free)));
}

// ---- a file of a repository ----

Result<std::string> Fetch::fetch_file(const HubLayout& layout, const Repo& repo, const RemoteFile& file) {
  say(fmt::format("fetching {}", file.path));
  return with_retries<std::string>([&] { return try_file(layout, repo, file); });
}

Result<std::string> Fetch::try_file(const HubLayout& layout, const Repo& repo, const RemoteFile& file) {
  const std::string& commit = repo.facts.commit;
  if (file.proof.kind != Proof::Kind::kNone && is_file_of(layout.blob(file.proof.hex), file.size)) {
    return file.proof.hex;
  }
  const Url url = hub_url(fmt::format("/{}/resolve/{}/{}", repo.asked.repo, commit, encode_path(file.path)));
  const auto answer = transfer_->head(url, Transfer::Redirects::kWithinOrigin);
  if (!answer) return fail(answer.error());
  if (answer->status >= 400) return fail(refused(*answer, repo.asked.repo));
  const FileFacts facts = read_file_facts(answer->fields);
  if (!facts.commit.empty() && facts.commit != commit) {
    return fail(ErrorCode::kIo, fmt::format("The hub answers for {} with another commit than it was asked for. Pull it "
                                            "again.",
                                            file.path));
  }
  Proof proof = proof_of_etag(facts.etag);
  if (proof.kind == Proof::Kind::kNone) proof = file.proof;
  if (proof.kind == Proof::Kind::kNone) {
    return fail(ErrorCode::kIo, fmt::format("The hub says no hash of {}, so what comes could not be proven: it is not "
                                            "fetched.",
                                            file.path));
  }
  if (proof.hex != file.proof.hex && file.proof.kind != Proof::Kind::kNone) {
    // The content is another one than the list said: what came of the old one is useless.
    PartFile::remove(layout.part(file.proof.hex));
    std::erase(progress_.made, file.proof.hex);
  }
  const Bytes size = facts.size.value_or(file.size);
  std::optional<FileLock> lock;
  for (lock.emplace(layout.lock(proof.hex)); !lock->owned(); lock.emplace(layout.lock(proof.hex))) {
    if (!lock->is_open()) {
      return fail(ErrorCode::kIo,
                  fmt::format("cannot open {}. Check the folder's owner and mode.", layout.lock(proof.hex).string()));
    }
    say(fmt::format("waiting for another program that fetches {}", file.path));
    if (stop_.wait_for(kLockPeriod)) return fail(ErrorCode::kCancelled, "cancelled");
  }
  say(fmt::format("fetching {}", file.path));
  if (is_file_of(layout.blob(proof.hex), size)) return proof.hex;
  note_made(proof.hex);
  auto opened = PartFile::open(layout.part(proof.hex), size, proof, piece_size(size, settings_.parallel));
  if (!opened) return fail(opened.error());
  PartFile& part = **opened;
  const Bytes missing = Bytes(part.size() - part.have());
  if (const auto enough = check_disk(layout.folder(), missing); !enough) return fail(enough.error());
  if (const auto got = receive(part, {url, file.path, repo.asked.repo}); !got) return fail(got.error());
  if (const auto proven = prove(part, file.path); !proven) return fail(proven.error());
  const auto durability = is_recorded_(proof.hex) ? PartFile::Durability::kLater : PartFile::Durability::kFirst;
  if (const auto finished = part.finish(layout.blob(proof.hex), durability); !finished) return fail(finished.error());
  return proof.hex;
}

// ---- a file of another host ----

Result<Fetched> Fetch::run_url(const Asked& asked) {
  const auto url = parse_url(asked.url);
  if (!url) return fail(url.error());
  const std::string path = url->path.substr(0, url->path.find('?'));
  const std::string name = path.substr(path.rfind('/') + 1);
  const fs::path target = settings_.models_dir / name;
  std::error_code error;
  if (fs::exists(target, error)) {
    return fail(ErrorCode::kConflict,
                fmt::format("There is a file {} already: move it away to fetch another one.", target.string()));
  }
  progress_.file = name;
  progress_.why = "It was asked for by its address; nobody says its hash, so only its length can be checked.";
  say(fmt::format("fetching {}", name));
  const auto done = with_retries<bool>([&]() -> Result<bool> {
    const auto tried = try_url(asked, target);
    if (!tried) return fail(tried.error());
    return true;
  });
  if (!done) return fail(done.error());
  return Fetched{{}, name};
}

Result<void> Fetch::try_url(const Asked& asked, const fs::path& target) {
  const std::string name = target.filename().string();
  const auto url = parse_url(asked.url);
  const auto answer = transfer_->head(*url, Transfer::Redirects::kAll);
  if (!answer) return fail(answer.error());
  if (!answer->good()) {
    return fail(
        may_pass(answer->status) ? ErrorCode::kUnreachable : ErrorCode::kIo,
        fmt::format("{} answers {} with status {}. Check the address.", answer->url.host, name, answer->status));
  }
  const FileFacts facts = read_file_facts(answer->fields);
  if (!facts.size) {
    return fail(ErrorCode::kIo, fmt::format("{} does not say how large {} is: it is not fetched.", url->host, name));
  }
  progress_.size = *facts.size;
  const fs::path folder = parts_folder(settings_.models_dir);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fail(ErrorCode::kIo, fmt::format("cannot make {}: {}", folder.string(), error.message()));
  const fs::path path = folder / fmt::format("{}-{}{}", name, short_hash(asked.url + " " + facts.etag), kPartEnding);
  // What came of another content than the present one is useless.
  std::erase(progress_.made, path.filename());
  discard(settings_, asked, std::exchange(progress_.made, {}));
  note_made(path.filename().string());
  auto opened = PartFile::open(path, *facts.size, facts.linked ? proof_of_etag(facts.etag) : Proof{});
  if (!opened) return fail(opened.error());
  PartFile& part = **opened;
  // Without a strong ETag nobody knows whether the file is still the same.
  if (facts.etag.empty() || facts.weak) {
    if (const auto anew = part.begin_anew(); !anew) return fail(anew.error());
  }
  if (const auto enough = check_disk(folder, Bytes(part.size() - part.have())); !enough) return fail(enough.error());
  if (const auto got = receive(part, {*url, name, {}}); !got) return fail(got.error());
  if (const auto proven = prove(part, name); !proven) return fail(proven.error());
  if (!begins_as_gguf(path)) {
    part.discard();
    return fail(ErrorCode::kInvalidModel, fmt::format("What {} sends as {} is no GGUF file.", url->host, name),
                "model");
  }
  return part.finish(target, PartFile::Durability::kFirst);  // nobody could prove it again
}

// ---- reports ----

void Fetch::note_made(const std::string& name) {
  std::vector<std::string>& made = progress_.made;
  if (std::find(made.begin(), made.end(), name) != made.end()) return;
  made.push_back(name);
  report_(progress_);
}

void Fetch::say(std::string doing) {
  progress_.doing = std::move(doing);
  report_(progress_);
}

}  // namespace minerva::pull
