#include "keeper.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <future>
#include <list>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "build-info.h"
#include "large_blocks.h"
#include "lifeline.h"
#include "main_loop.h"
#include "segment_file.h"
#include "segment_tree.h"
#include "sequence_state.h"

namespace minerva::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kPiece = 8 * kChunk;
constexpr std::uint64_t kMostSegment = std::uint64_t{32} << 20;
// Tokens of a conversation that may go on soon; fewer are read again as quickly.
constexpr std::uint32_t kFewestSaved = 16;
constexpr std::uint32_t kFewestRestored = 32;  // tokens more than the engine has itself
// How long a save waits for a batch to end, and a restore, whose request would wait for it anyway.
constexpr milliseconds kSavePatience(2000);
constexpr milliseconds kRestorePatience(60'000);

// The main loop, held between two batches as long as this exists, if it could be.
class Held {
  public:
    explicit Held(milliseconds patience) : held_(hold_between_batches(patience)) {}
    Held(const Held &) = delete;
    Held & operator=(const Held &) = delete;
    ~Held() {
        if (held_) {
            release_main_loop();
        }
    }
    explicit operator bool() const { return held_; }

  private:
    bool held_;
};

struct Store {
    int folder = -1;
    SegmentTree tree;
    std::shared_future<void> listed;
    // of files, by the latest restores
    std::atomic<double> bytes_per_microsecond{500};
};
// Set once, and never destroyed.
Store * store = nullptr;

// What an engine must have in common with the one that wrote a file. The folder says more, but the daemon chose it.
std::uint64_t shape() {
    static const std::uint64_t result = [] {
        const llama_model * const model = llama_get_model(slots_context());
        char text[512];
        llama_model_desc(model, text, sizeof text);
        const std::string all = std::string(llama_build_info()) + " " + text + " " +
                                std::to_string(llama_model_size(model)) + " " +
                                std::to_string(llama_model_n_params(model));
        return static_cast<std::uint64_t>(XXH3_64bits(all.data(), all.size()));
    }();
    return result;
}

void remove_unusable(const std::string & tenant, const protocol::SegmentName & name, const std::string & why) {
    store->tree.remove(tenant, name.id);
    tell_daemon({{protocol::kUnusable,
                  {{protocol::kTenant, tenant}, {protocol::kName, to_text(name)}, {protocol::kWhy, why}}}});
}

// Calls `visit(name)` for what the folder has. Returns its descriptor, -1 if there is none.
template <typename Visit>
void list(int folder, const char * name, const Visit & visit) {
    const int file = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR * const entries = file < 0 ? nullptr : fdopendir(file);
    if (entries == nullptr) {
        if (file >= 0) {
            close(file);
        }
        return;
    }
    while (const dirent * const entry = readdir(entries)) {
        visit(dirfd(entries), entry->d_name);
    }
    closedir(entries);
}

void list_files() {
    list(store->folder, ".", [](int folder, const char * tenant) {
        if (!protocol::is_tenant(tenant)) {
            return;
        }
        list(folder, tenant, [tenant](int files, const char * text) {
            const std::optional<protocol::SegmentName> name = protocol::parse_segment_name(text);
            if (!name) {
                return;
            }
            std::string why;
            const std::optional<SegmentReader> reader = SegmentReader::open(files, text, why);
            if (reader && to_text(reader->header().name) == text) {
                store->tree.add(tenant, summary(reader->header(), reader->file_bytes()));
            } else {
                remove_unusable(tenant, *name, reader ? "it has another name" : why);
            }
        });
    });
}

// ---- saving ----

// How much of a resting conversation files have.
struct Known {
    SegmentTree::Match match;
    bool all = false;
};
Known known(const std::string & tenant, const std::vector<llama_token> & tokens) {
    Known result = {store->tree.find(tenant, tokens), false};
    const std::vector<SegmentTree::Segment> & path = result.match.path;
    result.all = result.match.tokens == tokens.size() && !path.empty() && path.back().complete &&
                 path.back().name.to == tokens.size();
    return result;
}

struct Work {
    RestingSlot slot;
    std::vector<SegmentTree::Segment> path;
    SegmentHeader header;
    std::optional<Rows> rows;
    std::string blobs;
};

bool on_path(const std::vector<SegmentTree::Segment> & path, std::uint32_t tokens) {
    return std::any_of(path.begin(), path.end(), [tokens](const SegmentTree::Segment & segment) {
        return std::binary_search(segment.checkpoints.begin(), segment.checkpoints.end(), tokens);
    });
}

// The state that is not kept by token, newest checkpoints first, as far as there is room.
void add_blobs(const KeptMemory & memory, Work & work) {
    SegmentHeader & header = work.header;
    for (std::size_t part = 0; part < memory.parts(); ++part) {
        const std::string bytes = read_part(memory, part, work.slot.id);
        header.blobs.push_back({static_cast<std::uint32_t>(part), header.name.to, 0, 0, bytes.size(), 0});
        work.blobs += bytes;
    }
    if (memory.parts() == 0) {
        return;
    }
    for (auto it = work.slot.checkpoints->rbegin(); it != work.slot.checkpoints->rend(); ++it) {
        const auto tokens = static_cast<std::uint32_t>(it->n_tokens);
        if (it->data_tgt.empty() || !it->data_dft.empty() || !it->data_spec.empty() || tokens > header.name.to) {
            continue;
        }
        const bool elsewhere = tokens <= header.name.from && on_path(work.path, tokens);
        if (!elsewhere && work.blobs.size() + it->data_tgt.size() > kMostSegment) {
            continue;
        }
        header.blobs.push_back({kCheckpoint, tokens, it->pos_min, it->pos_max, elsewhere ? 0 : it->data_tgt.size(),
                                elsewhere ? std::uint64_t{1} : 0});
        if (!elsewhere) {
            work.blobs.append(reinterpret_cast<const char *>(it->data_tgt.data()), it->data_tgt.size());
        }
    }
}

// Looks for something to save. Requires: the main loop is held.
std::optional<Work> find_work(milliseconds rest, const KeptMemory & memory, SaveReport & report) {
    std::optional<Work> best;
    std::size_t most = 0;
    for (RestingSlot & slot : resting_slots(rest)) {
        Known found = known(slot.tenant, slot.tokens);
        const std::size_t unsaved = slot.tokens.size() - found.match.tokens;
        // Without tokens of its own a segment is worth something only for what is not kept by token.
        const std::size_t worth = unsaved == 0 && !found.all && memory.parts() != 0 ? kFewestSaved : unsaved;
        if (worth < (rest.count() == 0 ? 1 : kFewestSaved)) {
            continue;
        }
        report.more = best.has_value();
        if (worth > most) {
            most = worth;
            best = Work{std::move(slot), std::move(found.match.path), {}, std::nullopt, {}};
            best->header.name.from = found.match.tokens;
        }
    }
    return best;
}

// False: this memory is not kept.
bool describe(const KeptMemory & memory, Work & work, SaveReport & report) {
    SegmentHeader & header = work.header;
    protocol::SegmentName & name = header.name;
    const auto count = static_cast<std::uint32_t>(work.slot.tokens.size());
    name.to = count;
    if (!memory.rows.empty()) {
        work.rows = Rows::find(memory.rows, work.slot.id, count);
        if (!work.rows) {
            return false;
        }
        std::uint64_t bytes = work.rows->cell_bytes() + sizeof(std::int32_t);
        for (const Strip & strip : work.rows->strips()) {
            bytes += strip.width * strip.lines;
        }
        const std::uint64_t most = std::max<std::uint64_t>(kMostSegment / bytes, kFewestSaved);
        if (count - name.from > most) {
            name.to = name.from + static_cast<std::uint32_t>(most);
            report.more = true;
        }
        header.cell_bytes = work.rows->cell_bytes();
        header.cells = work.rows->cells(name.from, name.to);
        header.strips = work.rows->strips();
    }
    while (!work.path.empty() && work.path.back().tokens.empty()) {
        work.path.pop_back();
    }
    name.parent = work.path.empty() ? protocol::SegmentId{} : work.path.back().name.id;
    header.shape = shape();
    header.complete = name.to == count ? 1 : 0;
    header.tokens.assign(work.slot.tokens.begin() + name.from, work.slot.tokens.begin() + name.to);
    if (header.complete == 1) {
        add_blobs(memory, work);
    }
    name.id = segment_id(name, header.complete == 1, header.tokens);
    return true;
}

// False: the slot has something else now, or something else is to be done; or errno says why the file is not written.
bool write(const Work & work, SegmentWriter & writer, const std::function<bool()> & interrupted, SaveReport & report) {
    const protocol::SegmentName & name = work.header.name;
    const std::uint64_t strips = work.header.strip_bytes();
    const std::uint64_t total = work.header.payload_bytes();
    std::vector<char> piece(std::min<std::uint64_t>(kPiece, total));
    for (std::uint64_t at = 0; at < total; at += piece.size()) {
        const std::size_t bytes = std::min<std::uint64_t>(piece.size(), total - at);
        std::size_t rows = 0;
        if (at < strips) {
            if (interrupted()) {
                return false;
            }
            const Held held(kSavePatience);
            if (!held || !slot_has(work.slot.id, work.slot.tenant, work.slot.tokens, name.to)) {
                return false;
            }
            rows = std::min<std::uint64_t>(bytes, strips - at);
            work.rows->read(name.from, name.to, at, piece.data(), rows);
        }
        std::memcpy(piece.data() + rows, work.blobs.data() + (at + rows - strips), bytes - rows);
        if (!writer.append(piece.data(), bytes)) {
            report.refused = std::strerror(errno);
            return false;
        }
    }
    if (!writer.finish()) {
        report.refused = std::strerror(errno);
        return false;
    }
    return true;
}

// ---- restoring ----

struct Plan {
    std::vector<SegmentReader> readers;  // from the root on
    std::uint32_t tokens = 0;            // that are restored
    std::uint32_t useful = 0;            // of which the prompt has so many
    std::uint64_t bytes = 0;
};

// After how many of the prompt's tokens it can go on.
std::uint32_t useful_tokens(const SegmentTree::Match & match, const KeptMemory & memory) {
    if (memory.parts() == 0 || match.path.empty()) {
        return match.tokens;
    }
    const SegmentTree::Segment & leaf = match.path.back();
    if (!leaf.complete) {
        return 0;
    }
    if (match.tokens == leaf.name.to) {
        return match.tokens;
    }
    const auto after = std::upper_bound(leaf.checkpoints.begin(), leaf.checkpoints.end(), match.tokens);
    return after == leaf.checkpoints.begin() ? 0 : *std::prev(after);
}

bool same_strips(const std::vector<Strip> & a, const std::vector<Strip> & b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Strip & x, const Strip & y) {
        return x.kind == y.kind && x.width == y.width && x.lines == y.lines;
    });
}

