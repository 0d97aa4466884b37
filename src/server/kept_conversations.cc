#include "server/kept_conversations.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "server/access.h"
#include "server/exchange.h"
#include "server/routes.h"
#include "server/service.h"

namespace minerva {
namespace {

using nlohmann::ordered_json;

// How long a caller waits to hear that files are gone.
constexpr auto kRemovalWait = std::chrono::seconds(10);

// The tenant whose conversations the caller may see; "": those of all. With ?own=true an administrator means its own.
Result<std::string> tenant_for(const Service& service, const Exchange& x) {
  const Result<bool> own = x.query.flag("own", false);
  if (!own) return fail(own.error());
  const std::optional<std::string> tenant = service.conversations.tenant_of(x.caller);
  const bool all = !tenant || (is_admin(service.config, x.caller) && !*own);
  return all ? std::string() : *tenant;
}

// The model that the query names; "": all. A model that the catalog has lost can still be found here.
io::Task<ModelId> model_in_query(Service& service, const Exchange& x) {
  const std::string* const name = x.query.find("model");
  if (name == nullptr || name->empty()) co_return ModelId();
  const Result<ModelId> id = co_await service.resolve(*name);
  co_return id ? *id : ModelId(*name);
}

ordered_json sum_json(const conversations::SegmentTable::Sum& sum) {
  return {{"bytes", sum.bytes.count()}, {"segments", sum.segments}};
}

io::Task<void> show_conversations(Service& service, Exchange& x, ModelId /*id*/) {
  const Result<std::string> tenant = tenant_for(service, x);
  if (!tenant) co_return co_await x.error(tenant.error());
  const ModelId only = co_await model_in_query(service, x);
  const conversations::Store& store = service.conversations.store();
  conversations::SegmentTable::Sum total;
  ordered_json data = ordered_json::array();
  for (const auto& [model, sum] : store.sums(*tenant)) {
    if (!only.empty() && model != only) continue;
    total.bytes += sum.bytes;
    total.segments += sum.segments;
    ordered_json row = {{"model", model}};
    row.update(sum_json(sum));
    row["last_used"] = std::chrono::duration_cast<std::chrono::seconds>(sum.used.time_since_epoch()).count();
    data.push_back(std::move(row));
  }
  ordered_json answer = {{"object", "list"}, {"enabled", store.enabled()}};
  answer.update(sum_json(total));
  if (tenant->empty()) {
    const conversations::Store::Counts& counts = store.counts();
    answer["budget_bytes"] = store.budget().count();
    answer["restored_tokens"] = counts.restored_tokens;
    answer["saved_seconds"] = std::chrono::duration<double>(counts.time_saved).count();
    if (!store.failure().empty()) answer["failure"] = store.failure();
  }
  answer["data"] = std::move(data);
  co_await x.json(200, answer.dump());
}

// Shared with the removal, which may end when nobody waits any more.
struct Removal {
  explicit Removal(io::Loop& loop) : ended(loop) {}
  io::Signal ended;
  std::optional<std::string> why_not;  // set when it has ended
};

io::Task<void> clear_conversations(Service& service, Exchange& x, ModelId /*id*/) {
  const Result<std::string> tenant = tenant_for(service, x);
  if (!tenant) co_return co_await x.error(tenant.error());
  const ModelId model = co_await model_in_query(service, x);
  const auto removal = std::make_shared<Removal>(service.loop);
  const auto removed = service.conversations.clear(model, *tenant, [removal](std::string why_not) {
    removal->why_not = std::move(why_not);
    removal->ended.notify();
  });
  if (!removal->why_not) co_await removal->ended.wait_until(Clock::now() + kRemovalWait);
  if (!model.empty() && removed.segments == 0 && service.catalog.find(model) == nullptr) {
    co_return co_await x.error({ErrorCode::kModelNotFound,
                                fmt::format("There is no model \"{}\", and nothing is kept of one.", model), "model"});
  }
  if (!removal->why_not.value_or("").empty()) {
    co_return co_await x.error(
        {ErrorCode::kIo, fmt::format("Some conversations cannot be removed from the disk, and are still kept: {}. "
                                     "Make the folder \"conversations\" in the state folder writable, and try again.",
                                     *removal->why_not)});
  }
  log::info("{} of conversations were removed by {}", format_bytes(removed.bytes), x.request_id);
  ordered_json answer = {{"object", "conversations.removed"}};
  answer.update(sum_json(removed));
  answer["message"] =
      service.conversations.store().is_read()
          ? fmt::format("{} of conversations are removed from the disk. Models that are in memory still have theirs.",
                        format_bytes(removed.bytes))
          : "The server has just started. The conversations are removed as soon as it has seen what there is.";
  co_await x.json(200, answer.dump());
}

}  // namespace

void KeptConversations::apply() {
  if (!config_.conversations) {
    conversations::Tenants::forget(config_.state_dir);
    names_are_kept_ = false;
    return store_.apply(std::nullopt);
  }
  if (!names_are_kept_ && !config_.accepted_keys.empty()) {
    Result<conversations::Tenants> kept = conversations::Tenants::open(config_.state_dir);
    if (kept) {
      names_ = *std::move(kept);
      names_are_kept_ = true;
    } else {
      log::warn("conversations end with this process: {}", kept.error().message);
    }
  }
  conversations::Store::Settings settings;
  settings.budget = [share = config_.conversations_disk](Bytes room) { return share_of(share, room); };
  settings.max_age = config_.conversations_max_age;
  settings.tenants = tenants();
  store_.apply(std::move(settings));
}

conversations::SegmentTable::Sum KeptConversations::clear(const ModelId& model, const std::string& tenant,
                                                          std::function<void(std::string why_not)> then) {
  host_.forget_conversations(model, tenant);
  return store_.clear(model, tenant, std::move(then));
}

void KeptConversations::clear(const Caller& caller) {
  const std::optional<std::string> tenant = tenant_of(caller);
  clear("", !tenant || is_admin(config_, caller) ? "" : *tenant);
}

std::set<std::string> KeptConversations::tenants() const {
  if (config_.accepted_keys.empty()) return {protocol::kOnlyTenant};
  std::set<std::string> names;
  for (const UserId user : config_.accepted_keys.users()) names.insert(names_.name(user));
  return names;
}

std::optional<std::string> KeptConversations::tenant_of(const Caller& caller) const {
  if (config_.accepted_keys.empty()) return std::nullopt;
  return names_.name(caller.user);
}

void add_conversation_routes(std::vector<Route>& table) {
  table.push_back({"GET", "/v1/conversations", "what is kept of conversations on disk", show_conversations});
  table.push_back({"DELETE", "/v1/conversations", "remove it: ?model= of one model", clear_conversations});
}

}  // namespace minerva
