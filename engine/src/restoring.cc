#include <algorithm>
#include <cerrno>
#include <list>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "conversation_store.h"
#include "keeper.h"
#include "large_blocks.h"
#include "lifeline.h"
#include "sequence_state.h"

namespace minerva::engine {
namespace {

using std::chrono::steady_clock;

constexpr std::uint32_t kFewestRestored = 32;  // tokens more than the engine has itself
// How long a long prompt waits until files are listed, for each of its tokens: no longer than it takes to read them.
constexpr std::chrono::microseconds kListingPatience(1000);
// How long a restore waits for a batch to end. Its request would wait for that anyway.
constexpr std::chrono::milliseconds kRestorePatience(60'000);

struct Plan {
    std::vector<SegmentReader> readers;  // from the root on
    std::uint32_t tokens = 0;            // that are restored
    std::uint32_t useful = 0;            // of which the prompt has so many
    std::uint64_t bytes = 0;
};

bool same_strips(const std::vector<Strip> & a, const std::vector<Strip> & b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Strip & x, const Strip & y) {
        return x.kind == y.kind && x.width == y.width && x.lines == y.lines;
    });
}

// Opens the files. What cannot be opened, and what comes after it, is left out.
Plan open_files(const std::string & tenant, SegmentTree::Match match, const KeptMemory & memory) {
    const bool whole = memory.parts() == 0;
    if (!whole) {
        end_where_it_can_go_on(match);
    }
    Plan plan;
    while (plan.readers.size() < match.path.size()) {
        const SegmentTree::Segment & segment = match.path[plan.readers.size()];
        std::string why;
        const std::string path = tenant + "/" + to_text(segment.name);
        std::optional<SegmentReader> reader = SegmentReader::open(store->folder, path.c_str(), why);
        const bool same = reader && reader->header().name.id == segment.name.id && reader->header().shape == shape() &&
                          (plan.readers.empty() || segment.tokens.empty() ||
                           (reader->header().cell_bytes == plan.readers.front().header().cell_bytes &&
                            same_strips(reader->header().strips, plan.readers.front().header().strips)));
        if (same) {
            plan.readers.push_back(std::move(*reader));
            continue;
        }
        if (!reader && errno == ENOENT) {
            forget_missing(tenant, segment);
        } else if (reader || errno == EBADMSG) {
            remove_unusable(tenant, segment.name, reader ? "another engine wrote it" : why);
        }
        match.tokens = segment.name.from;
        match.path.resize(plan.readers.size());
        if (!whole) {
            end_where_it_can_go_on(match);
            plan.readers.erase(plan.readers.begin() + static_cast<std::ptrdiff_t>(match.path.size()),
                               plan.readers.end());
        }
    }
    for (const SegmentReader & reader : plan.readers) {
        plan.bytes += reader.file_bytes();
    }
    plan.useful = match.tokens;
    plan.tokens = whole || match.path.empty() ? match.tokens : match.path.back().name.to;
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
    // How long reading the restored tokens would have taken; 0: not known.
    double reading_microseconds() const { return reading_; }

  private:
    std::uint32_t end_of(std::size_t reader) const {
        return reader + 1 < plan_.readers.size() ? plan_.readers[reader + 1].header().name.from : plan_.tokens;
    }
    bool copy_rows_of(std::size_t reader);
    // The bytes of a blob. Nothing: the file cannot be read, or has changed.
    std::optional<std::string> read_blob(const SegmentReader & reader, std::size_t blob);
    bool read_checkpoints(std::list<common_prompt_checkpoint> & checkpoints);
    // Of a file that was opened. `error`: why its bytes could not be had.
    void could_not_read(const SegmentReader & reader, int error) {
        if (error == EBADMSG) {
            remove_unusable(tenant_, reader.header().name, "it was changed");
        }
    }

    std::string tenant_;
    Plan plan_;
    const KeptMemory & memory_;
    std::vector<llama_token> tokens_;
    double reading_ = 0;
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
    reading_ = microseconds_per_token() * static_cast<double>(plan_.useful - std::min<std::size_t>(best, plan_.useful));
    const double restoring = static_cast<double>(plan_.bytes) / store->bytes_per_microsecond;
    if (plan_.useful < best + kFewestRestored || !would_be_chosen(prompt, plan_.useful) ||
        (reading_ > 0 && restoring >= reading_)) {
        return false;
    }
    {
        const BlocksForThisThread blocks;  // what was in the slot goes to the host prompt cache
        claim_ = claim_slot(prompt.slot, std::max(prompt.tokens.size(), tokens_.size()),
                            [](const RestingSlot & slot) { return known(slot.tenant, slot.tokens).all; });
    }
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
            could_not_read(reader, errno);
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
        could_not_read(reader, read ? EBADMSG : errno);
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
        for (std::size_t i = plan_.readers.size(); i-- > 0;) {
            const std::vector<Blob> & blobs = plan_.readers[i].header().blobs;
            // As in has_checkpoint().
            const auto blob = std::find_if(blobs.begin(), blobs.end(), [&want, end = end_of(i)](const Blob & b) {
                return b.part == kCheckpoint && b.tokens == want.tokens && b.elsewhere == 0 && b.tokens <= end;
            });
            if (blob == blobs.end()) {
                continue;
            }
            const auto bytes = read_blob(plan_.readers[i], static_cast<std::size_t>(blob - blobs.begin()));
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
            could_not_read(leaf, EBADMSG);
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

std::uint32_t restore_conversation(const std::string & tenant, const Prompt & prompt) {
    const auto begin = steady_clock::now();
    const std::optional<KeptMemory> memory = kept_memory(slots_context());
    const auto patience =
        std::chrono::duration_cast<std::chrono::milliseconds>(kListingPatience * prompt.tokens.size());
    if (!memory || !store->is_listed(std::max(patience, std::chrono::milliseconds(500)))) {
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
                   {protocol::kMicroseconds, static_cast<std::uint64_t>(took)},
                   {protocol::kInsteadOfMicroseconds, static_cast<std::uint64_t>(restoring.reading_microseconds())}}}});
    return done.useful;
}

}  // namespace minerva::engine
