// A driver of Vulkan for tests: Mesa's lavapipe, but for the faults that a test asks for.
//
// The file "faults" beside this library has a word, or a word and a number, on each line. It may change at any time:
//   room BYTES     all allocations of a process together take no more than this: others are refused
//   budget BYTES   VK_EXT_memory_budget says that a process may have so much
//   lost           the device is lost
//   hang           making an instance never ends
//   no-16-bit      devices lack the 16-bit storage that ggml needs
//
// A test copies this library into a folder of its own and writes a manifest beside it, which VK_DRIVER_FILES names.
// Interface: https://github.com/KhronosGroup/Vulkan-Loader, docs/LoaderDriverInterface.md. The few types of Vulkan that
// are looked into are here by their layout, so that tests are built without Vulkan's headers.
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace {

using Function = void (*)();
using Result = std::int32_t;
constexpr Result kSuccess = 0;
constexpr Result kIncomplete = 5;
constexpr Result kOutOfDeviceMemory = -2;
constexpr Result kDeviceLost = -4;

struct Structure {
  std::uint32_t type;
  Structure* next;
};
struct AllocateInfo : Structure {
  std::uint64_t bytes;
  std::uint32_t memory_type;
};
struct SixteenBitFeatures
    : Structure {  // as far as it matters; VkPhysicalDeviceVulkan11Features begins in the same way
  std::uint32_t storage_buffer;
};
struct MemoryBudget : Structure {
  std::array<std::uint64_t, 16> budget;
  std::array<std::uint64_t, 16> usage;
};
struct ExtensionProperties {
  std::array<char, 256> name;
  std::uint32_t version;
};
constexpr std::uint32_t kVulkan11Features = 49;
constexpr std::uint32_t kSixteenBitFeatures = 1000083000;
constexpr std::uint32_t kMemoryBudget = 1000237000;
constexpr const char* kMemoryBudgetName = "VK_EXT_memory_budget";

// The number behind the word in the file of faults; 0 if there is none. Nothing if the word is not there.
std::optional<std::uint64_t> fault(const std::string& wanted) {
  Dl_info self{};
  if (dladdr(reinterpret_cast<const void*>(&fault), &self) == 0) return std::nullopt;
  const std::string library = self.dli_fname;
  std::ifstream file(library.substr(0, library.rfind('/') + 1) + "faults");
  for (std::string line; std::getline(file, line);) {
    const std::size_t space = line.find(' ');
    if (line.substr(0, space) == wanted) return space == std::string::npos ? 0 : std::stoull(line.substr(space));
  }
  return std::nullopt;
}

struct Allocations {
  std::mutex mutex;
  std::map<std::uint64_t, std::uint64_t> bytes;  // by the handle
  std::uint64_t sum = 0;
};
Allocations& allocations() {
  static Allocations& all = *new Allocations;  // never destroyed: engines free memory from static destructors
  return all;
}

void* lavapipe() {
  static void* const library = dlopen("libvulkan_lvp.so", RTLD_NOW | RTLD_LOCAL);
  return library;
}
template <typename Fn>
Fn exported(const char* name) {
  return reinterpret_cast<Fn>(dlsym(lavapipe(), name));
}

// lavapipe's functions that ours call.
Result (*create_instance)(const void*, const void*, void*);
Function (*get_device_proc)(void*, const char*);
Result (*allocate_memory)(void*, const AllocateInfo*, const void*, std::uint64_t*);
void (*free_memory)(void*, std::uint64_t, const void*);
Result (*queue_submit)(void*, std::uint32_t, const void*, std::uint64_t);
Result (*fence_status)(void*, std::uint64_t);
Result (*wait_for_fences)(void*, std::uint32_t, const std::uint64_t*, std::uint32_t, std::uint64_t);
void (*features)(void*, Structure*);
void (*memory_properties)(void*, Structure*);
Result (*extensions)(void*, const char*, std::uint32_t*, ExtensionProperties*);

Result our_create_instance(const void* info, const void* allocator, void* instance) {
  while (fault("hang")) pause();
  return create_instance(info, allocator, instance);
}

Result our_allocate_memory(void* device, const AllocateInfo* info, const void* allocator, std::uint64_t* memory) {
  const std::lock_guard lock(allocations().mutex);
  const auto room = fault("room");
  if (room && allocations().sum + info->bytes > *room) return kOutOfDeviceMemory;
  const Result result = allocate_memory(device, info, allocator, memory);
  if (result == kSuccess) {
    allocations().bytes[*memory] = info->bytes;
    allocations().sum += info->bytes;
  }
  return result;
}

void our_free_memory(void* device, std::uint64_t memory, const void* allocator) {
  const std::lock_guard lock(allocations().mutex);
  if (const auto found = allocations().bytes.find(memory); found != allocations().bytes.end()) {
    allocations().sum -= found->second;
    allocations().bytes.erase(found);
  }
  free_memory(device, memory, allocator);
}

Result our_queue_submit(void* queue, std::uint32_t count, const void* submits, std::uint64_t fence) {
  return fault("lost") ? kDeviceLost : queue_submit(queue, count, submits, fence);
}
Result our_fence_status(void* device, std::uint64_t fence) {
  return fault("lost") ? kDeviceLost : fence_status(device, fence);
}
Result our_wait_for_fences(void* device, std::uint32_t count, const std::uint64_t* fences, std::uint32_t all,
                           std::uint64_t time) {
  return fault("lost") ? kDeviceLost : wait_for_fences(device, count, fences, all, time);
}

void our_features(void* device, Structure* into) {
  features(device, into);
  if (!fault("no-16-bit")) return;
  for (Structure* part = into; part != nullptr; part = part->next) {
    if (part->type == kVulkan11Features || part->type == kSixteenBitFeatures) {
      static_cast<SixteenBitFeatures*>(part)->storage_buffer = 0;
    }
  }
}

void our_memory_properties(void* device, Structure* into) {
  memory_properties(device, into);
  const auto budget = fault("budget");
  for (Structure* part = into; budget && part != nullptr; part = part->next) {
    if (part->type != kMemoryBudget) continue;
    const std::lock_guard lock(allocations().mutex);
    static_cast<MemoryBudget*>(part)->budget.fill(*budget);
    static_cast<MemoryBudget*>(part)->usage.fill(allocations().sum);
  }
}

Result our_extensions(void* device, const char* layer, std::uint32_t* count, ExtensionProperties* into) {
  if (layer != nullptr || !fault("budget")) return extensions(device, layer, count, into);
  std::uint32_t own = 0;
  extensions(device, nullptr, &own, nullptr);
  std::vector<ExtensionProperties> all(own + 1);
  extensions(device, nullptr, &own, all.data());
  ExtensionProperties more{};
  std::strcpy(more.name.data(), kMemoryBudgetName);
  more.version = 1;
  all[own] = more;
  const std::uint32_t room = into == nullptr ? own + 1 : std::min(*count, own + 1);
  if (into != nullptr) std::copy_n(all.begin(), room, into);
  *count = room;
  return room < own + 1 ? kIncomplete : kSuccess;
}

// Ours in the place of `function`, which has this name.
template <typename Fn>
Function instead(const char* name, const char* wanted, Function function, Fn& theirs, Fn ours) {
  if (function == nullptr || std::strcmp(name, wanted) != 0) return nullptr;
  theirs = reinterpret_cast<Fn>(function);
  return reinterpret_cast<Function>(ours);
}

Function our_get_device_proc(void* device, const char* name);

Function replaced(const char* name, Function function) {
  Function ours = nullptr;
  const auto attempt = [&](const char* wanted, auto& theirs, auto mine) {
    if (ours == nullptr) ours = instead(name, wanted, function, theirs, mine);
  };
  attempt("vkCreateInstance", create_instance, our_create_instance);
  attempt("vkGetDeviceProcAddr", get_device_proc, our_get_device_proc);
  attempt("vkAllocateMemory", allocate_memory, our_allocate_memory);
  attempt("vkFreeMemory", free_memory, our_free_memory);
  attempt("vkQueueSubmit", queue_submit, our_queue_submit);
  attempt("vkGetFenceStatus", fence_status, our_fence_status);
  attempt("vkWaitForFences", wait_for_fences, our_wait_for_fences);
  for (const char* const wanted : {"vkGetPhysicalDeviceFeatures2", "vkGetPhysicalDeviceFeatures2KHR"}) {
    attempt(wanted, features, our_features);
  }
  for (const char* const wanted : {"vkGetPhysicalDeviceMemoryProperties2", "vkGetPhysicalDeviceMemoryProperties2KHR"}) {
    attempt(wanted, memory_properties, our_memory_properties);
  }
  attempt("vkEnumerateDeviceExtensionProperties", extensions, our_extensions);
  return ours == nullptr ? function : ours;
}

Function our_get_device_proc(void* device, const char* name) { return replaced(name, get_device_proc(device, name)); }

}  // namespace

extern "C" {

__attribute__((visibility("default"))) Result vk_icdNegotiateLoaderICDInterfaceVersion(std::uint32_t* version) {
  return exported<Result (*)(std::uint32_t*)>("vk_icdNegotiateLoaderICDInterfaceVersion")(version);
}
__attribute__((visibility("default"))) Function vk_icdGetInstanceProcAddr(void* instance, const char* name) {
  return replaced(name, exported<Function (*)(void*, const char*)>("vk_icdGetInstanceProcAddr")(instance, name));
}
__attribute__((visibility("default"))) Function vk_icdGetPhysicalDeviceProcAddr(void* instance, const char* name) {
  return replaced(name, exported<Function (*)(void*, const char*)>("vk_icdGetPhysicalDeviceProcAddr")(instance, name));
}

}  // extern "C"