// Opens the files. What cannot be opened, and what comes after it, is left out.
Plan open_files(const std::string & tenant, const SegmentTree::Match & match, const KeptMemory & memory) {
    Plan plan;
    plan.useful = useful_tokens(match, memory);
    plan.tokens = memory.parts() == 0 ? plan.useful : match.path.empty() ? 0 : match.path.back().name.to;
    for (const SegmentTree::Segment & segment : match.path) {
        std::string why;
        const std::string path = tenant + "/" + to_text(segment.name);
        std::optional<SegmentReader> reader = SegmentReader::open(store->folder, path.c_str(), why);
        const bool same = reader && reader->header().name.id == segment.name.id && reader->header().shape == shape() &&
                          (plan.readers.empty() || segment.tokens.empty() ||
                           (reader->header().cell_bytes == plan.readers.front().header().cell_bytes &&
                            same_strips(reader->header().strips, plan.readers.front().header().strips)));
        if (!same) {
            if (errno == ENOENT && !reader) {
                store->tree.remove(tenant, segment.name.id);
            } else {
                remove_unusable(tenant, segment.name, reader ? "another engine wrote it" : why);
            }
            plan.useful = memory.parts() == 0 ? std::min(plan.useful, segment.name.from) : 0;
            plan.tokens = plan.useful;
            break;
        }
        plan.bytes += reader->file_bytes();
        plan.readers.push_back(std::move(*reader));
    }
    return plan;
}

