// Reads and writes values as people write them in flags, variables and the config file.
//
// Pure, except for expand_path(), which reads the environment. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"
#include "minerva/base/result.h"

namespace minerva {

// "500ms", "30s", "5m", "2h": whole numbers, up to a year. Errors: kInvalidArgument with what was expected.
Result<Duration> parse_duration(std::string_view text);
// The shortest text that parse_duration() reads as the same duration. Requires: whole milliseconds, not negative.
std::string format_duration(Duration duration);

// A number from `least` to `most`, decimal digits only. Errors: kInvalidArgument.
Result<std::uint64_t> parse_count(std::string_view text, std::uint64_t least, std::uint64_t most);

// The range of sizes of memory and files.
constexpr Bytes kLeastMemory = Bytes::mib(1);
constexpr Bytes kMostSize = Bytes::gib(1024);
// A size as parse_bytes() reads it, from `least` to `most`. Errors: kInvalidArgument.
Result<Bytes> parse_size(std::string_view text, Bytes least, Bytes most);
// The shortest text that parse_bytes() reads as the same size: "12GiB".
std::string size_text(Bytes bytes);

// Replaces "~" and "~/x" by the user's home folder, and puts a relative path into `base`. The result is lexically
// normal.
// Errors: kInvalidArgument when the text is empty, or when there is no home folder.
Result<std::string> expand_path(std::string_view text, const std::string& base);

}  // namespace minerva
