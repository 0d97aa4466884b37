// Conversations that outlive their engine: what the daemon and an engine say about them, and how their files are named.
//
// Both sides include this; docs/adr/0028-conversations.md says what each side owns. Plain values; no dependency; any
// thread. The words travel on the socket of agent.h, and only if the daemon gave the engine a folder.
//
// A file holds one segment: the tokens [from, to) of a conversation, with the state that reading them left. Its parent
// is the segment that holds the tokens before `from`; a segment without parent starts at token 0. So segments are a
// tree, and a common beginning is kept once. Where a conversation leaves its parent in the middle, `from` is less than
// the parent's `to`. A file never changes. The daemon knows it by its name, and does not read it.
//   FOLDER/TENANT/ID-PARENT-FROM-TO
//     FOLDER   one for everything that gives a state its meaning (model files, engine, arguments): the daemon's choice
//     TENANT   1 to 64 characters of 0-9a-f; kOnlyTenant where requests name none
//     ID       32 characters of 0-9a-f, from the parent's id and the tokens; PARENT is one, or 32 zeros
//     FROM TO  decimal
//
// The engine lists FOLDER while it loads, and opens files of it to read (its sandbox allows it that). A file that is
// gone, cut, changed or foreign is never used: the prompt is read instead.
//
// The daemon's requests:
//   save ID REST_MS    with a descriptor (SCM_RIGHTS) of an empty file without a name that can be written and read.
//                      Write one segment of a conversation that has rested for so many milliseconds
//   forget TENANT      The tenant's files are removed (kEverybody: all files). Prompts that the engine has read
//                      before are not saved any more, unless somebody goes on with it. There is no answer
// The engine's answer to "save":
//   {"id":ID,"saved":{"tenant":"...","name":"ID-PARENT-FROM-TO","bytes":N},"more":true|false}
// The file is complete, but not synced: the daemon syncs it and gives it that name. "saved" is empty if nothing was to
// be saved, or if something came between ("more" is true then). `more`: there is more to save, at once if this call has
// saved something, and otherwise later: a conversation has not rested for so long yet. "refused" says why the file
// could not be written, "why_not" why this engine will never save. The engine's other lines, which have no id:
//   {"restored":{"tenant":"...","name":"...","tokens":N,"bytes":N,"microseconds":N,
//                "instead_of_microseconds":N}}
//                      A request goes on after `tokens` tokens of the segment `name` and of its parents. Reading them
//                      would have taken `instead_of`, by what the engine has measured; 0 or absent: not known
//   {"unusable":{"tenant":"...","name":"...","why":"..."}}
//                      The file must be removed
// Requests over HTTP name their tenant in the header kTenantHeader. With the header kPrivateHeader nothing of the
// request is kept or found again, as with "cache_prompt": false, which some of llama.cpp's routes drop. The daemon
// removes such headers of a client's.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace minerva::protocol {

// The variable of the environment with FOLDER. Without it the engine keeps nothing. The daemon also lists FOLDER among
// the files that the sandbox lets the engine read (child.h).
inline constexpr const char * kConversationsVariable = "MINERVA_CONVERSATIONS";
inline constexpr const char * kTenantHeader = "x-minerva-tenant";
inline constexpr const char * kPrivateHeader = "x-minerva-private";
inline constexpr const char * kOnlyTenant = "0";
// A header of the engine's answer: how many tokens were restored from files for it.
inline constexpr const char * kRestoredHeader = "x-minerva-restored";

inline constexpr const char * kSave = "save";
inline constexpr const char * kForget = "forget";
inline constexpr const char * kEverybody = "all";  // no name of a tenant
inline constexpr const char * kSaved = "saved";
inline constexpr const char * kMore = "more";
inline constexpr const char * kRestored = "restored";
inline constexpr const char * kUnusable = "unusable";
inline constexpr const char * kTenant = "tenant";
inline constexpr const char * kName = "name";
inline constexpr const char * kBytes = "bytes";
inline constexpr const char * kTokens = "tokens";
inline constexpr const char * kMicroseconds = "microseconds";
inline constexpr const char * kInsteadOfMicroseconds = "instead_of_microseconds";
inline constexpr const char * kWhy = "why";

struct SegmentId {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    bool is_none() const { return high == 0 && low == 0; }
    friend bool operator==(const SegmentId & a, const SegmentId & b) { return a.high == b.high && a.low == b.low; }
    friend bool operator!=(const SegmentId & a, const SegmentId & b) { return !(a == b); }
    friend bool operator<(const SegmentId & a, const SegmentId & b) {
        return a.high != b.high ? a.high < b.high : a.low < b.low;
    }
};

struct SegmentName {
    SegmentId id;
    SegmentId parent;  // none: the segment starts at token 0
    std::uint32_t from = 0;
    std::uint32_t to = 0;  // equal to `from` if the segment has only the state that is not kept by token
};

inline std::string to_text(SegmentId id) {
    constexpr const char * kDigits = "0123456789abcdef";
    std::string text(32, '0');
    for (std::size_t i = 0; i < 16; ++i) {
        text[15 - i] = kDigits[(id.high >> (4 * i)) & 15];
        text[31 - i] = kDigits[(id.low >> (4 * i)) & 15];
    }
    return text;
}

inline std::string to_text(const SegmentName & name) {
    return to_text(name.id) + "-" + to_text(name.parent) + "-" + std::to_string(name.from) + "-" +
           std::to_string(name.to);
}

inline bool is_tenant(std::string_view text) {
    return !text.empty() && text.size() <= 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// Nothing if `text` is not the name of a segment, exactly as to_text() writes it.
inline std::optional<SegmentName> parse_segment_name(std::string_view text) {
    constexpr std::size_t kIds = 66;  // both with the "-" behind each
    if (text.size() < kIds + 3) {
        return std::nullopt;
    }
    SegmentName name;
    const auto number = [](std::string_view digits, auto & value, int base) {
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
        return error == std::errc() && end == digits.data() + digits.size();
    };
    const std::size_t dash = text.find('-', kIds);
    if (dash == std::string_view::npos || !number(text.substr(0, 16), name.id.high, 16) ||
        !number(text.substr(16, 16), name.id.low, 16) || !number(text.substr(33, 16), name.parent.high, 16) ||
        !number(text.substr(49, 16), name.parent.low, 16) || !number(text.substr(kIds, dash - kIds), name.from, 10) ||
        !number(text.substr(dash + 1), name.to, 10)) {
        return std::nullopt;
    }
    const bool possible = !name.id.is_none() && name.from <= name.to && name.parent.is_none() == (name.from == 0);
    return possible && to_text(name) == text ? std::optional<SegmentName>(name) : std::nullopt;
}

}  // namespace minerva::protocol