class Restoring {
  public:
    Restoring(std::string tenant, Plan plan, const KeptMemory & memory)
        : tenant_(std::move(tenant)), plan_(std::move(plan)), memory_(memory) {}

    bool begin(const Prompt & prompt);
    bool copy_rows();
    bool finish();
    void give_up() {
        const Held held(kRestorePatience);
        if (held && claim_) {
            minerva::engine::give_up(*claim_);
        }
    }
    const Plan & plan() const { return plan_; }

  private:
    std::uint32_t end_of(std::size_t reader) const {
        return reader + 1 < plan_.readers.size() ? plan_.readers[reader + 1].header().name.from : plan_.tokens;
    }
    bool copy_rows_of(std::size_t reader);
    // The bytes of a blob. Nothing: the file has changed.
    std::optional<std::string> read_blob(const SegmentReader & reader, std::size_t blob);
    bool read_checkpoints(std::list<common_prompt_checkpoint> & checkpoints);
    void unusable(const SegmentReader & reader) { remove_unusable(tenant_, reader.header().name, "it was changed"); }

    std::string tenant_;
    Plan plan_;
    const KeptMemory & memory_;
    std::vector<llama_token> tokens_;
    std::optional<SlotClaim> claim_;
    std::optional<Rows> rows_;
};

