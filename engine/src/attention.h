// The engine's own attention, in place of ggml's (attention.cc): what others need to know of it.
#pragma once

#include <cstddef>

namespace minerva::engine {

// What each thread that computes it takes, in bytes.
inline constexpr std::size_t kAttentionWorkspace = std::size_t{1} << 20;

}  // namespace minerva::engine
