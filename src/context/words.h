// Words: small pieces of the sentences that the core says. Threading: none of their own.
#pragma once

#include <string>
#include <string_view>

#include "minerva/base/clock.h"
#include "minerva/base/ids.h"

namespace minerva {

std::string in_quotes(const ModelId& id);
// "1 request", "2 requests".
std::string count_of(std::size_t n, std::string_view noun);
// "1 request waits", "2 requests wait".
std::string requests_wait(std::size_t n);
// Whole seconds, rounded up, at least 1: for Retry-After.
int retry_seconds(Duration span);

}  // namespace minerva
