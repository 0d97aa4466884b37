#include "device_buffers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <list>
#include <new>
#include <utility>

#include "mapped_files.h"
#include "vulkan_memory.h"

// The linker's names for the functions that it wraps.
extern "C" {
ggml_backend_buffer_t __real_ggml_backend_buffer_init(ggml_backend_buffer_type_t type, ggml_backend_buffer_i iface,
                                                      void * context, size_t size);
ggml_backend_buffer_t __wrap_ggml_backend_buffer_init(ggml_backend_buffer_type_t type, ggml_backend_buffer_i iface,
                                                      void * context, size_t size);
ggml_backend_t __real_ggml_backend_dev_init(ggml_backend_dev_t device, const char * params);
ggml_backend_t __wrap_ggml_backend_dev_init(ggml_backend_dev_t device, const char * params);
ggml_backend_buffer_type_t __wrap_ggml_backend_dev_host_buffer_type(ggml_backend_dev_t device);
void __real_ggml_backend_dev_get_props(ggml_backend_dev_t device, ggml_backend_dev_props * props);
void __wrap_ggml_backend_dev_get_props(ggml_backend_dev_t device, ggml_backend_dev_props * props);
void __real_ggml_backend_tensor_set_async(ggml_backend_t backend, ggml_tensor * tensor, const void * data,
                                          size_t offset, size_t size);
void __wrap_ggml_backend_tensor_set_async(ggml_backend_t backend, ggml_tensor * tensor, const void * data,
                                          size_t offset, size_t size);
}

namespace minerva::engine {
namespace {

struct Backend {
    ggml_backend_t backend;
    void (*free)(ggml_backend_t);  // its own
};

struct Registry {
    // Recursive: a thread that holds the buffers may free one.
    std::recursive_mutex mutex;
    std::list<DeviceBuffer> buffers;
    std::list<Backend> backends;
    std::vector<std::shared_ptr<WeightsFile>> files;
    std::uint64_t last_id = 0;
};

// Never destroyed: ggml frees buffers from static destructors.
Registry & registry() {
    alignas(Registry) static char space[sizeof(Registry)];
    static Registry * const instance = new (space) Registry;
    return *instance;
}

// Set while renew() makes a buffer of which only the memory is wanted.
thread_local bool is_renewing = false;

class Renewing {
  public:
    Renewing() { is_renewing = true; }
    ~Renewing() { is_renewing = false; }
    Renewing(const Renewing &) = delete;
    Renewing & operator=(const Renewing &) = delete;
};

bool has_memory_of_its_own(ggml_backend_dev_t device) {
    if (device == nullptr) {
        return false;
    }
    const auto type = ggml_backend_dev_type(device);
    return type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
}

std::list<DeviceBuffer>::iterator find(ggml_backend_buffer_t buffer) {
    std::list<DeviceBuffer> & buffers = registry().buffers;
    return std::find_if(buffers.begin(), buffers.end(),
                        [buffer](const DeviceBuffer & b) { return b.buffer == buffer; });
}

void free_buffer(ggml_backend_buffer_t buffer) {
    const std::lock_guard<std::recursive_mutex> lock(registry().mutex);
    const auto found = find(buffer);
    if (found == registry().buffers.end()) {
        return;
    }
    if (buffer->context != nullptr) {
        found->own.free_buffer(buffer);
    }
    registry().buffers.erase(found);
}

void free_backend(ggml_backend_t backend) {
    void (*free)(ggml_backend_t) = nullptr;
    {
        const std::lock_guard<std::recursive_mutex> lock(registry().mutex);
        std::list<Backend> & backends = registry().backends;
        const auto found = std::find_if(backends.begin(), backends.end(),
                                        [backend](const Backend & b) { return b.backend == backend; });
        if (found == backends.end()) {
            return;
        }
        free = found->free;
        backends.erase(found);
    }
    free(backend);
}

// The file that is mapped at this address, and the place in it.
std::pair<std::shared_ptr<WeightsFile>, std::uint64_t> mapped_file_at(const void * data, std::size_t size) {
    // Looked up each time: what is mapped somewhere may be gone the next time.
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        const auto mapping = parse_mapping(line);
        if (!mapping || mapping->end <= address) {
            continue;
        }
        // llama.cpp maps a model shared and read-only: nobody changes what is there.
        if (mapping->begin > address || address + size > mapping->end || mapping->access != "r--s" ||
            mapping->path.empty() || mapping->path.front() != '/') {
            break;
        }
        std::vector<std::shared_ptr<WeightsFile>> & files = registry().files;
        auto file = std::find_if(files.begin(), files.end(), [&mapping](const std::shared_ptr<WeightsFile> & f) {
            return f->path() == mapping->path && f->inode() == mapping->inode;
        });
        if (file == files.end()) {
            std::shared_ptr<WeightsFile> opened = WeightsFile::open(mapping->path, mapping->inode);
            if (opened == nullptr) {
                break;
            }
            file = files.insert(files.end(), std::move(opened));
        }
        return {*file, mapping->offset + (address - mapping->begin)};
    }
    return {nullptr, 0};
}

bool is_weights(ggml_backend_buffer_t buffer) { return buffer->usage == GGML_BACKEND_BUFFER_USAGE_WEIGHTS; }

// Everything that writes to a buffer comes through one of these. Weights are written while they are loaded.

void set_tensor(ggml_backend_buffer_t buffer, ggml_tensor * tensor, const void * data, size_t offset, size_t size) {
    const std::lock_guard<std::recursive_mutex> lock(registry().mutex);
    const auto found = find(buffer);
    found->own.set_tensor(buffer, tensor, data, offset, size);
    if (!is_weights(buffer) || size == 0) {
        return;
    }
    if (auto [file, file_offset] = mapped_file_at(data, size); file != nullptr) {
        const char * const base = static_cast<const char *>(found->own.get_base(buffer));
        const auto start = static_cast<std::size_t>(static_cast<const char *>(tensor->data) - base);
        found->pieces.push_back({std::move(file), file_offset, start + offset, size});
    } else {
        found->has_other_content = true;
    }
}

DeviceBuffer & with_other_content(ggml_backend_buffer_t buffer) {
    const auto found = find(buffer);
    found->has_other_content = found->has_other_content || is_weights(buffer);
    return *found;
}

void set_tensor_2d(ggml_backend_buffer_t buffer, ggml_tensor * tensor, const void * data, size_t offset, size_t size,
                   size_t copies, size_t stride_tensor, size_t stride_data) {
    const std::lock_guard<std::recursive_mutex> lock(registry().mutex);
    with_other_content(buffer).own.set_tensor_2d(buffer, tensor, data, offset, size, copies, stride_tensor,
                                                 stride_data);
}

void memset_tensor(ggml_backend_buffer_t buffer, ggml_tensor * tensor, uint8_t value, size_t offset, size_t size) {
    const std::lock_guard<std::recursive_mutex> lock(registry().mutex);
    with_other_content(buffer).own.memset_tensor(buffer, tensor, value, offset, size);
}

bool copy_tensor(ggml_backend_buffer_t buffer, const ggml_tensor * from, ggml_tensor * to) {
    const std::lock_guard<std::recursive_mutex> lock(registry().mutex);
    return with_other_content(buffer).own.cpy_tensor(buffer, from, to);
}

// Replaces the functions of a buffer that was just made.
void hook(ggml_backend_buffer_i & iface) {
    iface.free_buffer = free_buffer;
    iface.set_tensor = set_tensor;
    iface.set_tensor_2d = iface.set_tensor_2d == nullptr ? nullptr : set_tensor_2d;
    iface.memset_tensor = iface.memset_tensor == nullptr ? nullptr : memset_tensor;
    iface.cpy_tensor = iface.cpy_tensor == nullptr ? nullptr : copy_tensor;
}

std::int64_t modified_ns_of(const struct stat & status) {
    return std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

}  // namespace

std::shared_ptr<WeightsFile> WeightsFile::open(const std::string & path, std::uint64_t inode) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status{};
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_ino != inode) {
        if (fd >= 0) {
            close(fd);
        }
        return nullptr;
    }
    return std::shared_ptr<WeightsFile>(
        new WeightsFile(fd, path, inode, static_cast<std::size_t>(status.st_size), modified_ns_of(status)));
}

