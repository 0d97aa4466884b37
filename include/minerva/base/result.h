// Result<T>: a value or an Error. tl::expected, since libstdc++ 12's std::expected lacks and_then.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "minerva/base/error.h"

namespace minerva {

template <typename T>
using Result = tl::expected<T, Error>;

using Failure = tl::unexpected<Error>;

// Shorthand for `return fail(ErrorCode::kInvalidArgument, "...");`.
inline Failure fail(ErrorCode code, std::string message, std::string param = {}) {
  return Failure(Error{code, std::move(message), std::move(param), 0});
}

inline Failure fail(Error error) { return Failure(std::move(error)); }

}  // namespace minerva
