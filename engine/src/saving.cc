#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "conversation_store.h"
#include "keeper.h"
#include "sequence_state.h"

namespace minerva::engine {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kMostSegment = std::uint64_t{32} << 20;
// Tokens of a conversation that may go on soon; fewer are read again as quickly.
constexpr std::uint32_t kFewestSaved = 16;
// If no more tokens than these were read again since they were saved, they are saved again. Their last bits may differ,
// and so do those of the answers.
constexpr std::size_t kMostSavedAgain = 256;
// A checkpoint is left out if no more tokens than these are read again without it.
constexpr std::uint32_t kMostReadAgain = 256;
// How long a save waits for a batch to end.
constexpr milliseconds kSavePatience(2000);

// When the daemon removed the files of a tenant, or of kEverybody. Of the agent's thread.
std::map<std::string, std::int64_t> & forgotten = *new std::map<std::string, std::int64_t>;

bool is_forgotten(const RestingSlot & slot) {
    for (const std::string & name : {slot.tenant, std::string(protocol::kEverybody)}) {
        const auto found = forgotten.find(name);
        if (found != forgotten.end() && slot.begun <= found->second) {
            return true;
        }
    }
    return false;
}

struct Work {
    RestingSlot slot;
    std::vector<SegmentTree::Segment> path;
    SegmentHeader header;
    std::optional<Rows> rows;
    std::string blobs;
};

// As if files had only so many tokens of it.
void go_back(SegmentTree::Match & match, std::uint32_t tokens) {
    match.tokens = tokens;
    while (!match.path.empty() && match.path.back().name.from >= tokens) {
        match.path.pop_back();
    }
}

// The checkpoints that are worth their bytes, newest first. Each takes as much as the end state, and a turn makes up to
// three of them: one is left out if a conversation that goes on there can go on a few tokens earlier as well.
std::vector<const common_prompt_checkpoint *> checkpoints_worth_it(const Work & work, const Reach & reach) {
    const protocol::SegmentName & name = work.header.name;
    const std::list<common_prompt_checkpoint> & all = *work.slot.checkpoints;
    // llama.cpp goes back to this one even from the end.
    const auto needed = std::find_if(all.rbegin(), all.rend(), [&](const common_prompt_checkpoint & checkpoint) {
        return !reach.covers(reach.begin, name.to) &&
               (checkpoint.pos_min == 0 || reach.covers(checkpoint.pos_min, name.to));
    });
    SegmentTree::Match before = {work.path, name.from};
    end_where_it_can_go_on(before);
    std::uint32_t place = before.tokens;  // the last one so far
    std::vector<const common_prompt_checkpoint *> result;
    for (auto it = all.begin(); it != all.end(); ++it) {
        const auto tokens = static_cast<std::uint32_t>(it->n_tokens);
        if (it->data_tgt.empty() || !it->data_dft.empty() || !it->data_spec.empty() || tokens > name.to) {
            continue;
        }
        // A prompt that has no more than `name.from` tokens of the conversation does not find this segment.
        const bool useful = tokens > name.from && tokens < work.header.goes_back_to && tokens - place > kMostReadAgain;
        if (useful || std::next(it) == needed.base() || has_checkpoint(work.path, name.from, tokens)) {
            result.insert(result.begin(), &*it);
            place = std::max(place, tokens);
        }
    }
    return result;
}

// The state that is not kept by token, newest checkpoints first, as far as there is room.
void add_blobs(const KeptMemory & memory, Work & work) {
    SegmentHeader & header = work.header;
    const Reach back = reach(memory, slots_context(), work.slot.id, header.name.to);
    header.goes_back_to = std::min(back.goes_back_to(), header.name.to);
    for (std::size_t part = 0; part < memory.parts(); ++part) {
        const std::string bytes = read_part(memory, part, work.slot.id);
        header.blobs.push_back({static_cast<std::uint32_t>(part), header.name.to, 0, 0, bytes.size(), 0});
        work.blobs += bytes;
    }
    if (memory.parts() == 0) {
        return;
    }
    std::uint64_t checkpoint_bytes = 0;  // without the parts, which may be larger than that by themselves
    for (const common_prompt_checkpoint * const checkpoint : checkpoints_worth_it(work, back)) {
        const auto tokens = static_cast<std::uint32_t>(checkpoint->n_tokens);
        const std::vector<std::uint8_t> & data = checkpoint->data_tgt;
        const bool elsewhere = has_checkpoint(work.path, header.name.from, tokens);
        if (!elsewhere && checkpoint_bytes + data.size() > kMostSegment) {
            continue;
        }
        header.blobs.push_back({kCheckpoint, tokens, checkpoint->pos_min, checkpoint->pos_max,
                                elsewhere ? 0 : data.size(), elsewhere ? std::uint64_t{1} : 0});
        if (!elsewhere) {
            checkpoint_bytes += data.size();
            work.blobs.append(reinterpret_cast<const char *>(data.data()), data.size());
        }
    }
}

// Looks for something to save among what rests. Asks the disk, so the main loop is not held.
std::optional<Work> find_work(std::vector<RestingSlot> slots, milliseconds rest, bool has_parts, SaveReport & report) {
    std::optional<Work> best;
    std::size_t most = 0;
    for (RestingSlot & slot : slots) {
        if (is_forgotten(slot)) {
            continue;
        }
        Known found = known(slot.tenant, slot.tokens);
        if (slot.unchanged < found.match.tokens && found.match.tokens - slot.unchanged <= kMostSavedAgain &&
            found.match.tokens < slot.tokens.size()) {
            go_back(found.match, static_cast<std::uint32_t>(slot.unchanged));
        }
        const std::size_t unsaved = slot.tokens.size() - found.match.tokens;
        // Without tokens of its own a segment is worth something only for what is not kept by token.
        const std::size_t worth = unsaved == 0 && !found.all && has_parts ? kFewestSaved : unsaved;
        if (worth < (rest.count() == 0 ? 1 : kFewestSaved)) {
            continue;
        }
        report.more = report.more || best.has_value();
        if (worth > most) {
            most = worth;
            best = Work{std::move(slot), std::move(found.match.path), {}, std::nullopt, {}};
            best->header.name.from = found.match.tokens;
        }
    }
    return best;
}

// False: the slot's memory does not have what its tokens say.
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
            if (!held || !still_rests(work.slot)) {
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

}  // namespace

void forget_conversations(const std::string & tenant) {
    forgotten[tenant] = ggml_time_us();
    if (tenant == protocol::kEverybody) {
        store->tree.remove_all();
    } else {
        store->tree.remove_all(tenant);
    }
}

SaveReport save_conversation(int file, milliseconds rest, const std::function<bool()> & interrupted) {
    SaveReport report;
    if (slots_context() == nullptr) {
        return report;
    }
    if (!store->is_listed()) {
        report.more = true;
        return report;
    }
    std::optional<KeptMemory> memory;
    std::vector<RestingSlot> slots;
    {
        const Held held(kSavePatience);
        if (!held) {
            report.more = true;
            return report;
        }
        memory = kept_memory(slots_context());
        report.why_not = memory ? why_nothing_is_kept() : "its memory is of a kind that is not kept";
        if (!report.why_not.empty()) {
            return report;
        }
        RestingSlots resting = resting_slots(rest);
        report.more = resting.more_later;
        slots = std::move(resting.slots);
    }
    std::optional<Work> work = find_work(std::move(slots), rest, memory->parts() != 0, report);
    if (!work) {
        return report;
    }
    {
        const Held held(kSavePatience);
        if (!held || !still_rests(work->slot)) {
            report.more = true;
            return report;
        }
        if (!describe(*memory, *work, report)) {
            note_not_kept(work->slot.id);
            report.more = true;  // others may be
            return report;
        }
    }
    SegmentWriter writer(file, work->header);
    if (!write(*work, writer, interrupted, report)) {
        report.more = report.refused.empty();
        return report;
    }
    if (const Held held(kSavePatience); held) {
        note_saved(work->slot, work->header.name.to);
    }
    SegmentTree::Segment written = summary(writer.header(), writer.file_bytes());
    written.written = std::chrono::steady_clock::now();
    store->tree.add(work->slot.tenant, std::move(written));
    report.tenant = work->slot.tenant;
    report.name = to_text(work->header.name);
    report.bytes = writer.file_bytes();
    return report;
}

}  // namespace minerva::engine
