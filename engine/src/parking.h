// Parking: takes an idle model's memory out of the way and brings it back in milliseconds.
//
// Purpose: a parked engine keeps its process and its head (vocabulary, graph, templates). Its large blocks go to an
// image on disk, where only what changed since the last time is written: the kernel tells which pages were touched
// since they were mapped from the image. What is stored is mapped from there, private and copy-on-write: clean pages,
// for the kernel to drop and read again as those of a mapped model, and a wake has nothing to read before it is used.
// They stay mapped while parked, so that what did not change costs no page faults. While parked the inference loop is
// held (main_loop.h), and KV cache and scratch are fenced off: a stray touch ends the process instead of computing on
// scratch that is gone, or writing what a drop would throw away. Weights do not change: from the first park on they can
// only be read.
//
// Threading: one thread, not the main one.
// Ownership: owns the image.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "image.h"
#include "image_check.h"
#include "large_blocks.h"
#include "mapped_files.h"
#include "own_memory.h"
#include "page_map.h"
#include "protocol/agent.h"
#include "read_ahead.h"

namespace minerva::engine {

class Parking {
  public:
    // The image is made in `image_folder` (image.h); empty: nothing can be parked. Opens what parking needs of the file
    // system, so it works in a sandbox that is entered later.
    explicit Parking(const std::string & image_folder);
    Parking(const Parking &) = delete;
    Parking & operator=(const Parking &) = delete;

    // Why nothing can be parked; empty: it can.
    const std::string & why_not() const { return why_not_; }

    using Report = protocol::ParkReport;
    // `max_image_bytes`: the park is refused, and the model stays as it was, if the image would become larger.
    Report park(std::uint64_t max_image_bytes);
    // Gives back so much of the page cache, from the end of the weights, so that a wake finds their beginning; of more
    // than weights take, all that the image takes too, once it is on disk. Not parked: nothing.
    Report drop(std::uint64_t bytes);
    // Pages that are no longer in memory are read when they are used, and ahead of that (read_ahead.h).
    Report wake();
    bool parked() const { return parked_; }

  private:
    // Pages of one block, relative to its start.
    using Run = Image::Extent;

    struct Stored {
        LargeBlock block;
        Image::Extent extent;
        std::vector<Run> mapped;  // from the image, by address, or more of it; none before its first park
        std::vector<Run> own;     // in memory of the process's own, as of the latest look
    };

    void forget_freed(const std::vector<LargeBlock> & blocks);
    // Brings the image up to date. Effect: `report.refused`, and the sizes that go with it, say what came of it.
    void store(const std::vector<LargeBlock> & blocks, std::uint64_t max_image_bytes, Report & report);
    // The pages that the image does not hold as they are now, and those that are the process's own. False: errno says
    // why.
    bool find_changed(Stored & stored, std::vector<Run> & changed);
    // Has the image's pages in place of the process's own. Requires: the image holds what the block does.
    void map_stored(Stored & stored);
    // Where these pages are, in memory and in the image.
    static MappedPart part(const Stored & stored, Run run);
    static void add_mapped_parts(const Stored & stored, std::vector<MappedPart> & to);
    // Finds the mapped model files, and whether they are used.
    void find_models(const std::vector<LargeBlock> & blocks);
    // What the first token after a wake needs, in the order in which it does.
    std::vector<MappedPart> used_soon(const std::vector<LargeBlock> & blocks) const;
    std::uint64_t drop_models(std::uint64_t bytes) const;
    std::uint64_t drop_stored_weights(std::uint64_t bytes) const;
    void drop_image() const;

    std::string why_not_;
    std::unique_ptr<Image> image_;
    std::unique_ptr<ImageCheck> check_;  // after a wake
    ReadAhead read_ahead_;               // after a wake
    PageMap page_map_;
    OwnMemory own_memory_;
    bool parked_ = false;
    std::vector<MappedModel> models_;                   // as of the latest park
    bool weights_are_copies_ = false;                   // of most of them, so that they are hardly read
    std::unordered_map<std::uint64_t, Stored> stored_;  // by the block's id; what is not scratch
    std::vector<PageMap::Entry> entries_;               // for find_changed()
};

}  // namespace minerva::engine
