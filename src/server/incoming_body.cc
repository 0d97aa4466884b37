#include "server/incoming_body.h"

#include <utility>

namespace minerva {
namespace {

// A body up to this size is read before the model is asked for. Of a larger body only so much is read that the model is
// known.
constexpr std::size_t kReadAhead = std::size_t{1} << 20;

// Whether the scan can read a body of this type, on a route where a body may have any type.
bool is_known_type(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  return type.empty() || type.find("json") != std::string_view::npos || type.starts_with("multipart/");
}

}  // namespace

io::Task<Result<api::Routing>> IncomingBody::read_routing() {
  if (x_.request.content_length.value_or(0) > limit_.count()) co_return fail(body_too_large(limit_));
  const std::string* content_type = x_.request.headers.find("content-type");
  const std::string_view type = content_type == nullptr ? std::string_view() : *content_type;
  if (!x_.opaque_body || is_known_type(type)) {
    auto scan = api::make_scan(type, /*note_members=*/true);
    if (!scan) co_return fail(scan.error());
    scan_ = *std::move(scan);
  }
  co_return co_await read(/*all=*/false);
}

io::Task<Result<api::Routing>> IncomingBody::read_rest() { return read(/*all=*/true); }

io::Task<Result<api::Routing>> IncomingBody::read(bool all) {
  while (scan_ == nullptr || !scan_->failed()) {
    const Result<std::string_view> piece = co_await x_.read_body();
    if (!piece) co_return fail(piece.error());
    if (piece->empty()) break;
    if (text_.size() + piece->size() > limit_.count()) co_return fail(body_too_large(limit_));
    if (!x_.queued.add(piece->size())) co_return fail(too_many_bodies());
    text_ += *piece;
    if (scan_ != nullptr) scan_->feed(*piece);
    const bool named = !x_.path_model.empty() || (scan_ != nullptr && scan_->seen().model);
    // The engine gets the size ahead if it is known: the body goes on unchanged.
    const bool sized = x_.request.content_length && !x_.decodes();
    if (!all && text_.size() >= kReadAhead && named && sized) break;
  }
  if (scan_ == nullptr) co_return api::Routing{};
  if (whole() || scan_->failed()) co_return scan_->finish();
  co_return scan_->seen();
}

io::Task<Result<std::string_view>> IncomingBody::next() {
  const Result<std::string_view> piece = co_await x_.read_body();
  if (!piece) co_return piece;
  if (scan_ != nullptr) scan_->feed(*piece);
  if (auto refused = refusal()) co_return fail(*refused);
  co_return piece;
}

std::optional<Error> IncomingBody::refusal() {
  if (scan_ == nullptr || !scan_->failed()) return std::nullopt;
  return scan_->finish().error();
}

}  // namespace minerva
