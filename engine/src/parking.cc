#include "parking.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "main_loop.h"

namespace minerva::engine {
namespace {

constexpr std::chrono::milliseconds kPatience(250);
constexpr std::size_t kEntriesRead = std::size_t{1} << 15;

// Holes up to this size between stored pages are mapped from the image too (as zeros), so that there are fewer
// mappings.
constexpr std::size_t kMappedGap = 16;
// A block that would need more mappings is mapped as a whole: a process may have about 65,000 of them.
constexpr std::size_t kMostMappings = 1024;

using Run = Image::Extent;  // pages of one block, relative to its start

bool all_zero(const char * page) { return page[0] == 0 && std::memcmp(page, page + 1, kPage - 1) == 0; }

[[noreturn]] void give_up(const char * what) {
    std::fprintf(stderr, "minerva-engine: E parking: %s: %s\n", what, std::strerror(errno));
    std::abort();
}

void fence(const LargeBlock & block) {
    if (mmap(block.address, block.bytes, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) ==
        MAP_FAILED) {
        give_up("cannot fence a block");
    }
}

// `access`: PROT_...
void set_access(const LargeBlock & block, int access) {
    if (mprotect(block.address, block.bytes, access) != 0) {
        give_up("cannot change the access to a block");
    }
}

std::size_t end_of(Run run) { return run.first + run.pages; }

void append(std::vector<Run> & runs, std::size_t page, std::size_t gap) {
    if (!runs.empty() && page - end_of(runs.back()) <= gap) {
        runs.back().pages = page + 1 - runs.back().first;
    } else {
        runs.push_back({page, 1});
    }
}

// The stored pages of the block, with the holes of up to `gap` pages between them.
std::vector<Run> stored_runs(const Image & image, Image::Extent extent, std::size_t gap) {
    std::vector<Run> runs;
    for (std::size_t page = 0; page < extent.pages; ++page) {
        if (image.stored(extent.first + page)) {
            append(runs, page, gap);
        }
    }
    return runs;
}

// The parts of `runs` that are in none of `others`; both are in the order of addresses.
std::vector<Run> outside(const std::vector<Run> & runs, const std::vector<Run> & others) {
    std::vector<Run> result;
    auto other = others.begin();
    for (const Run & run : runs) {
        std::size_t at = run.first;
        for (; other != others.end() && other->first < end_of(run); ++other) {
            if (other->first > at) {
                result.push_back({at, other->first - at});
            }
            at = std::max(at, end_of(*other));
            if (at >= end_of(run)) {
                break;  // this run may also reach into the next one
            }
        }
        if (at < end_of(run)) {
            result.push_back({at, end_of(run) - at});
        }
    }
    return result;
}

// Removes the parts that are about to be unmapped.
void leave_out(const std::vector<MappedPart> & gone, std::vector<MappedPart> & parts) {
    parts.erase(std::remove_if(parts.begin(), parts.end(),
                               [&gone](const MappedPart & part) {
                                   return std::any_of(gone.begin(), gone.end(), [&part](const MappedPart & g) {
                                       return part.address >= g.address && part.address < g.address + g.bytes;
                                   });
                               }),
                parts.end());
}

void refuse_size(std::uint64_t wanted, std::uint64_t most, Parking::Report & report) {
    report.refused =
        "its image would take " + std::to_string(wanted) + " bytes, " + std::to_string(most) + " are allowed";
    report.image_wanted_bytes = wanted;
}

// What of them is in the page cache.
void note(const PagesInMemory & pages, Parking::Report & report) {
    report.cached_bytes = pages.cached;
    report.missing_bytes = pages.missing;
}

}  // namespace

Parking::Parking(const std::string & image_folder, std::unique_ptr<DeviceMemory> devices)
    : devices_(std::move(devices)) {
    if (image_folder.empty()) {
        why_not_ = "no folder for its image was given";
        return;
    }
    if (devices_ && !devices_->why_not().empty()) {
        why_not_ = devices_->why_not();
    } else if (!page_map_.is_open()) {
        why_not_ = "cannot read /proc/self/pagemap";
    } else if (!own_memory_.anonymous_bytes()) {
        why_not_ = "cannot read /proc/self/status";
    } else if (sysconf(_SC_PAGESIZE) != static_cast<long>(kPage)) {
        why_not_ = "pages of this machine do not have 4 KiB";
    } else {
        image_ = Image::create(image_folder, why_not_);
    }
    if (image_) {
        check_ = std::make_unique<ImageCheck>(*image_);
    }
}

Parking::Report Parking::park(std::uint64_t max_image_bytes) {
    Report report;
    if (!image_) {
        report.refused = why_not_;
        return report;
    }
    if (!parked_) {
        if (!hold_main_loop(kPatience)) {
            report.refused = "it is working";
            report.busy = true;
        } else {
            const LargeBlocks blocks;
            check_->stop();
            read_ahead_.stop();
            forget_freed(blocks.all());
            store(blocks.all(), max_image_bytes, report);
            if (report.refused.empty()) {
                if (devices_) {
                    devices_->release();  // and maps the files that it will read, which are models then
                }
                find_models(blocks.all());
                for (const LargeBlock & block : blocks.all()) {
                    if (block.use == BlockUse::kScratch) {
                        fence(block);
                        continue;
                    }
                    map_stored(stored_.at(block.id));
                    set_access(block, block.use == BlockUse::kWeights ? PROT_READ : PROT_NONE);
                }
                note(look_at(used_soon(blocks.all())), report);
                parked_ = true;
            } else {
                release_main_loop();
            }
        }
    }
    report.parked = parked_;
    if (parked_) {
        malloc_trim(0);
        report.residue_bytes = own_memory_.anonymous_bytes().value_or(0);
        if (devices_) {
            report.devices = devices_->taken();
        }
    }
    report.image_bytes = image_->stored_bytes();
    return report;
}

Parking::Report Parking::drop(std::uint64_t bytes) {
    Report report;
    report.parked = parked_;
    if (parked_) {
        // What is used late, or hardly, goes first.
        std::uint64_t & dropped = report.dropped_bytes;
        for (const bool models : {weights_are_copies_, !weights_are_copies_}) {
            if (dropped < bytes) {  // a little more may have been dropped
                dropped += models ? drop_models(bytes - dropped) : drop_stored_weights(bytes - dropped);
            }
        }
        if (dropped < bytes) {
            drop_image();
        }
        report.residue_bytes = own_memory_.anonymous_bytes().value_or(0);
    }
    report.image_bytes = image_ ? image_->stored_bytes() : 0;
    return report;
}

std::uint64_t Parking::drop_models(std::uint64_t bytes) const {
    std::uint64_t dropped = 0;
    for (auto model = models_.rbegin(); model != models_.rend() && dropped < bytes; ++model) {
        const int file = open(model->path.c_str(), O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            dropped += drop_tail(model->part, file, bytes - dropped);
            close(file);
        }
    }
    return dropped;
}

std::uint64_t Parking::drop_stored_weights(std::uint64_t bytes) const {
    std::uint64_t dropped = 0;
    const LargeBlocks blocks;
    for (auto block = blocks.all().rbegin(); block != blocks.all().rend(); ++block) {
        const auto found = stored_.find(block->id);
        if (block->use != BlockUse::kWeights || found == stored_.end()) {
            continue;
        }
        std::vector<MappedPart> parts;
        add_mapped_parts(found->second, parts);
        for (auto part = parts.rbegin(); part != parts.rend() && dropped < bytes; ++part) {
            dropped += drop_tail(*part, image_->descriptor(), bytes - dropped);
        }
    }
    return dropped;
}

void Parking::drop_image() const {
    {
        std::vector<MappedPart> parts;
        const LargeBlocks blocks;
        for (const LargeBlock & block : blocks.all()) {
            if (const auto found = stored_.find(block.id); found != stored_.end()) {
                add_mapped_parts(found->second, parts);
            }
        }
        // The page cache keeps what is mapped, so this unmaps it. Nobody can have written to it, since it is fenced.
        for (const MappedPart & part : parts) {
            madvise(part.address, part.bytes, MADV_DONTNEED);
        }
    }
    image_->drop_cache();
}

void Parking::forget_freed(const std::vector<LargeBlock> & blocks) {
    std::unordered_set<std::uint64_t> kept;
    for (const LargeBlock & block : blocks) {
        if (block.use != BlockUse::kScratch) {
            kept.insert(block.id);
        }
    }
    for (auto it = stored_.begin(); it != stored_.end();) {
        if (kept.count(it->first) != 0) {
            ++it;
            continue;
        }
        image_->free(it->second.extent);
        it = stored_.erase(it);
    }
}

void Parking::store(const std::vector<LargeBlock> & blocks, std::uint64_t max_image_bytes, Report & report) {
    if (image_->broken()) {
        report.refused = "the disk of its image is broken";
        return;
    }
    for (const LargeBlock & block : blocks) {
        if (block.use != BlockUse::kScratch && stored_.count(block.id) == 0) {
            stored_.emplace(block.id, Stored{block, image_->allocate(block.bytes / kPage), {}, {}});
        }
    }
    std::vector<std::pair<const Stored *, std::vector<Run>>> work;
    std::uint64_t new_pages = 0;
    for (auto & [id, stored] : stored_) {
        if (stored.block.use == BlockUse::kWeights && !stored.mapped.empty()) {
            continue;
        }
        std::vector<Run> changed;
        if (!find_changed(stored, changed)) {
            report.refused = std::string("cannot read /proc/self/pagemap: ") + std::strerror(errno);
            return;
        }
        for (const Run & run : changed) {
            for (std::size_t page = run.first; page < run.first + run.pages; ++page) {
                new_pages += image_->stored(stored.extent.first + page) ? 0 : 1;
            }
        }
        work.emplace_back(&stored, std::move(changed));
    }
    const std::uint64_t new_bytes = new_pages * kPage;
    if (devices_) {
        devices_->store(*image_, max_image_bytes - std::min(max_image_bytes, new_bytes), report);
        if (report.image_wanted_bytes > 0) {
            return refuse_size(report.image_wanted_bytes + new_bytes, max_image_bytes, report);
        }
        if (!report.refused.empty()) {
            return;
        }
    }
    if (const std::uint64_t bytes = image_->stored_bytes() + new_bytes; bytes > max_image_bytes) {
        return refuse_size(bytes, max_image_bytes, report);
    }
    for (const auto & [stored, changed] : work) {
        for (const Run & run : changed) {
            if (!image_->write(stored->extent.first + run.first, stored->block.address + run.first * kPage,
                               run.pages)) {
                report.refused = std::string("cannot write its image: ") + std::strerror(errno);
                return;
            }
            report.written_bytes += run.pages * kPage;
        }
    }
}

bool Parking::find_changed(Stored & stored, std::vector<Run> & changed) {
    stored.own.clear();
    const std::size_t pages = stored.block.bytes / kPage;
    const auto first = reinterpret_cast<std::uintptr_t>(stored.block.address) / kPage;
    entries_.resize(kEntriesRead);
    for (std::size_t at = 0; at < pages;) {
        const std::size_t got = page_map_.read(first + at, entries_.data(), std::min(pages - at, entries_.size()));
        if (got == 0) {
            return false;
        }
        for (std::size_t i = 0; i < got; ++i) {
            const std::size_t page = at + i;
            // Any other page was never touched, or still is what the image holds.
            if (!entries_[i].own()) {
                continue;
            }
            append(stored.own, page, 0);
            if (image_->stored(stored.extent.first + page) || !all_zero(stored.block.address + page * kPage)) {
                append(changed, page, 0);
            }
        }
        at += got;
    }
    return true;
}

Parking::Report Parking::wake() {
    Report report;
    if (parked_) {
        std::vector<MappedPart> soon;
        {
            const LargeBlocks blocks;
            forget_freed(blocks.all());
            soon = used_soon(blocks.all());
        }
        // Before devices are filled and the loop computes, since both bring pages back.
        const PagesInMemory pages = look_at(soon);
        note(pages, report);
        if (devices_) {
            leave_out(devices_->files(), soon);
            if (!devices_->restore(*image_, report.refused)) {
                report.parked = true;
                report.residue_bytes = own_memory_.anonymous_bytes().value_or(0);
                report.image_bytes = image_->stored_bytes();
                return report;
            }
        }
        {
            const LargeBlocks blocks;
            for (const LargeBlock & block : blocks.all()) {
                if (block.use != BlockUse::kWeights) {
                    set_access(block, PROT_READ | PROT_WRITE);
                }
            }
        }
        parked_ = false;
        release_main_loop();
        read_ahead_.start(std::move(soon), pages);
        check_->start();
    }
    report.image_bytes = image_ ? image_->stored_bytes() : 0;
    return report;
}

void Parking::find_models(const std::vector<LargeBlock> & blocks) {
    models_ = mapped_models();
    std::size_t models_bytes = 0;
    for (const MappedModel & model : models_) {
        models_bytes += model.part.bytes;
    }
    std::size_t weights_bytes = 0;
    for (const LargeBlock & block : blocks) {
        weights_bytes += block.use == BlockUse::kWeights ? block.bytes : 0;
    }
    weights_are_copies_ = weights_bytes >= models_bytes / 4 * 3;
    if (weights_are_copies_) {
        // A large table is read a row at a time. The kernel would read megabytes around each row.
        for (const MappedModel & model : models_) {
            madvise(model.part.address, model.part.bytes, MADV_RANDOM);
        }
    }
}

std::vector<MappedPart> Parking::used_soon(const std::vector<LargeBlock> & blocks) const {
    std::vector<MappedPart> result;
    if (!weights_are_copies_) {
        for (const MappedModel & model : models_) {
            result.push_back(model.part);
        }
    }
    for (const LargeBlock & block : blocks) {
        const auto found = stored_.find(block.id);
        if (found != stored_.end() && block.use != BlockUse::kConversation) {
            add_mapped_parts(found->second, result);
        }
    }
    return result;
}

MappedPart Parking::part(const Stored & stored, Run run) {
    return {stored.block.address + run.first * kPage, run.pages * kPage, (stored.extent.first + run.first) * kPage};
}

void Parking::add_mapped_parts(const Stored & stored, std::vector<MappedPart> & to) {
    for (const Run & run : stored.mapped) {
        to.push_back(part(stored, run));
    }
}

void Parking::map_stored(Stored & stored) {
    if (stored.own.empty() && !stored.mapped.empty()) {
        return;  // no change
    }
    const auto give_back = [&](const Run & run) {
        const MappedPart own = part(stored, run);
        return madvise(own.address, own.bytes, MADV_DONTNEED) == 0;
    };
    if (stored.mapped.empty() || !std::all_of(stored.own.begin(), stored.own.end(), give_back)) {
        fence(stored.block);
        stored.mapped.clear();
    }
    stored.own.clear();
    std::vector<Run> runs = stored_runs(*image_, stored.extent, kMappedGap);
    if (runs.size() > kMostMappings) {
        runs = stored_runs(*image_, stored.extent, stored.extent.pages);
    }
    for (const Run & run : outside(runs, stored.mapped)) {
        const MappedPart missing = part(stored, run);
        if (mmap(missing.address, missing.bytes, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_NORESERVE,
                 image_->descriptor(), static_cast<off_t>(missing.offset)) == MAP_FAILED) {
            give_up("cannot map a block from its image");
        }
    }
    stored.mapped = std::move(runs);
}

}  // namespace minerva::engine
