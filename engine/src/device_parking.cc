#include "device_parking.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "device_buffers.h"
#include "vulkan_memory.h"

namespace minerva::engine {
namespace {

// Read and written at once. The driver may keep as much of its own for copies.
constexpr std::size_t kChunk = std::size_t{4} << 20;

[[noreturn]] void give_up(const std::string & why) {
    std::fprintf(stderr, "minerva-engine: E parking: %s\n", why.c_str());
    std::abort();
}

// A tensor that spans a buffer, by which its bytes are read and written.
ggml_tensor bytes_of(const DeviceBuffer & buffer) {
    ggml_tensor tensor{};
    tensor.type = GGML_TYPE_I8;
    tensor.buffer = buffer.buffer;
    tensor.data = buffer.own.get_base(buffer.buffer);
    tensor.ne[0] = static_cast<std::int64_t>(buffer.buffer->size);
    tensor.ne[1] = tensor.ne[2] = tensor.ne[3] = 1;
    tensor.nb[0] = 1;
    tensor.nb[1] = tensor.nb[2] = tensor.nb[3] = buffer.buffer->size;
    return tensor;
}

// Whether a backend was refused memory. By Vulkan it throws a std::system_error with a VkResult.
bool lacks_memory(const std::exception & e) {
    constexpr int kOutOfHostMemory = -1;
    constexpr int kOutOfDeviceMemory = -2;
    const auto * const error = dynamic_cast<const std::system_error *>(&e);
    return error != nullptr &&
           (error->code().value() == kOutOfHostMemory || error->code().value() == kOutOfDeviceMemory);
}

bool all_zero(const char * page) { return page[0] == 0 && std::memcmp(page, page + 1, kPage - 1) == 0; }

std::size_t pages_of(const DeviceBuffer & buffer) { return (buffer.buffer->size + kPage - 1) / kPage; }

class FileMappings {
  public:
    ~FileMappings() { unmap(); }

    void map(const std::shared_ptr<WeightsFile> & file) {
        if (mapped_.count(file.get()) != 0) {
            return;
        }
        void * const address = mmap(nullptr, file->bytes(), PROT_READ, MAP_SHARED, file->descriptor(), 0);
        if (address == MAP_FAILED) {
            give_up("cannot map " + file->path());
        }
        const MappedPart part = {static_cast<char *>(address), file->bytes(), 0};
        mapped_.emplace(file.get(), part);
        parts_.push_back(part);
    }
    void unmap() {
        for (const MappedPart & part : parts_) {
            munmap(part.address, part.bytes);
        }
        parts_.clear();
        mapped_.clear();
    }
    const char * at(const FilePiece & piece) const { return mapped_.at(piece.file.get()).address + piece.file_offset; }
    const std::vector<MappedPart> & parts() const { return parts_; }

  private:
    std::map<const WeightsFile *, MappedPart> mapped_;
    std::vector<MappedPart> parts_;
};

class GgmlDeviceMemory final : public DeviceMemory {
  public:
    std::string why_not() const override {
#ifdef GGML_USE_CUDA
        // A tensor there knows its address, and new memory would be at another one.
        return "what is on a device by CUDA cannot be parked";
#else
        // A buffer of Vulkan has no address of its own, wherever its memory is.
        return "";
#endif
    }

    void store(Image & image, std::uint64_t max_image_bytes, protocol::ParkReport & report) override {
        const DeviceBuffers buffers;
        forget_freed(image, buffers.all());
        max_pages_ = max_image_bytes / kPage;
        std::uint64_t wanted = image.stored_bytes() / kPage;
        try {
            // The last computation may still be under way, if nobody has asked for its result.
            finish_computations();
            for (DeviceBuffer * const buffer : buffers.all()) {
                if (goes_to_image(*buffer) && !store(image, *buffer, wanted, report)) {
                    return;
                }
            }
        } catch (const std::exception & e) {
            if (!lacks_memory(e)) {
                give_up(std::string("a device fails: ") + e.what());
            }
            report.refused = std::string("a device has no room to copy what it holds: ") + e.what();
            return;
        }
        if (wanted > max_pages_) {
            report.image_wanted_bytes = wanted * kPage;
        }
    }

    void release() override {
        const DeviceBuffers buffers;
        renew_backends();
        for (DeviceBuffer * const buffer : buffers.all()) {
            minerva::engine::release(*buffer);
            if (buffer->is_in_files()) {
                for (const FilePiece & piece : buffer->pieces) {
                    files_.map(piece.file);
                }
            }
        }
    }

    std::map<std::string, std::uint64_t> taken() const override { return vulkan_memory(); }

    const std::vector<MappedPart> & files() const override { return files_.parts(); }

    bool restore(const Image & image, std::string & refused) override {
        const DeviceBuffers buffers;
        try {
            refused = renew_all(buffers.all());
            if (refused.empty()) {
                fill(image, buffers.all());
            }
        } catch (const std::exception & e) {
            // Drivers take memory for copies too. After any other failure the device is not to be relied on.
            if (!lacks_memory(e)) {
                give_up(std::string("a device fails: ") + e.what());
            }
            refused = std::string("a device has no room for the model that wakes: ") + e.what();
        }
        if (!refused.empty()) {
            for (DeviceBuffer * const buffer : buffers.all()) {
                minerva::engine::release(*buffer);
            }
            return false;
        }
        files_.unmap();
        return true;
    }

