#include "vulkan_memory.h"

#ifdef GGML_USE_VULKAN

#include <vulkan/vulkan_core.h>

#include <cstring>
#include <mutex>

extern "C" {
// The linker's names for the function that it wraps. ggml gets all of Vulkan's functions from it.
PFN_vkVoidFunction __real_vkGetInstanceProcAddr(VkInstance instance, const char * name);
PFN_vkVoidFunction __wrap_vkGetInstanceProcAddr(VkInstance instance, const char * name);
}

namespace minerva::engine {
namespace {

struct Device {
    VkPhysicalDeviceMemoryProperties properties{};
    std::string name;  // ggml's; empty: not known yet
    std::map<VkDeviceMemory, VkDeviceSize> allocations;
    VkDeviceSize taken = 0;
};

struct Account {
    std::mutex mutex;
    std::map<VkDevice, Device> devices;
};

// Never destroyed: ggml frees memory from static destructors.
Account & account() {
    static Account & instance = *new Account;
    return instance;
}

thread_local VkDevice last_device = nullptr;

PFN_vkGetPhysicalDeviceMemoryProperties memory_properties;
PFN_vkCreateDevice create_device;
PFN_vkDestroyDevice destroy_device;
PFN_vkAllocateMemory allocate_memory;
PFN_vkFreeMemory free_memory;

VKAPI_ATTR VkResult VKAPI_CALL note_device(VkPhysicalDevice physical, const VkDeviceCreateInfo * info,
                                           const VkAllocationCallbacks * allocator, VkDevice * device) {
    const VkResult result = create_device(physical, info, allocator, device);
    if (result == VK_SUCCESS) {
        const std::lock_guard<std::mutex> lock(account().mutex);
        memory_properties(physical, &account().devices[*device].properties);
    }
    return result;
}

VKAPI_ATTR void VKAPI_CALL forget_device(VkDevice device, const VkAllocationCallbacks * allocator) {
    {
        const std::lock_guard<std::mutex> lock(account().mutex);
        account().devices.erase(device);
    }
    destroy_device(device, allocator);
}

VKAPI_ATTR VkResult VKAPI_CALL note_memory(VkDevice device, const VkMemoryAllocateInfo * info,
                                           const VkAllocationCallbacks * allocator, VkDeviceMemory * memory) {
    const VkResult result = allocate_memory(device, info, allocator, memory);
    last_device = device;
    const std::lock_guard<std::mutex> lock(account().mutex);
    Device & where = account().devices[device];
    const std::uint32_t heap = where.properties.memoryTypes[info->memoryTypeIndex].heapIndex;
    const bool on_device = (where.properties.memoryHeaps[heap].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
    if (result == VK_SUCCESS && on_device) {
        where.allocations[*memory] = info->allocationSize;
        where.taken += info->allocationSize;
    }
    return result;
}

VKAPI_ATTR void VKAPI_CALL forget_memory(VkDevice device, VkDeviceMemory memory,
                                         const VkAllocationCallbacks * allocator) {
    {
        const std::lock_guard<std::mutex> lock(account().mutex);
        Device & where = account().devices[device];
        if (const auto found = where.allocations.find(memory); found != where.allocations.end()) {
            where.taken -= found->second;
            where.allocations.erase(found);
        }
    }
    free_memory(device, memory, allocator);
}

// Puts `ours` in the place of `function`, if it has this name.
template <typename Fn>
void replace(const char * name, const char * wanted, PFN_vkVoidFunction & function, Fn & theirs, Fn ours) {
    if (function != nullptr && std::strcmp(name, wanted) == 0) {
        theirs = reinterpret_cast<Fn>(function);
        function = reinterpret_cast<PFN_vkVoidFunction>(ours);
    }
}

}  // namespace

void note_vulkan_device(const std::string & name) {
    const std::lock_guard<std::mutex> lock(account().mutex);
    if (const auto found = account().devices.find(last_device); found != account().devices.end()) {
        found->second.name = name;
    }
}

std::map<std::string, std::uint64_t> vulkan_memory() {
    const std::lock_guard<std::mutex> lock(account().mutex);
    std::map<std::string, std::uint64_t> result;
    for (const auto & [handle, device] : account().devices) {
        if (!device.name.empty()) {
            result[device.name] += device.taken;
        }
    }
    return result;
}

}  // namespace minerva::engine

PFN_vkVoidFunction __wrap_vkGetInstanceProcAddr(VkInstance instance, const char * name) {
    using namespace minerva::engine;  // NOLINT(google-build-using-namespace)
    PFN_vkVoidFunction function = __real_vkGetInstanceProcAddr(instance, name);
    if (instance != nullptr && memory_properties == nullptr) {
        memory_properties = reinterpret_cast<PFN_vkGetPhysicalDeviceMemoryProperties>(
            __real_vkGetInstanceProcAddr(instance, "vkGetPhysicalDeviceMemoryProperties"));
    }
    replace(name, "vkCreateDevice", function, create_device, note_device);
    replace(name, "vkDestroyDevice", function, destroy_device, forget_device);
    replace(name, "vkAllocateMemory", function, allocate_memory, note_memory);
    replace(name, "vkFreeMemory", function, free_memory, forget_memory);
    return function;
}

#else

namespace minerva::engine {

void note_vulkan_device(const std::string & /*name*/) {}

std::map<std::string, std::uint64_t> vulkan_memory() { return {}; }

}  // namespace minerva::engine

#endif
