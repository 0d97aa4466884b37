#include "server/incoming_body.h"

#include <fmt/format.h>

#include <utility>

#include "api/preset.h"

namespace minerva {
namespace {

// A body up to this size is read before the model is asked for; of a larger one, as much as it takes to find the model.
constexpr std::size_t kReadAhead = std::size_t{1} << 20;

}  // namespace

io::Task<Result<api::Routing>> IncomingBody::read_routing() {
  const auto too_large = [this] {
    return fail(ErrorCode::kTooLarge, fmt::format("The request's body is larger than {}.", format_bytes(limit_)));
  };
  if (x_.request.content_length.value_or(0) > limit_.count()) co_return too_large();
  const std::string* content_type = x_.request.headers.find("content-type");
  auto scan = api::make_scan(content_type == nullptr ? "" : *content_type, /*note_members=*/!config_.presets.empty());
  if (!scan) co_return fail(scan.error());
  scan_ = *std::move(scan);
  while (true) {
    const Result<std::string_view> piece = co_await x_.connection.read_body();
    if (!piece) co_return fail(piece.error());
    if (piece->empty()) break;
    if (text_.size() + piece->size() > limit_.count()) co_return too_large();
    if (!x_.queued.add(piece->size())) co_return fail(too_many_bodies());
    text_ += *piece;
    scan_->feed(*piece);
    if (scan_->failed()) break;
    const std::optional<std::string>& model = scan_->seen().model;
    if (text_.size() < kReadAhead || !model || !x_.request.content_length) continue;
    // What a preset changes may come last.
    if (api::find_preset(config_.presets, *model) == nullptr) break;
  }
  if (whole() || scan_->failed()) co_return scan_->finish();
  co_return scan_->seen();
}

io::Task<Result<std::string_view>> IncomingBody::next() {
  const Result<std::string_view> piece = co_await x_.connection.read_body();
  if (!piece) co_return piece;
  scan_->feed(*piece);
  if (auto refused = refusal()) co_return fail(*refused);
  co_return piece;
}

std::optional<Error> IncomingBody::refusal() {
  if (scan_ == nullptr || !scan_->failed()) return std::nullopt;
  return scan_->finish().error();
}

}  // namespace minerva