bool Restoring::begin(const Prompt & prompt) {
    std::string cells;
    for (std::size_t i = 0; i < plan_.readers.size(); ++i) {
        const SegmentHeader & header = plan_.readers[i].header();
        const std::size_t rows = end_of(i) - header.name.from;
        cells.append(header.cells, 0, rows * header.cell_bytes);
        tokens_.insert(tokens_.end(), header.tokens.begin(), header.tokens.begin() + static_cast<std::ptrdiff_t>(rows));
    }
    const Held held(kRestorePatience);
    if (!held || !why_nothing_is_kept().empty()) {
        return false;
    }
    const std::size_t best = best_prefix(tenant_, prompt);
    const double reading =
        microseconds_per_token() * static_cast<double>(plan_.useful - std::min<std::size_t>(best, plan_.useful));
    const double restoring = static_cast<double>(plan_.bytes) / store->bytes_per_microsecond;
    if (plan_.useful < best + kFewestRestored || (reading > 0 && restoring >= reading)) {
        return false;
    }
    claim_ = claim_slot(prompt.slot, std::max(prompt.tokens.size(), tokens_.size()),
                        [](const RestingSlot & slot) { return known(slot.tenant, slot.tokens).all; });
    if (!claim_) {
        return false;
    }
    if (!memory_.rows.empty()) {
        rows_ = Rows::make(memory_.rows, claim_->slot, cells);
        if (!rows_ || !same_strips(rows_->strips(), plan_.readers.front().header().strips)) {
            minerva::engine::give_up(*claim_);
            claim_.reset();
        }
    }
    return claim_.has_value();
}

bool Restoring::copy_rows_of(std::size_t index) {
    const SegmentReader & reader = plan_.readers[index];
    const protocol::SegmentName & name = reader.header().name;
    const std::uint64_t strips = reader.header().strip_bytes();
    std::vector<char> piece(std::min<std::uint64_t>(kPiece, (strips + kChunk - 1) / kChunk * kChunk));
    for (std::uint64_t at = 0; at < strips; at += piece.size()) {
        const std::optional<std::size_t> bytes = reader.read(at / kChunk, piece.data(), piece.size());
        if (!bytes) {
            unusable(reader);
            return false;
        }
        const Held held(kRestorePatience);
        if (!held || !holds(*claim_)) {
            return false;
        }
        rows_->write(name.from, name.to, end_of(index), at, piece.data(), std::min<std::uint64_t>(*bytes, strips - at));
    }
    return true;
}

bool Restoring::copy_rows() {
    for (std::size_t i = 0; rows_ && i < plan_.readers.size(); ++i) {
        if (!copy_rows_of(i)) {
            return false;
        }
    }
    return true;
}

std::optional<std::string> Restoring::read_blob(const SegmentReader & reader, std::size_t blob) {
    std::uint64_t at = reader.header().strip_bytes();
    for (std::size_t i = 0; i < blob; ++i) {
        at += reader.header().blobs[i].bytes;
    }
    const std::uint64_t bytes = reader.header().blobs[blob].bytes;
    const std::uint64_t first = at / kChunk;
    const std::uint64_t last = (at + bytes + kChunk - 1) / kChunk;
    std::string chunks((last - first) * kChunk, '\0');
    const std::optional<std::size_t> read = reader.read(first, chunks.data(), chunks.size());
    if (!read || *read < at - first * kChunk + bytes) {
        unusable(reader);
        return std::nullopt;
    }
    return chunks.substr(at - first * kChunk, bytes);
}

bool Restoring::read_checkpoints(std::list<common_prompt_checkpoint> & checkpoints) {
    const std::vector<Blob> & wanted = plan_.readers.back().header().blobs;
    for (const Blob & want : wanted) {
        if (want.part != kCheckpoint) {
            continue;
        }
        for (auto reader = plan_.readers.rbegin(); reader != plan_.readers.rend(); ++reader) {
            const std::vector<Blob> & blobs = reader->header().blobs;
            const auto blob = std::find_if(blobs.begin(), blobs.end(), [&want](const Blob & b) {
                return b.part == kCheckpoint && b.tokens == want.tokens && b.elsewhere == 0;
            });
            if (blob == blobs.end()) {
                continue;
            }
            const auto bytes = read_blob(*reader, static_cast<std::size_t>(blob - blobs.begin()));
            if (!bytes) {
                return false;
            }
            // The newest one comes first in the file, and last in the list.
            common_prompt_checkpoint & checkpoint = checkpoints.emplace_front();
            checkpoint.update_pos(blob->tokens, blob->pos_min, blob->pos_max);
            const BlocksForThisThread blocks;
            checkpoint.data_tgt.assign(bytes->begin(), bytes->end());
            set_large_block_use(checkpoint.data_tgt.data(), BlockUse::kConversation);
            break;
        }
    }
    return true;
}

