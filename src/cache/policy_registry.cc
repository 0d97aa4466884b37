// The one list of policies. A new policy takes a file beside this one, a factory in eviction_policy.h and a row here.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "minerva/cache/eviction_policy.h"

namespace minerva {
namespace {

struct Registration {
  std::string_view name;
  std::unique_ptr<EvictionPolicy> (*make)();
};

constexpr std::array kPolicies = {
    Registration{"lru", make_lru_policy},       Registration{"lfu", make_lfu_policy},
    Registration{"fifo", make_fifo_policy},     Registration{"gdsf", make_gdsf_policy},
    Registration{"hazard", make_hazard_policy},
};

}  // namespace

Result<std::unique_ptr<EvictionPolicy>> make_policy(std::string_view name) {
  for (const Registration& policy : kPolicies) {
    if (policy.name == name) return policy.make();
  }
  return fail(ErrorCode::kInvalidArgument, fmt::format("there is no eviction policy \"{}\"; choose one of: {}", name,
                                                       fmt::join(policy_names(), ", ")));
}

std::vector<std::string> policy_names() {
  std::vector<std::string> names;
  for (const Registration& policy : kPolicies) names.emplace_back(policy.name);
  return names;
}

}  // namespace minerva