WeightsFile::~WeightsFile() { close(fd_); }

bool WeightsFile::changed() const {
    struct stat status{};
    return fstat(fd_, &status) != 0 || static_cast<std::size_t>(status.st_size) != bytes_ ||
           modified_ns_of(status) != modified_ns_;
}

BlockUse DeviceBuffer::use() const {
    switch (buffer->usage) {
        case GGML_BACKEND_BUFFER_USAGE_WEIGHTS:
            return BlockUse::kWeights;
        case GGML_BACKEND_BUFFER_USAGE_COMPUTE:
            return BlockUse::kScratch;
        default:
            return BlockUse::kState;
    }
}

std::string DeviceBuffer::device() const { return ggml_backend_dev_name(buffer->buft->device); }

DeviceBuffers::DeviceBuffers() : lock_(registry().mutex) {
    for (DeviceBuffer & buffer : registry().buffers) {
        buffers_.push_back(&buffer);
    }
}

bool renew(DeviceBuffer & buffer) {
    if (buffer.buffer->context != nullptr) {
        return true;
    }
    const Renewing renewing;
    ggml_backend_buffer_t const fresh =
        buffer.buffer->buft->iface.alloc_buffer(buffer.buffer->buft, buffer.buffer->size);
    if (fresh == nullptr) {
        return false;
    }
    buffer.buffer->context = fresh->context;
    fresh->iface.free_buffer = nullptr;  // the memory is the other's now
    ggml_backend_buffer_free(fresh);
    return true;
}

void release(DeviceBuffer & buffer) {
    if (buffer.buffer->context != nullptr) {
        buffer.own.free_buffer(buffer.buffer);
        buffer.buffer->context = nullptr;
    }
}

void finish_computations() {
    const std::lock_guard<std::recursive_mutex> lock(registry().mutex);
    for (const Backend & each : registry().backends) {
        ggml_backend_synchronize(each.backend);
    }
}

