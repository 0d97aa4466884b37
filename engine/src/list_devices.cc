#include "list_devices.h"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>

#include "ggml-backend.h"
#include "llama.h"
#include "load_without_memory.h"

namespace minerva::engine {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char * kBackend =
#if defined(GGML_USE_VULKAN)
    "Vulkan";
#elif defined(GGML_USE_CUDA)
    "CUDA";
#else
    "";
#endif

Json describe(ggml_backend_dev_t device) {
    ggml_backend_dev_props props{};
    ggml_backend_dev_get_props(device, &props);
    return {{"name", ggml_backend_dev_name(device)},
            {"description", ggml_backend_dev_description(device)},
            {"type", props.type == GGML_BACKEND_DEVICE_TYPE_IGPU ? "igpu" : "gpu"},
            {"free_bytes", props.memory_free},
            {"total_bytes", props.memory_total}};
}

// Whether models can compute there. A driver may lack what the backend needs, which shows only once the backend is
// made.
bool is_usable(ggml_backend_dev_t device) {
    std::string why = "its driver does not start";
    try {
        if (ggml_backend_t const backend = ggml_backend_dev_init(device, nullptr)) {
            ggml_backend_free(backend);
            return true;
        }
    } catch (const std::exception & e) {
        why = e.what();
    }
    std::fprintf(stderr, "minerva-engine: E %s (%s) cannot be used: %s\n", ggml_backend_dev_name(device),
                 ggml_backend_dev_description(device), why.c_str());
    return false;
}

}  // namespace

int list_devices() {
    llama_log_set(keep_first_error, nullptr);
    try {
        Json devices = Json::array();
        for (std::size_t i = 0; i < ggml_backend_dev_count(); ++i) {
            ggml_backend_dev_t const device = ggml_backend_dev_get(i);
            const auto type = ggml_backend_dev_type(device);
            if ((type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU) && is_usable(device)) {
                devices.push_back(describe(device));
            }
        }
        const Json answer = {{"backend", kBackend}, {"devices", devices}};
        std::printf("%s\n", answer.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
        // An orderly exit of drivers is of no use, and crashes where one has failed.
        _exit(std::fflush(stdout) == 0 ? 0 : 1);
    } catch (const std::exception & e) {
        std::fprintf(stderr, "minerva-engine: E %s\n", e.what());
        return 1;
    }
}

}  // namespace minerva::engine
