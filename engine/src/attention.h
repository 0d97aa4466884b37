// The engine's own attention, in place of ggml's (attention.cc): the memory that it takes, for the prediction.
#pragma once

#include <cstddef>

namespace minerva::engine {

// What each thread that computes attention takes, in bytes.
inline constexpr std::size_t kAttentionWorkspace = std::size_t{1} << 20;

}  // namespace minerva::engine
