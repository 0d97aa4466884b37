// Parking: takes an idle model's memory out of the way, and brings it back in milliseconds.
//
// Purpose: a parked engine keeps its process and its head (vocabulary, graph, templates). Its large blocks go to an
// image on disk. Only what changed since the last park is written: the kernel knows which pages were touched since they
// were mapped from the image. What is stored is mapped from the image, private and copy-on-write. So its pages are
// clean: the kernel can drop them and read them again, like those of a mapped model, and a wake need not read anything
// first. The pages stay mapped while parked, so that unchanged ones cost no page faults.
// While the model is parked, the inference loop is held (main_loop.h), and KV cache and scratch are fenced: a stray
// touch ends the process. Otherwise the process could compute on scratch that is gone, or write to pages that a drop
// throws away. Weights do not change: from the first park on they can only be read.
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

#include "device_memory.h"
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
    // Makes the image in `image_folder` (image.h); empty: nothing can be parked. Opens the files that parking needs, so
    // that it works in a sandbox that is entered later.
    // `devices`: parks what is not in the host's memory; nullptr: there is nothing.
    explicit Parking(const std::string & image_folder, std::unique_ptr<DeviceMemory> devices = nullptr);
    Parking(const Parking &) = delete;
    Parking & operator=(const Parking &) = delete;

    // Why nothing can be parked; empty: parking works.
    const std::string & why_not() const { return why_not_; }

    using Report = protocol::ParkReport;
    // `max_image_bytes`: if the image would become larger, the park is refused and the model stays as it was.
    Report park(std::uint64_t max_image_bytes);
    // Gives back so much page cache, from the end of the weights on, so that a wake finds their beginning. If `bytes`
    // is more than the weights take, it also gives back all that the image takes, once that is on disk. No effect if it
    // is not parked.
    Report drop(std::uint64_t bytes);
    // Pages that are no longer in memory are read when they are used, and also ahead of that (read_ahead.h). If a
    // device has no room, it stays parked, and the report says why: a later try may succeed.
    Report wake();
    bool parked() const { return parked_; }

  private:
    // Pages of one block, relative to the block's start.
    using Run = Image::Extent;

    struct Stored {
        LargeBlock block;
        Image::Extent extent;
        // what is mapped from the image, in the order of addresses, or more of it; none before the first park
        std::vector<Run> mapped;
        std::vector<Run> own;  // in the process's own memory, by the latest look
    };

    void forget_freed(const std::vector<LargeBlock> & blocks);
    // Brings the image up to date. Effect: `report.refused` and the sizes beside it.
    void store(const std::vector<LargeBlock> & blocks, std::uint64_t max_image_bytes, Report & report);
    // Finds the pages that have changed since they were stored, and those in the process's own memory. False: errno
    // says why.
    bool find_changed(Stored & stored, std::vector<Run> & changed);
    // Maps the image's pages in place of the process's own. Requires: the image holds what the block holds.
    void map_stored(Stored & stored);
    // The place of these pages in memory and in the image.
    static MappedPart part(const Stored & stored, Run run);
    static void add_mapped_parts(const Stored & stored, std::vector<MappedPart> & to);
    // Finds the mapped model files, and whether they are used.
    void find_models(const std::vector<LargeBlock> & blocks);
    // What the first token after a wake needs, in the order in which it needs it.
    std::vector<MappedPart> used_soon(const std::vector<LargeBlock> & blocks) const;
    std::uint64_t drop_models(std::uint64_t bytes) const;
    std::uint64_t drop_stored_weights(std::uint64_t bytes) const;
    void drop_image() const;

    std::string why_not_;
    std::unique_ptr<Image> image_;
    std::unique_ptr<ImageCheck> check_;  // after a wake
    std::unique_ptr<DeviceMemory> devices_;
    ReadAhead read_ahead_;  // after a wake
    PageMap page_map_;
    OwnMemory own_memory_;
    bool parked_ = false;
    std::vector<MappedModel> models_;                   // by the latest park
    bool weights_are_copies_ = false;                   // true for most of them, so that the files are hardly read
    std::unordered_map<std::uint64_t, Stored> stored_;  // by the id of the block; all blocks but scratch
    std::vector<PageMap::Entry> entries_;               // for find_changed()
};

}  // namespace minerva::engine
