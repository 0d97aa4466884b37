// Keeps conversations in files, and puts them back into slots: protocol/conversations.h says what is kept where.
//
// Purpose: the disk, hashes and files are waited for while the inference loop goes on. The loop is held for
// the moment in which at most kPiece bytes of rows are copied, or one window or recurrent state as a whole. Everything
// is checked again each time that the loop is held. Threading: save() and forget() on the agent's thread; restore() on
// any other but the main one. The daemon chooses when something is saved. slots.h knows what a slot is.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "slots.h"

namespace minerva::engine {

// Starts to list the files of `folder`, on a thread of its own. Once; without it nothing is kept.
void keep_conversations(const std::string & folder);
bool keeps_conversations();

struct SaveReport {
    std::string tenant;
    std::string name;  // of the segment that was written; empty: none
    std::uint64_t bytes = 0;
    bool more = false;  // as protocol/conversations.h says
    std::string refused;
    std::string why_not;
};
// Writes one segment of a conversation that has rested so long into `file`, which is empty. `interrupted`: whether
// there is something more urgent to do. Requires: keeps_conversations().
SaveReport save_conversation(int file, std::chrono::milliseconds rest, const std::function<bool()> & interrupted);

// The files of the tenant (kEverybody: of all) are gone, and prompts that were read for it before are not saved any
// more. On the thread of save_conversation(). Requires: keeps_conversations().
void forget_conversations(const std::string & tenant);

// Puts the state of the longest beginning of the prompt that files have into a slot, if that is worth it. Returns how
// many tokens that are. Requires: keeps_conversations().
std::uint32_t restore_conversation(const std::string & tenant, const Prompt & prompt);

}  // namespace minerva::engine
