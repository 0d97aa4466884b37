// Makes a model and its context as llama.cpp does, but without their memory: it reads no weights, and allocates nothing
// for the weights, the KV cache or the computation. Only the shapes are there.
//
// Threading: one thread.
#pragma once

#include <string>
#include <vector>

#include "ggml.h"
#include "llama-cpp.h"
#include "llama.h"

namespace minerva::engine {

struct Loaded {
    llama_model_ptr model;
    llama_context_ptr context;
};

// Throws std::runtime_error with the first error that llama.cpp logged. Requires: keep_first_error() gets llama.cpp's
// log.
Loaded load_without_memory(const std::string & path, llama_model_params model_params,
                           const llama_context_params & context_params);

// For llama_log_set(): warnings and errors go to stderr.
void keep_first_error(ggml_log_level level, const char * text, void * user_data);

// The value as text; "" if the file does not have it.
std::string metadata(const llama_model * model, const std::string & key);

// The paths of all parts of the model whose first part is `path`.
std::vector<std::string> parts_of(const llama_model * model, const std::string & path);

}  // namespace minerva::engine
