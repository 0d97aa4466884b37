#include "slots.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "main_loop.h"
#include "protocol/conversations.h"
#include "server-common.h"

// Where a stream answers several prompts, llama.cpp sends "data: null" when each but the first begins, which clients
// cannot read.
static std::string event_of(const json & data) { return data.is_null() ? std::string() : format_oai_sse(data); }
#define format_oai_sse event_of
// All of llama.cpp's slots. What this defines comes in place of the same in the library server-context.
#include "server-context.cpp"  // NOLINT(bugprone-suspicious-include)

extern "C" {
// The linker's names for server_context::load_model().
bool __real__ZN14server_context10load_modelER13common_params(server_context * context, common_params & params);
bool __wrap__ZN14server_context10load_modelER13common_params(server_context * context, common_params & params);
}

namespace minerva::engine {
namespace {

constexpr std::size_t kFewestTokens = 32;

// Who has read the prompt of a slot.
struct Reader {
    std::string tenant;  // as reader_of() says; empty: nobody may find it again
    bool kept = false;   // whether it may go to files
    bool claimed = false;
    std::size_t unchanged = 0;  // RestingSlot::unchanged
    std::int64_t begun = ggml_time_us();
};

server_context_impl * impl = nullptr;
std::vector<Reader> readers;                                               // by the id of the slot
std::map<const server_prompt_cache_state *, std::string> tenants_of_host;  // of the states in the host prompt cache
std::string why_not;

llama_memory_t memory() { return llama_get_memory(impl->ctx_tgt); }

bool reads_a_prompt(const server_task & task) {
    return task.type == SERVER_TASK_TYPE_COMPLETION || task.type == SERVER_TASK_TYPE_INFILL;
}

bool takes_a_slot(const server_task & task) { return reads_a_prompt(task) || task.need_embd(); }

// Only prompts of one tenant are in sight while this exists.
class View {
  public:
    explicit View(std::string tenant) : tenant_(std::move(tenant)) {
        for (server_slot & slot : impl->slots) {
            if (!slot.is_processing() && !slot.prompt.tokens.empty() && readers[slot.id].tenant != tenant_) {
                slots_.push_back({&slot, std::exchange(slot.prompt, {}), llama_memory_seq_pos_max(memory(), slot.id)});
            }
        }
        if (impl->prompt_cache) {
            hide_host_states(*impl->prompt_cache);
        }
    }
    View(const View &) = delete;
    View & operator=(const View &) = delete;
    ~View() {
        for (const server_slot & slot : impl->slots) {
            Reader & reader = readers[slot.id];
            if (!slot.is_processing() && !slot.prompt.tokens.empty() && reader.tenant != tenant_) {
                // Filled from the host prompt cache for a request that did not begin.
                reader = {tenant_, false, false, 0};
            }
        }
        for (HiddenSlot & hidden : slots_) {
            server_slot & slot = *hidden.slot;
            // Otherwise the slot was taken, or its memory given away.
            if (!slot.is_processing() && slot.prompt.tokens.empty() &&
                llama_memory_seq_pos_max(memory(), slot.id) == hidden.last) {
                slot.prompt = std::move(hidden.prompt);
            }
        }
        if (impl->prompt_cache) {
            show_host_states(*impl->prompt_cache);
        }
    }

  private:
    struct HiddenSlot {
        server_slot * slot;
        server_prompt prompt;
        llama_pos last;
    };

    void hide_host_states(server_prompt_cache & cache) {
        for (auto state = cache.states.begin(); state != cache.states.end();) {
            const auto next = std::next(state);
            if (tenants_of_host[&*state] != tenant_) {
                host_.splice(host_.end(), cache.states, state);
            }
            state = next;
        }
        // The cache counts only what it sees. So others may keep half of it at most, and the rest is this tenant's.
        limit_ = cache.limit_size;
        std::size_t bytes = 0;
        for (const server_prompt_cache_state & state : host_) {
            bytes += state.size();
        }
        while (limit_ > 0 && bytes > limit_ / 2) {
            bytes -= host_.front().size();
            host_.pop_front();
        }
        cache.limit_size = limit_ == 0 ? 0 : limit_ - bytes;
    }
    void show_host_states(server_prompt_cache & cache) {
        std::map<const server_prompt_cache_state *, std::string> tenants;
        for (const server_prompt_cache_state & state : cache.states) {
            tenants[&state] = tenant_;
        }
        for (const server_prompt_cache_state & state : host_) {
            tenants[&state] = tenants_of_host[&state];
        }
        tenants_of_host = std::move(tenants);
        cache.states.splice(cache.states.begin(), host_);
        cache.limit_size = limit_;
    }

