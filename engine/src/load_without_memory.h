// A model and its context as llama.cpp makes them, without the memory they would take: the weights are not read, and
// nothing is allocated for them, for the KV cache or for computing. What is there is their shape.
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

// Throws std::runtime_error with the first error that llama.cpp logged; that is, that keep_first_error() saw.
Loaded load_without_memory(const std::string & path, llama_model_params model_params,
                           const llama_context_params & context_params);

// For llama_log_set(): warnings and errors go to stderr.
void keep_first_error(ggml_log_level level, const char * text, void * user_data);

// "" if the file does not say.
std::string metadata(const llama_model * model, const std::string & key);

// All parts of a model whose first one is `path`.
std::vector<std::string> parts_of(const llama_model * model, const std::string & path);

}  // namespace minerva::engine
