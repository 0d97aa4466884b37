#include "minerva/base/check.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace minerva {
namespace {

std::atomic<CheckHandler> handler = nullptr;

}  // namespace

CheckHandler set_check_handler(CheckHandler replacement) { return handler.exchange(replacement); }

void check_failed(std::string_view what, const std::source_location& where) {
  if (const CheckHandler replacement = handler.load()) replacement(what, where);
  std::fprintf(stderr, "%s:%u: %s: check failed: %.*s\n", where.file_name(), static_cast<unsigned>(where.line()),
               where.function_name(), static_cast<int>(what.size()), what.data());
  std::fflush(stderr);
  std::abort();
}

}  // namespace minerva
