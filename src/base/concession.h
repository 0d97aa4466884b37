// Concession: a setting of a model that gave way, so that the model fits the memory budget.
//
// Plain value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace minerva {

struct Concession {
  using Value = std::variant<std::uint64_t, std::string_view>;
  std::string_view setting;  // "context", "parallel", "weights", "context_checkpoints", "prompt_cache_mib"
  Value from;                // what it would have been
  Value to;                  // what it is

  bool operator==(const Concession&) const = default;
};

// "context 5120 instead of 8192, weights mapped instead of repacked"; empty if nothing gave way.
std::string concessions_text(const std::vector<Concession>& list);

}  // namespace minerva