void renew_backends() {
    const std::lock_guard<std::recursive_mutex> lock(registry().mutex);
    finish_computations();
    for (const Backend & each : registry().backends) {
        ggml_backend_t fresh = nullptr;
        try {
            fresh = __real_ggml_backend_dev_init(each.backend->device, nullptr);
        } catch (const std::exception &) {
            // The old one stays, with what it keeps.
        }
        if (fresh != nullptr) {
            std::swap(each.backend->context, fresh->context);
            ggml_backend_free(fresh);
        }
    }
}

std::vector<DeviceBytes> bytes_on_devices() {
    const DeviceBuffers buffers;
    std::vector<DeviceBytes> result;
    for (const DeviceBuffer * const buffer : buffers.all()) {
        const std::string device = buffer->device();
        auto found =
            std::find_if(result.begin(), result.end(), [&](const DeviceBytes & b) { return b.device == device; });
        if (found == result.end()) {
            found = result.insert(result.end(), {device});
        }
        const BlockUse use = buffer->use();
        (use == BlockUse::kWeights   ? found->weights
         : use == BlockUse::kScratch ? found->scratch
                                     : found->state) += buffer->buffer->size;
    }
    for (const auto & [device, taken] : vulkan_memory()) {
        const auto found =
            std::find_if(result.begin(), result.end(), [&](const DeviceBytes & b) { return b.device == device; });
        if (found != result.end() && taken > found->total()) {
            found->beside = taken - found->total();
        }
    }
    return result;
}

std::vector<RoomOnDevice> room_on_devices() {
    std::vector<ggml_backend_dev_t> devices;
    {
        const DeviceBuffers buffers;
        for (const DeviceBuffer * const buffer : buffers.all()) {
            ggml_backend_dev_t const device = buffer->buffer->buft->device;
            if (std::find(devices.begin(), devices.end(), device) == devices.end()) {
                devices.push_back(device);
            }
        }
    }
    std::vector<RoomOnDevice> rooms;
    for (ggml_backend_dev_t const device : devices) {
        std::size_t free = 0;
        std::size_t total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        rooms.push_back({ggml_backend_dev_name(device), free, total});
    }
    return rooms;
}

}  // namespace minerva::engine

using minerva::engine::has_memory_of_its_own;
using minerva::engine::registry;

ggml_backend_buffer_t __wrap_ggml_backend_buffer_init(ggml_backend_buffer_type_t type, ggml_backend_buffer_i iface,
                                                      void * context, size_t size) {
    ggml_backend_buffer_t const buffer = __real_ggml_backend_buffer_init(type, iface, context, size);
    // A buffer without content has none of these functions.
    if (minerva::engine::is_renewing || size == 0 || iface.free_buffer == nullptr || iface.set_tensor == nullptr ||
        iface.get_tensor == nullptr || iface.get_base == nullptr || iface.clear == nullptr ||
        !has_memory_of_its_own(type->device) || ggml_backend_buft_is_host(type)) {
        return buffer;
    }
    minerva::engine::note_vulkan_device(ggml_backend_dev_name(type->device));
    const std::lock_guard<std::recursive_mutex> lock(registry().mutex);
    registry().buffers.push_back({++registry().last_id, buffer, buffer->iface, {}});
    minerva::engine::hook(buffer->iface);
    return buffer;
}

ggml_backend_t __wrap_ggml_backend_dev_init(ggml_backend_dev_t device, const char * params) {
    ggml_backend_t const backend = __real_ggml_backend_dev_init(device, params);
    if (backend != nullptr && has_memory_of_its_own(device)) {
        const std::lock_guard<std::recursive_mutex> lock(registry().mutex);
        registry().backends.push_back({backend, backend->iface.free});
        backend->iface.free = minerva::engine::free_backend;
    }
    return backend;
}

// Pinned memory cannot be given back at its address. Without it, what a device shares with the host takes one more
// copy.
ggml_backend_buffer_type_t __wrap_ggml_backend_dev_host_buffer_type(ggml_backend_dev_t /*device*/) { return nullptr; }

// With events llama.cpp computes several batches at once on several devices. They know the inside of their backends,
// which parks replace, and four copies of what goes from one device to the next would take memory.
void __wrap_ggml_backend_dev_get_props(ggml_backend_dev_t device, ggml_backend_dev_props * props) {
    __real_ggml_backend_dev_get_props(device, props);
    props->caps.events = false;
}

// Does not come through the buffer's own functions.
void __wrap_ggml_backend_tensor_set_async(ggml_backend_t backend, ggml_tensor * tensor, const void * data,
                                          size_t offset, size_t size) {
    __real_ggml_backend_tensor_set_async(backend, tensor, data, offset, size);
    ggml_backend_buffer_t const buffer = tensor->view_src != nullptr ? tensor->view_src->buffer : tensor->buffer;
    if (buffer != nullptr && minerva::engine::is_weights(buffer)) {
        const std::lock_guard<std::recursive_mutex> lock(registry().mutex);
        if (const auto found = minerva::engine::find(buffer); found != registry().buffers.end()) {
            found->has_other_content = true;
        }
    }
}
