// The engine's buffers in the memory of devices (GPUs): which there are, and where their contents come from.
//
// Purpose: each such buffer is a ggml_backend_buffer, and the linker hands over each one as its backend makes it
// (`-Wl,--wrap=`). A buffer leaves the list when its backend frees it. While weights are loaded, this notes which part
// of which file each part of a buffer holds. So a park need not keep weights: a wake reads them from the files again.
// A buffer of buffers (ggml's multi-buffer) is not in the list; its parts are. Host memory that a driver has pinned is
// in no list: there is none, since llama.cpp is told that no device offers any. So everything on the host is a large
// block (large_blocks.h). Threading: every function may be called from any thread. It parks nothing (device_parking.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ggml-backend-impl.h"
#include "large_blocks.h"

namespace minerva::engine {

// A file that weights were loaded from. It stays open: if another file takes its name, this one is still there.
class WeightsFile {
  public:
    // nullptr if it cannot be opened, or is not the file with this number on its device.
    static std::shared_ptr<WeightsFile> open(const std::string & path, std::uint64_t inode);
    ~WeightsFile();
    WeightsFile(const WeightsFile &) = delete;
    WeightsFile & operator=(const WeightsFile &) = delete;

    int descriptor() const { return fd_; }
    const std::string & path() const { return path_; }
    std::uint64_t inode() const { return inode_; }
    std::size_t bytes() const { return bytes_; }
    // Whether somebody has written to it since it was opened.
    bool changed() const;

  private:
    WeightsFile(int fd, std::string path, std::uint64_t inode, std::size_t bytes, std::int64_t modified_ns)
        : fd_(fd), path_(std::move(path)), inode_(inode), bytes_(bytes), modified_ns_(modified_ns) {}

    int fd_;
    std::string path_;
    std::uint64_t inode_;
    std::size_t bytes_;
    std::int64_t modified_ns_;
};

// The content of a part of a buffer.
struct FilePiece {
    std::shared_ptr<WeightsFile> file;
    std::uint64_t file_offset;
    std::size_t buffer_offset;
    std::size_t bytes;
};

struct DeviceBuffer {
    std::uint64_t id;  // never used twice
    ggml_backend_buffer_t buffer;
    ggml_backend_buffer_i own;       // the backend's functions; some of the buffer's are ours
    std::vector<FilePiece> pieces;   // of weights
    bool has_other_content = false;  // weights: something in it comes from no file

    BlockUse use() const;
    // Whether a wake can read all of it from files.
    bool is_in_files() const { return use() == BlockUse::kWeights && !pieces.empty() && !has_other_content; }
    std::string device() const;
};

// All buffers, in the order in which they were made. While this exists, no other thread makes or frees one.
class DeviceBuffers {
  public:
    DeviceBuffers();
    DeviceBuffers(const DeviceBuffers &) = delete;
    DeviceBuffers & operator=(const DeviceBuffers &) = delete;
    const std::vector<DeviceBuffer *> & all() const { return buffers_; }

  private:
    std::unique_lock<std::recursive_mutex> lock_;
    std::vector<DeviceBuffer *> buffers_;
};

// Makes memory for a buffer, of the same kind and size, unless it has some (context != nullptr). False: the device has
// no room. Drivers may throw a std::exception for the same reason.
bool renew(DeviceBuffer & buffer);
// Frees the memory of a buffer. The buffer stays, without memory (context == nullptr), until renew().
void release(DeviceBuffer & buffer);

// Waits until the devices have done what they were asked for. Requires: the main loop is held.
void finish_computations();
// Waits for them, too, and gives back what they keep for computing outside of ggml's buffers.
void renew_backends();

// Bytes in buffers, by the name of their device. Requires: nothing is parked.
struct DeviceBytes {
    std::string device;
    std::uint64_t weights = 0;
    std::uint64_t state = 0;
    std::uint64_t scratch = 0;
    std::uint64_t beside = 0;  // what the backend keeps outside of buffers, as far as is known (vulkan_memory.h)
    std::uint64_t total() const { return weights + state + scratch + beside; }
};
std::vector<DeviceBytes> bytes_on_devices();

// The memory of devices with buffers of ours, by their drivers' account, whoever has taken the rest.
struct RoomOnDevice {
    std::string device;
    std::uint64_t free = 0;
    std::uint64_t total = 0;
};
std::vector<RoomOnDevice> room_on_devices();

}  // namespace minerva::engine
