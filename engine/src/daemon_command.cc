#include "daemon_command.h"

#include <charconv>

#include "protocol/agent.h"
#include "protocol/conversations.h"

namespace minerva::engine {
namespace {

// Removes the first word of `rest` and the space behind it. Returns the word.
std::string_view take_word(std::string_view & rest) {
    const std::size_t end = rest.find(' ');
    const std::string_view word = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return word;
}

std::optional<std::uint64_t> parse_number(std::string_view word) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error != std::errc() || end != word.data() + word.size()) {
        return std::nullopt;
    }
    return number;
}

}  // namespace

std::optional<DaemonCommand> parse_daemon_command(std::string_view line) {
    using Kind = DaemonCommand::Kind;
    if (!line.empty() && line.back() == ' ') {
        return std::nullopt;
    }
    std::string_view rest = line;
    const std::string_view word = take_word(rest);
    DaemonCommand command{};
    if (word == protocol::kSharers) {
        command.kind = Kind::kSharers;
    } else if (word == protocol::kPark) {
        command.kind = Kind::kPark;
    } else if (word == protocol::kDrop) {
        command.kind = Kind::kDrop;
    } else if (word == protocol::kWake) {
        command.kind = Kind::kWake;
    } else if (word == protocol::kMeasure) {
        command.kind = Kind::kMeasure;
    } else if (word == protocol::kRoom) {
        command.kind = Kind::kRoom;
    } else if (word == protocol::kSave) {
        command.kind = Kind::kSave;
    } else if (word == protocol::kForget) {
        command = {Kind::kForget, 0, 0, std::string(rest)};
        const bool known = rest == protocol::kEverybody || protocol::is_tenant(rest);
        return known ? std::optional<DaemonCommand>(command) : std::nullopt;
    } else {
        return std::nullopt;
    }
    if (command.kind != Kind::kSharers) {
        const std::optional<std::uint64_t> id = parse_number(take_word(rest));
        if (!id) {
            return std::nullopt;
        }
        command.id = *id;
    }
    if (command.kind == Kind::kWake || command.kind == Kind::kRoom ||
        (command.kind == Kind::kMeasure && rest.empty())) {
        return rest.empty() ? std::optional<DaemonCommand>(command) : std::nullopt;
    }
    const std::optional<std::uint64_t> number = parse_number(take_word(rest));
    if (!number || !rest.empty()) {
        return std::nullopt;
    }
    command.number = *number;
    return command;
}

}  // namespace minerva::engine
