#include "load_without_memory.h"

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace minerva::engine {
namespace {

// The first error that llama.cpp logs is the cause. Later errors only say what failed because of it.
std::string first_error;  // NOLINT: llama.cpp's log callback has no better place

// "llama_model_load: error loading model: tensor ..." -> "tensor ...", on one line.
std::string reason(const std::string & fallback) {
    std::string text = first_error.empty() ? fallback : first_error;
    for (const std::string prefix : {"gguf_init_from_file: ", "gguf_init_from_file_ptr: ", "gguf_init_from_reader: ",
                                     "llama_model_load: ", "error loading model: ", "llama_init_from_model: "}) {
        if (text.rfind(prefix, 0) == 0) {
            text.erase(0, prefix.size());
        }
    }
    std::replace_if(text.begin(), text.end(), [](unsigned char c) { return c < ' '; }, ' ');
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

}  // namespace

void keep_first_error(ggml_log_level level, const char * text, void * /*user_data*/) {
    if (level < GGML_LOG_LEVEL_WARN) {
        return;
    }
    std::fputs(text, stderr);
    if (level == GGML_LOG_LEVEL_ERROR && first_error.empty()) {
        first_error = text;
    }
}

Loaded load_without_memory(const std::string & path, llama_model_params model_params,
                           const llama_context_params & context_params) {
    model_params.no_alloc = true;
    model_params.load_mode = LLAMA_LOAD_MODE_NONE;
    Loaded loaded;
    loaded.model.reset(llama_model_load_from_file(path.c_str(), model_params));
    if (!loaded.model) {
        throw std::runtime_error(reason("llama.cpp cannot load it"));
    }
    loaded.context.reset(llama_init_from_model(loaded.model.get(), context_params));
    if (!loaded.context) {
        throw std::runtime_error(reason("llama.cpp cannot make a context with these arguments"));
    }
    return loaded;
}

std::string metadata(const llama_model * model, const std::string & key) {
    char value[512] = "";
    const int length = llama_model_meta_val_str(model, key.c_str(), value, sizeof(value));
    return length < 0 ? "" : value;
}

std::vector<std::string> parts_of(const llama_model * model, const std::string & path) {
    const std::string count = metadata(model, "split.count");
    const int parts = count.empty() ? 1 : std::atoi(count.c_str());
    char prefix[PATH_MAX];
    if (parts <= 1 || llama_split_prefix(prefix, sizeof(prefix), path.c_str(), 0, parts) <= 0) {
        return {path};
    }
    std::vector<std::string> paths;
    for (int i = 0; i < parts; ++i) {
        char part[PATH_MAX];
        llama_split_path(part, sizeof(part), prefix, i, parts);
        paths.emplace_back(part);
    }
    return paths;
}

}  // namespace minerva::engine
