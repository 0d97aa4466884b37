// KeptConversations: the store of conversations under the config: its budget, its age, and which tenants there are.
//
// Where API keys are needed, each key is a tenant, and its conversations go when the key does; elsewhere there is one
// tenant.
// Threading: the loop's thread. Ownership: what the constructor gets outlives it.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/config.h"
#include "conversations/store.h"
#include "conversations/tenants.h"
#include "host/model_host.h"
#include "minerva/context/types.h"

namespace minerva {

struct Route;

class KeptConversations {
 public:
  KeptConversations(const Config& config, conversations::Store& store, ModelHost& host)
      : config_(config), store_(store), host_(host) {}

  // Takes the config as it is now. Reads and writes the secret of the tenants' names, so it blocks.
  void apply();
  // The tenant that an engine is told; nothing where there is only one.
  std::optional<std::string> tenant_of(const Caller& caller) const;
  // Removes what matches; an empty model or tenant matches all. Engines that have it in memory do not write it again.
  // Returns how much that is. `then`: as Store::clear() takes it.
  conversations::SegmentTable::Sum clear(const ModelId& model, const std::string& tenant,
                                         std::function<void(std::string why_not)> then = nullptr);
  // Removes what the caller may remove: an administrator everything, others their own.
  void clear(const Caller& caller);
  const conversations::Store& store() const { return store_; }

 private:
  std::set<std::string> tenants() const;

  const Config& config_;
  conversations::Store& store_;
  ModelHost& host_;
  conversations::Tenants names_ = conversations::Tenants::fresh();
  bool names_are_kept_ = false;
};

// Adds the rows of the route table: GET /v1/conversations tells what is kept, DELETE removes it. Where keys are needed,
// a key that is not among admin_keys sees and removes its own only.
void add_conversation_routes(std::vector<Route>& table);

}  // namespace minerva
