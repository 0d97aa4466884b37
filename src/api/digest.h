// SHA-256 of a text, and bytes as hex digits.
//
// Pure functions; any thread. pull/hasher.h has the hash of bytes that come piece by piece.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

namespace minerva::api {

using Sha256 = std::array<unsigned char, 32>;

Sha256 sha256(std::string_view text);
// Two digits a byte, in lower case.
std::string hex(std::span<const unsigned char> bytes);

}  // namespace minerva::api