  private:
    // Makes the memory of each buffer. Returns what is lacking; empty: nothing.
    static std::string renew_all(const std::vector<DeviceBuffer *> & buffers) {
        for (DeviceBuffer * const buffer : buffers) {
            if (!renew(*buffer)) {
                return "the device " + buffer->device() + " has no room for " + std::to_string(buffer->buffer->size) +
                       " bytes of the model that wakes";
            }
        }
        return "";
    }

    void fill(const Image & image, const std::vector<DeviceBuffer *> & buffers) {
        for (DeviceBuffer * const buffer : buffers) {
            if (buffer->use() == BlockUse::kScratch) {
                continue;
            }
            // Nobody reads the bytes between tensors, but some backends compute with padding.
            buffer->own.clear(buffer->buffer, 0);
            if (buffer->is_in_files()) {
                read_weights(*buffer);
            } else {
                read_image(image, *buffer);
            }
        }
    }

    static bool goes_to_image(const DeviceBuffer & buffer) {
        return buffer.use() != BlockUse::kScratch && !buffer.is_in_files();
    }

    void forget_freed(Image & image, const std::vector<DeviceBuffer *> & buffers) {
        std::unordered_set<std::uint64_t> kept;
        for (const DeviceBuffer * const buffer : buffers) {
            if (goes_to_image(*buffer)) {
                kept.insert(buffer->id);
            }
        }
        for (auto it = stored_.begin(); it != stored_.end();) {
            if (kept.count(it->first) != 0) {
                ++it;
                continue;
            }
            image.free(it->second);
            it = stored_.erase(it);
        }
    }

    // `wanted`: the pages of the image so far. False: a write failed.
    bool store(Image & image, const DeviceBuffer & buffer, std::uint64_t & wanted, protocol::ParkReport & report) {
        auto found = stored_.find(buffer.id);
        if (found == stored_.end()) {
            found = stored_.emplace(buffer.id, image.allocate(pages_of(buffer))).first;
        }
        const ggml_tensor tensor = bytes_of(buffer);
        for (std::size_t at = 0; at < buffer.buffer->size; at += kChunk) {
            const std::size_t bytes = std::min(kChunk, buffer.buffer->size - at);
            chunk_.assign((bytes + kPage - 1) / kPage * kPage, 0);
            buffer.own.get_tensor(buffer.buffer, &tensor, chunk_.data(), at, bytes);
            if (!store_chunk(image, found->second.first + at / kPage, wanted, report)) {
                report.refused = std::string("cannot write its image: ") + std::strerror(errno);
                return false;
            }
        }
        return true;
    }

    // Writes the pages of the chunk that the image does not have, from `first` in the image on. False: a write failed.
    bool store_chunk(Image & image, std::size_t first, std::uint64_t & wanted, protocol::ParkReport & report) {
        const std::size_t pages = chunk_.size() / kPage;
        const auto differs = [&](std::size_t page) {
            const char * const data = chunk_.data() + page * kPage;
            return image.stored(first + page) ? !image.same(first + page, data) : !all_zero(data);
        };
        for (std::size_t page = 0; page < pages; ++page) {
            std::size_t end = page;
            for (; end < pages && differs(end); ++end) {
                wanted += image.stored(first + end) ? 0 : 1;
            }
            if (end == page) {
                continue;
            }
            if (wanted <= max_pages_) {
                if (!image.write(first + page, chunk_.data() + page * kPage, end - page)) {
                    return false;
                }
                report.written_bytes += (end - page) * kPage;
            }
            page = end;  // which does not differ
        }
        return true;
    }

    void read_weights(const DeviceBuffer & buffer) const {
        ggml_tensor tensor = bytes_of(buffer);
        for (const FilePiece & piece : buffer.pieces) {
            if (piece.file->changed()) {
                give_up(piece.file->path() + " has changed since the model was loaded");
            }
            buffer.own.set_tensor(buffer.buffer, &tensor, files_.at(piece), piece.buffer_offset, piece.bytes);
        }
    }

    void read_image(const Image & image, const DeviceBuffer & buffer) {
        ggml_tensor tensor = bytes_of(buffer);
        const Image::Extent extent = stored_.at(buffer.id);
        constexpr std::size_t kPages = kChunk / kPage;
        for (std::size_t page = 0; page < extent.pages; ++page) {
            std::size_t end = page;
            while (end < extent.pages && end - page < kPages && image.stored(extent.first + end)) {
                ++end;
            }
            if (end == page) {
                continue;
            }
            chunk_.resize((end - page) * kPage);
            if (!image.read(extent.first + page, chunk_.data(), end - page)) {
                give_up("its image is damaged");
            }
            const std::size_t at = page * kPage;
            buffer.own.set_tensor(buffer.buffer, &tensor, chunk_.data(), at,
                                  std::min(chunk_.size(), buffer.buffer->size - at));
            page = end - 1;
        }
    }

    std::unordered_map<std::uint64_t, Image::Extent> stored_;  // by the id of the buffer
    std::uint64_t max_pages_ = 0;                              // of the image, while it is stored
    std::vector<char> chunk_;
    FileMappings files_;
};

}  // namespace

std::unique_ptr<DeviceMemory> make_device_memory() { return std::make_unique<GgmlDeviceMemory>(); }

}  // namespace minerva::engine