    std::string tenant_;
    std::vector<HiddenSlot> slots_;
    std::list<server_prompt_cache_state> host_;
    std::size_t limit_ = 0;
};

server_slot * longest_resting() {
    server_slot * result = nullptr;
    for (server_slot & slot : impl->slots) {
        if (!slot.is_processing() && !readers[slot.id].claimed &&
            (result == nullptr || slot.t_last_used < result->t_last_used)) {
            result = &slot;
        }
    }
    return result;
}

void move_to_host_cache(server_slot & slot) {
    if (!impl->prompt_cache || slot.prompt.tokens.empty() || readers[slot.id].tenant.empty()) {
        return;
    }
    const View view(readers[slot.id].tenant);
    slot.prompt_save(*impl->prompt_cache);
    impl->prompt_cache->update();
}

// A slot of another tenant that is about to be taken: llama.cpp would save what is in it, but will not see it.
void save_what_will_be_taken(const server_task & task, const std::string & tenant) {
    server_slot * const slot = task.id_slot == -1 ? longest_resting() : impl->get_slot_by_id(task.id_slot);
    if (slot == nullptr || slot->is_processing() || readers[slot->id].tenant == tenant) {
        return;
    }
    for (const server_slot & other : impl->slots) {
        if (task.id_slot == -1 && !other.is_processing() && readers[other.id].tenant == tenant &&
            other.prompt.tokens.get_common_prefix(task.tokens) > task.tokens.size() * impl->slot_prompt_similarity) {
            return;  // the task gets this one
        }
    }
    move_to_host_cache(*slot);
}

// What nobody may find again is forgotten as soon as it rests.
void forget_private_prompts() {
    for (server_slot & slot : impl->slots) {
        if (!slot.is_processing() && readers[slot.id].tenant.empty() && !slot.prompt.tokens.empty()) {
            slot.prompt_clear();
        }
    }
}

void note_what_spoils(const server_task & task) {
    if (task.type == SERVER_TASK_TYPE_SET_LORA) {
        why_not = "LoRA scales were changed";
    } else if (task.type == SERVER_TASK_TYPE_SLOT_RESTORE) {
        why_not = "a slot was restored by hand";
    }
}

// The tenant, the LoRA scales that the request chose, and whether its prompt may be shifted: otherwise the same tokens
// leave another state.
std::string reader_of(const server_task & task) {
    const std::string & tenant = task.slot_action.filename;
    std::ostringstream reader;
    reader << (tenant.empty() ? protocol::kOnlyTenant : tenant) << std::hexfloat;
    for (const auto & [adapter, scale] : task.params.lora) {
        reader << '+' << adapter << ':' << scale;
    }
    if (task.params.n_cache_reuse > 0) {
        reader << "+shifted";
    }
    return reader.str();
}

using TakeTask = std::function<bool(server_task &&, bool)>;

// In place of the server's own function, which it calls.
bool take_task(const TakeTask & original, server_task && task, bool yielding) {
    if (yielding) {
        return original(std::move(task), yielding);
    }
    note_what_spoils(task);
    if (!takes_a_slot(task)) {
        return original(std::move(task), yielding);
    }
    const std::string tenant = reader_of(task);
    const bool found_again = task.params.cache_prompt;
    const bool kept = found_again && reads_a_prompt(task) && task.params.lora.empty() && task.params.n_cache_reuse == 0;
    const int id = task.id;
    if (std::any_of(readers.begin(), readers.end(), [&tenant](const Reader & r) { return r.tenant != tenant; })) {
        save_what_will_be_taken(task, tenant);
    }
    const View view(tenant);
    const bool result = original(std::move(task), yielding);
    for (const server_slot & slot : impl->slots) {
        if (slot.task && (slot.task->id == id || slot.task->id_parent == id)) {
            Reader & reader = readers[slot.id];
            reader = {found_again ? tenant : "", kept, false, reader.unchanged};
        }
    }
    return result;
}

void watch(server_context_impl & server) {
    impl = &server;
    readers.assign(server.slots.size(), {protocol::kOnlyTenant});
    if (server.ctx_dft != nullptr || server.spec) {
        why_not = "the model has a draft";
    } else if (server.params_base.ctx_shift) {
        why_not = "contexts are shifted";
    } else if (server.params_base.n_cache_reuse > 0) {
        why_not = "prompts are shifted (--cache-reuse)";
    }
    if (server.params_base.kv_unified && server.slots.size() > 1) {
        // llama.cpp clears what rests when a request begins: also prompts that are out of sight, and a claimed slot.
        server.params_base.cache_idle_slots = false;
        why_not = "slots share their cells (--kv-unified)";
    }
    for (server_slot & slot : server.slots) {
        // The last moment at which it is known how many tokens of the prompt were not read again.
        slot.callback_on_reset = [original = std::move(slot.callback_on_reset)](const server_slot & done) {
            std::size_t & unchanged = readers[done.id].unchanged;
            unchanged = std::min<std::size_t>(unchanged, std::max<std::int64_t>(done.stats.n_prompt_cached, 0));
            original(done);
        };
    }
    server.queue_tasks.callback_new_task = [original = std::move(server.queue_tasks.callback_new_task)](
                                               server_task && task, bool yielding) {
        return take_task(original, std::move(task), yielding);
    };
    server.queue_tasks.callback_update_slots = [original = std::move(server.queue_tasks.callback_update_slots)] {
        main_loop_is_between_batches();
        original();
        forget_private_prompts();
    };
}

const llama_tokens & tokens_of(const server_slot & slot) { return slot.prompt.tokens.tokens; }

}  // namespace

// A task of another kind has a file's name there.
void set_tenant(server_task & task, const std::string & tenant) { task.slot_action.filename = tenant; }

Prompt kept_prompt(const server_task & task) {
    const bool kept = reads_a_prompt(task) && task.params.cache_prompt && task.params.lora.empty() &&
                      task.params.n_cache_reuse == 0 && task.tokens.map_idx_to_media.empty();
    return {kept ? task.tokens.tokens : llama_tokens(), task.id_slot};
}

llama_context * slots_context() { return impl == nullptr ? nullptr : impl->ctx_tgt; }

std::string why_nothing_is_kept() { return why_not; }

RestingSlots resting_slots(std::chrono::milliseconds rest) {
    RestingSlots result;
    const std::int64_t latest = ggml_time_us() - std::chrono::microseconds(rest).count();
    for (const server_slot & slot : impl->slots) {
        const Reader & reader = readers[slot.id];
        if (!reader.kept || reader.claimed || reader.tenant.empty() ||
            (!slot.is_processing() && tokens_of(slot).size() < kFewestTokens) ||
            !slot.prompt.tokens.map_idx_to_media.empty()) {
            continue;
        }
        // llama.cpp sends the end of an answer before the slot is idle: who has the answer may ask too early.
        if (slot.is_processing() || slot.t_last_used > latest) {
            result.more_later = rest.count() > 0;
            continue;
        }
        result.slots.push_back({slot.id, slot.t_last_used, reader.begun, reader.tenant, tokens_of(slot),
                                reader.unchanged, &slot.prompt.checkpoints});
    }
    return result;
}

bool still_rests(const RestingSlot & slot) {
    const server_slot & now = impl->slots[static_cast<std::size_t>(slot.id)];
    return why_not.empty() && !now.is_processing() && now.t_last_used == slot.since &&
           readers[static_cast<std::size_t>(slot.id)].tenant == slot.tenant && tokens_of(now) == slot.tokens;
}

void note_not_kept(int id) { readers[static_cast<std::size_t>(id)].kept = false; }

void note_saved(const RestingSlot & slot, std::size_t count) {
    if (still_rests(slot)) {
        readers[static_cast<std::size_t>(slot.id)].unchanged = count;
    }
}

std::size_t best_prefix(const std::string & tenant, const Prompt & prompt) {
    const server_tokens tokens(prompt.tokens, false);
    std::size_t best = 0;
    bool looks_into_host_cache = impl->prompt_cache != nullptr;
    for (const server_slot & slot : impl->slots) {
        const bool possible = prompt.slot == -1 || prompt.slot == slot.id;
        const std::size_t same = possible && !slot.is_processing() && readers[slot.id].tenant == tenant
                                     ? slot.prompt.tokens.get_common_prefix(tokens)
                                     : 0;
        if (same > best) {
            best = same;
            // As in get_available_slot().
            const bool similar =
                static_cast<float>(same) > impl->slot_prompt_similarity * static_cast<float>(tokens.size());
            looks_into_host_cache = impl->prompt_cache && (!similar || same * 2 < slot.prompt.tokens.size());
        }
    }
    if (looks_into_host_cache) {
        for (const server_prompt_cache_state & state : impl->prompt_cache->states) {
            const std::size_t same = state.prompt.tokens.get_common_prefix(tokens);
            // As in server_prompt_cache::load().
            if (tenants_of_host[&state] == tenant && same * 4 >= state.prompt.tokens.size()) {
                best = std::max(best, same);
            }
        }
    }
    return best;
}

// As in get_available_slot().
bool would_be_chosen(const Prompt & prompt, std::size_t same) {
    const float similarity = static_cast<float>(same) / static_cast<float>(prompt.tokens.size());
    return prompt.slot != -1 || impl->slots.size() == 1 ||
           (impl->slot_prompt_similarity > 0 && similarity > impl->slot_prompt_similarity);
}

std::optional<SlotClaim> claim_slot(int id, std::size_t tokens, bool (*saved)(const RestingSlot & slot)) {
    server_slot * const slot = id == -1 ? longest_resting() : impl->get_slot_by_id(id);
    if (slot == nullptr || slot->is_processing() || readers[slot->id].claimed ||
        static_cast<std::size_t>(slot->n_ctx) <= tokens) {
        return std::nullopt;
    }
    Reader & reader = readers[slot->id];
    if (!reader.kept || !saved({slot->id, slot->t_last_used, reader.begun, reader.tenant, tokens_of(*slot), 0,
                                &slot->prompt.checkpoints})) {
        move_to_host_cache(*slot);
    }
    slot->prompt_clear();
    slot->t_last_used = ggml_time_us();
    reader = {protocol::kOnlyTenant, false, true};
    return SlotClaim{slot->id, slot->t_last_used};
}

bool holds(const SlotClaim & claim) {
    const server_slot & slot = impl->slots[static_cast<std::size_t>(claim.slot)];
    return !slot.is_processing() && slot.prompt.tokens.empty() && slot.t_last_used == claim.stamp;
}

void fill(const SlotClaim & claim, const std::string & tenant, const std::vector<llama_token> & tokens,
          std::list<common_prompt_checkpoint> checkpoints) {
    server_slot & slot = impl->slots[static_cast<std::size_t>(claim.slot)];
    slot.prompt.tokens = server_tokens(tokens, impl->mctx != nullptr);
    slot.prompt.checkpoints = std::move(checkpoints);
    slot.lora = impl->params_base.lora_adapters;
    slot.t_last_used = ggml_time_us();
    readers[static_cast<std::size_t>(claim.slot)] = {tenant, true, false, tokens.size()};
}

void give_up(const SlotClaim & claim) {
    if (holds(claim)) {
        impl->slots[static_cast<std::size_t>(claim.slot)].prompt_clear();
        readers[static_cast<std::size_t>(claim.slot)].claimed = false;
    }
}

double microseconds_per_token() {
    constexpr std::uint64_t kEnough = 64;
    const server_metrics::bucket & prompt = impl->metrics.prompt;
    return prompt.count < kEnough ? 0 : static_cast<double>(prompt.time) / static_cast<double>(prompt.count);
}

}  // namespace minerva::engine

bool __wrap__ZN14server_context10load_modelER13common_params(server_context * context, common_params & params) {
    const bool loaded = __real__ZN14server_context10load_modelER13common_params(context, params);
    if (loaded) {
        minerva::engine::watch(*context->impl);
    }
    return loaded;
}