bool Restoring::finish() {
    const SegmentReader & leaf = plan_.readers.back();
    std::vector<std::string> parts(memory_.parts());
    std::list<common_prompt_checkpoint> checkpoints;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        if (i >= leaf.header().blobs.size() || leaf.header().blobs[i].part != i) {
            unusable(leaf);
            return false;
        }
        std::optional<std::string> bytes = read_blob(leaf, i);
        if (!bytes) {
            return false;
        }
        parts[i] = std::move(*bytes);
    }
    if (!parts.empty() && !read_checkpoints(checkpoints)) {
        return false;
    }
    const Held held(kRestorePatience);
    if (!held || !holds(*claim_)) {
        return false;
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
        if (!write_part(memory_, i, claim_->slot, parts[i])) {
            return false;
        }
    }
    fill(*claim_, tenant_, tokens_, std::move(checkpoints));
    return true;
}

}  // namespace

void keep_conversations(const std::string & folder) {
    auto * const kept = new Store;
    kept->folder = open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (kept->folder < 0) {
        std::fprintf(stderr, "minerva-engine: W conversations are not kept: %s: %s\n", folder.c_str(),
                     std::strerror(errno));
        delete kept;
        return;
    }
    store = kept;
    std::promise<void> done;
    kept->listed = done.get_future().share();
    std::thread([done = std::move(done)]() mutable {
        list_files();
        done.set_value();
    }).detach();
}

bool keeps_conversations() { return store != nullptr; }

SaveReport save_conversation(int file, milliseconds rest, const std::function<bool()> & interrupted) {
    SaveReport report;
    store->listed.wait();
    if (slots_context() == nullptr) {
        return report;
    }
    std::optional<Work> work;
    {
        const Held held(kSavePatience);
        if (!held) {
            report.more = true;
            return report;
        }
        const std::optional<KeptMemory> memory = kept_memory(slots_context());
        report.why_not = memory ? why_nothing_is_kept() : "its memory is of a kind that is not kept";
        if (!report.why_not.empty()) {
            return report;
        }
        work = find_work(rest, *memory, report);
        if (work && !describe(*memory, *work, report)) {
            report.why_not = "its memory is not as it should be";
            return report;
        }
    }
    if (!work) {
        return report;
    }
    SegmentWriter writer(file, work->header);
    if (!write(*work, writer, interrupted, report)) {
        report.more = report.refused.empty();
        return report;
    }
    store->tree.add(work->slot.tenant, summary(writer.header(), writer.file_bytes()));
    report.tenant = work->slot.tenant;
    report.name = to_text(work->header.name);
    report.bytes = writer.file_bytes();
    return report;
}

std::uint32_t restore_conversation(const std::string & tenant, const Prompt & prompt) {
    const auto begin = steady_clock::now();
    store->listed.wait();
    const std::optional<KeptMemory> memory = kept_memory(slots_context());
    if (!memory) {
        return 0;
    }
    Plan plan = open_files(tenant, store->tree.find(tenant, prompt.tokens), *memory);
    if (plan.useful < kFewestRestored) {
        return 0;
    }
    Restoring restoring(tenant, std::move(plan), *memory);
    if (!restoring.begin(prompt)) {
        return 0;
    }
    if (!restoring.copy_rows() || !restoring.finish()) {
        restoring.give_up();
        return 0;
    }
    const double took = std::chrono::duration<double, std::micro>(steady_clock::now() - begin).count();
    const Plan & done = restoring.plan();
    store->bytes_per_microsecond =
        0.5 * store->bytes_per_microsecond + 0.5 * static_cast<double>(done.bytes) / std::max(took, 1.0);
    tell_daemon({{protocol::kRestored,
                  {{protocol::kTenant, tenant},
                   {protocol::kName, to_text(done.readers.back().header().name)},
                   {protocol::kTokens, done.useful},
                   {protocol::kBytes, done.bytes},
                   {protocol::kMicroseconds, static_cast<std::uint64_t>(took)}}}});
    return done.useful;
}

}  // namespace minerva::engine
