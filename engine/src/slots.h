// llama.cpp's slots: what conversations rest in them, which slot a conversation can be put into, and whose they are.
//
// Purpose: llama.cpp keeps its slots to itself. slots.cc compiles its server-context.cpp as a part of itself, so that
// it knows them by their types. Tenants: while a slot is chosen for a request, the prompts that other tenants have
// read, in slots and in the host prompt cache, are out of sight, so that they are neither found nor counted. With one
// tenant nothing is ever out of sight. Threading: all but the first two with the main loop held between two batches
// (main_loop.h). It does not know files.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "common/common.h"
#include "llama.h"

struct server_task;

namespace minerva::engine {

// Notes whose request the task belongs to. Before the task is posted.
void set_tenant(server_task & task, const std::string & tenant);
struct Prompt {
    std::vector<llama_token> tokens;  // empty if the task is of a kind whose prompt is not kept
    int slot = -1;                    // where it has to be read; -1: anywhere
};
Prompt kept_prompt(const server_task & task);

// nullptr before the model is loaded.
llama_context * slots_context();
// Why nothing of this engine is kept (any more); empty: conversations are kept.
std::string why_nothing_is_kept();

struct RestingSlot {
    int id;
    std::int64_t since;  // when its last answer ended; of no meaning but that another answer has another time
    std::int64_t begun;  // when its last request began, by ggml_time_us()
    std::string tenant;
    std::vector<llama_token> tokens;
    std::size_t unchanged;  // of so many tokens the state is what it was when it was last saved or restored
    const std::list<common_prompt_checkpoint> * checkpoints;  // to be read with the loop held, while it still rests
};
struct RestingSlots {
    std::vector<RestingSlot> slots;
    bool more_later = false;  // other slots answer, or have answered, but will have rested for so long
};
// Slots whose last answer ended so long ago, or earlier. With 0: those that are idle; there is nothing later.
RestingSlots resting_slots(std::chrono::milliseconds rest);
// Whether nobody has used the slot since. Equal tokens would not be enough: what was read again may be in other cells.
bool still_rests(const RestingSlot & slot);
// What is in the slot is not as it should be: it is not saved, nor is what goes on from it.
void note_not_kept(int id);
// The state of the first `count` tokens is in files. No effect unless the slot still rests.
void note_saved(const RestingSlot & slot, std::size_t count);
// The longest beginning of the prompt that llama.cpp would find in an idle slot or in the host prompt cache.
std::size_t best_prefix(const std::string & tenant, const Prompt & prompt);

// Whether llama.cpp would choose a slot that has `same` tokens of the prompt, and no other slot has as many.
bool would_be_chosen(const Prompt & prompt, std::size_t same);

// A slot that is being filled. It is empty until then; a request may still take it.
struct SlotClaim {
    int slot;
    std::int64_t stamp;
};
// The slot `slot`, or the one that rests longest. What is in it goes to the host prompt cache, unless `saved` (a file
// has it). Nothing: the slot is not idle, or cannot take `tokens` tokens.
std::optional<SlotClaim> claim_slot(int slot, std::size_t tokens, bool (*saved)(const RestingSlot & slot));
bool holds(const SlotClaim & claim);
// The slot is then as if it had just read these tokens. Requires: holds(claim); the sequence's memory has their state.
void fill(const SlotClaim & claim, const std::string & tenant, const std::vector<llama_token> & tokens,
          std::list<common_prompt_checkpoint> checkpoints);
void give_up(const SlotClaim & claim);

// How long reading a token of a prompt takes; 0: not known yet.
double microseconds_per_token();

}  // namespace minerva::engine
