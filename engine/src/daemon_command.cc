#include "daemon_command.h"

#include <charconv>

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
    if (word == "sharers") {
        command.kind = Kind::kSharers;
    } else if (word == "park") {
        command.kind = Kind::kPark;
    } else if (word == "drop") {
        command.kind = Kind::kDrop;
    } else if (word == "wake") {
        command.kind = Kind::kWake;
        return rest.empty() ? std::optional<DaemonCommand>(command) : std::nullopt;
    } else if (word == "measure") {
        command.kind = Kind::kMeasure;
        if (rest.empty()) {
            return command;
        }
    } else {
        return std::nullopt;
    }
    const std::optional<std::uint64_t> number = parse_number(take_word(rest));
    if (!number || !rest.empty()) {
        return std::nullopt;
    }
    command.number = *number;
    return command;
}

}  // namespace minerva::engine
